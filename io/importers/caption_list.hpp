#pragma once

// Which caption belongs to which image: captions.tsv, or COCO's captions as JSON. Used by the
// importer of images with captions.

#include <cstdint>
#include <string>
#include <vector>

#include "io/importers/importers.hpp"
#include "io/importers/source_files.hpp"
#include "src/pool/quarantine.hpp"

namespace thresher::io {

struct Caption {
    std::int64_t position;  ///< line of captions.tsv, counted from 1, or annotation, from 0
    std::string text;
    std::int64_t target = -1;
};

struct CaptionedImage {
    std::string file;  ///< its name among the source's files
    std::vector<Caption> captions;
};

struct CaptionList {
    std::vector<CaptionedImage> images;    ///< in order of their first caption, or COCO's
    std::vector<std::string> class_names;  ///< of the target column
    std::vector<QuarantinedRow> bad;       ///< by position: no such image, no usable caption
};

/// Reads options.captions, of which the end of the name will do; where that is empty captions.tsv,
/// or the one captions*.json. Throws FileError where there is no such file, or it has no usable
/// caption; UsageError for columns that
/// it does not have.
CaptionList list_captions(const SourceFiles& files, const ImportOptions& options);

}  // namespace thresher::io
