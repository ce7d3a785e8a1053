#pragma once

// Foreign formats -> pool. One table of name -> function; adding a format is one file and one line.

#include <cstdint>
#include <string>
#include <vector>

#include "io/pool/pool_file.hpp"
#include "io/pool/pool_writer.hpp"
#include "src/base/collective.hpp"
#include "src/pool/quarantine.hpp"

namespace thresher::io {

enum class Resize { crop, stretch, letter_box };
enum class ColourMode { as_is, grey, rgb };
enum class LongCaptions { cut, refuse };
enum class CsvHeader { automatic, yes, no };

struct ImportOptions {
    std::string source;  ///< file or directory
    std::string output;  ///< pool to write: a file, or a directory where rows_per_shard > 0
    std::string labels;  ///< idx: the labels file, where `source` is an images file
    std::string split = "train";  ///< idx, cifar: "train", "test", or "all" (cifar)
    std::string image_set;        ///< voc: a list below ImageSets, such as "train"; empty: all
    std::string annotations;      ///< coco: file in the source; empty: found by its name
    /// voc, coco: "old=new" renames a class, "old=" leaves its boxes out.
    std::vector<std::string> class_map;
    bool coarse_labels = false;  ///< cifar-100: the 20 superclasses
    /// images, image-text: height and width; 0: all must have the same size already
    std::int64_t size = 0;
    /// images: crop scales the shorter side to `size` and cuts the centre; stretch ignores the
    /// aspect ratio; letter_box (voc, coco) scales the longer side to `size` and fills the rest.
    Resize resize = Resize::crop;
    ColourMode colour = ColourMode::as_is;  ///< images; as_is: grey only where all are grey
    /// csv: name or index (from 0); image-text: name in captions.tsv; empty: no targets
    std::string target_column;
    std::string id_column;  ///< csv: name or index; empty: ids are rows
    /// csv: whether the first line names the columns; automatic: where no input in it is a number,
    /// or where it counts 0, 1, 2, 3 and on, as tables whose columns have no names are written
    CsvHeader header = CsvHeader::automatic;
    PoolPaths paths;                       ///< hdf5: where inputs and targets are
    std::vector<std::string> class_names;  ///< overrides the format's own
    std::string captions;  ///< image-text: file in the source; empty: found by its name
    std::vector<std::string> caption_columns{"caption"};  ///< of captions.tsv, joined by ", "
    std::string vocabulary;               ///< image-text: a model's file, or a pool; empty: trained
    std::int64_t vocabulary_size = 2000;  ///< of one that is trained
    std::int64_t token_length = 32;
    LongCaptions long_captions = LongCaptions::cut;
    std::int64_t rows_per_shard = 0;
    bool append = false;  ///< add shards to a pool that is a directory of them
    Overwrite overwrite = Overwrite::no;
    BadLimit max_bad;
    /// Those that decode images with the one that imports, the root; null: it is alone.
    Collective* ranks = nullptr;
};

struct ImportReport {
    PoolInfo pool;
    std::vector<QuarantinedRow> quarantined;  ///< id = position in the source
    std::vector<std::string> notes;           ///< what a person should know
};

struct Importer {
    const char* name;
    const char* description;
    ImportReport (*import)(const ImportOptions&, const Provenance&);
    bool decodes_images = false;  ///< over all ranks
    bool letter_boxes = false;    ///< as there are boxes to keep, whatever options.resize is
};

const std::vector<Importer>& importers();

/// Runs the importer called `format`. Throws UsageError naming the known ones, FileError for what
/// is wrong with the source, and Error where more rows are bad than options.max_bad allows. Memory
/// is bounded by a few blocks and, of image-text, voc and coco, the captions or boxes. The root
/// imports and reports; where images are decoded, the other ranks of options.ranks help. Collective
/// over these; local without.
ImportReport import_pool(const std::string& format, const ImportOptions& options,
                         const Provenance& provenance);

}  // namespace thresher::io
