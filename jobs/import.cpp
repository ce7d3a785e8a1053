// thresher import: foreign formats -> pool.

#include "io/importers/importers.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "jobs/job.hpp"
#include "jobs/options/numbers.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"

namespace thresher::jobs {

namespace {

struct Options {
    std::string format, resize = "crop", colour = "as-is", long_captions = "cut", header = "auto";
    io::ImportOptions import;
};

void add_options(CLI::App& app, Options& options) {
    std::vector<std::string> formats;
    for (const io::Importer& importer : io::importers()) formats.emplace_back(importer.name);
    app.add_option("--format,format", options.format, fmt::format("{}", fmt::join(formats, ", ")))
        ->required();
    app.add_option("--source,source", options.import.source, "File or directory to import")
        ->required();
    app.add_option("-o,--output", options.import.output, "Pool to write")->required();
    app.add_option("--labels", options.import.labels,
                   "idx: the labels file, where the source is an images file");
    app.add_option("--split", options.import.split, "idx, cifar: train, test or all");
    app.add_flag("--coarse-labels", options.import.coarse_labels, "cifar-100: the 20 superclasses");
    app.add_option("--set", options.import.image_set,
                   "voc: a list of ImageSets, such as train; all images where it is left out");
    app.add_option("--annotations", options.import.annotations,
                   "coco: file of the boxes in the source; else instances*.json");
    app.add_option("--size", options.import.size,
                   "images, image-text, voc, coco: height and width in pixels; 0 = as they are");
    app.add_option("--resize", options.resize,
                   "images, image-text: crop (shorter side, then centre) or stretch; voc and coco "
                   "are letter-boxed")
        ->check(CLI::IsMember({"crop", "stretch"}));
    app.add_option("--colour", options.colour, "images, image-text, voc, coco: as-is, grey or rgb")
        ->check(CLI::IsMember({"as-is", "grey", "rgb"}));
    app.add_option("--target-column", options.import.target_column,
                   "csv: name or index (from 0) of the target; image-text: its name");
    app.add_option("--id-column", options.import.id_column, "csv: name or index of the ids");
    app.add_option(
           "--header", options.header,
           "csv: whether the first line names the columns; auto: where it holds no numbers, "
           "or counts 0,1,2,3...")
        ->check(CLI::IsMember({"auto", "yes", "no"}));
    app.add_option("--inputs", options.import.paths.inputs, "hdf5: dataset of the inputs");
    app.add_option("--targets", options.import.paths.targets, "hdf5: dataset of the targets");
    app.add_option("--captions", options.import.captions,
                   "image-text: file of the captions in the source, .tsv or COCO's .json");
    app.add_option("--caption-columns", options.import.caption_columns,
                   "image-text: columns of the .tsv that make the caption (default: caption)")
        ->delimiter(',');
    app.add_option("--vocabulary", options.import.vocabulary,
                   "image-text: pool or SentencePiece model whose vocabulary to use; else trained");
    app.add_option("--vocabulary-size", options.import.vocabulary_size,
                   "image-text: pieces of a vocabulary that is trained, at most")
        ->check(above_zero());
    app.add_option("--token-length", options.import.token_length,
                   "image-text: tokens of a caption");
    app.add_option("--long-captions", options.long_captions,
                   "image-text: cut longer captions, or refuse and quarantine them")
        ->check(CLI::IsMember({"cut", "refuse"}));
    app.add_option("--class-names", options.import.class_names, "Names of the classes, in order")
        ->delimiter(',');
    app.add_option("--class-map", options.import.class_map,
                   "voc, coco: old=new renames a class, old= leaves its boxes out")
        ->delimiter(',');
    app.add_option("--rows-per-shard", options.import.rows_per_shard,
                   "Write a directory of shards; 0 = one file");
    app.add_flag("--append", options.import.append,
                 "Add the rows, as new shards, to a pool that is a directory of shards");
}

/// Throws UsageError for an option that this importer does not read.
void check_options(const Job& job, const std::string& format) {
    using Formats = std::vector<std::string_view>;
    const Formats of_images{"images", "image-text", "voc", "coco"}, of_text{"image-text"};
    const std::map<std::string, Formats> readers{{"--labels", {"idx"}},
                                                 {"--split", {"idx", "cifar"}},
                                                 {"--coarse-labels", {"cifar"}},
                                                 {"--set", {"voc"}},
                                                 {"--annotations", {"coco"}},
                                                 {"--size", of_images},
                                                 {"--resize", {"images", "image-text"}},
                                                 {"--colour", of_images},
                                                 {"--target-column", {"csv", "image-text"}},
                                                 {"--id-column", {"csv"}},
                                                 {"--header", {"csv"}},
                                                 {"--inputs", {"hdf5"}},
                                                 {"--targets", {"hdf5"}},
                                                 {"--captions", of_text},
                                                 {"--caption-columns", of_text},
                                                 {"--vocabulary", of_text},
                                                 {"--vocabulary-size", of_text},
                                                 {"--token-length", of_text},
                                                 {"--long-captions", of_text},
                                                 {"--class-map", {"voc", "coco"}}};
    for (const auto& [option, formats] : readers) {
        const bool reads = std::find(formats.begin(), formats.end(), format) != formats.end();
        THRESHER_CHECK_AS(UsageError, reads || !job.was_given(option),
                          "{} is read by import {}; import {} has no use for it, leave it out",
                          option, fmt::join(formats, ", "), format);
    }
}

}  // namespace

int run_import(Job& job) {
    Options options;
    add_options(job.options(), options);
    job.start();
    options.import.resize = options.resize == "crop" ? io::Resize::crop : io::Resize::stretch;
    options.import.colour = options.colour == "grey"  ? io::ColourMode::grey
                            : options.colour == "rgb" ? io::ColourMode::rgb
                                                      : io::ColourMode::as_is;
    options.import.long_captions =
        options.long_captions == "cut" ? io::LongCaptions::cut : io::LongCaptions::refuse;
    options.import.header = options.header == "yes"  ? io::CsvHeader::yes
                            : options.header == "no" ? io::CsvHeader::no
                                                     : io::CsvHeader::automatic;
    options.import.overwrite = job.overwrite();
    options.import.max_bad = job.max_bad();
    options.import.ranks = &job.collective();
    check_options(job, options.format);
    job.check_not_read(options.import.output);
    io::ImportReport report;
    {
        const auto timer = job.phases().time("import");
        io::Provenance provenance;
        agree(job.collective(), [&] {
            if (job.is_root()) provenance = job.provenance(options.import.source);
        });
        report = io::import_pool(options.format, options.import, provenance);
    }
    if (!job.is_root()) return 0;
    log_quarantine(report.quarantined);
    for (const std::string& note : report.notes) log::info("{}", note);
    log::info("imported {} rows of [{}], {} classes, {} quarantined, wrote {}", report.pool.rows,
              fmt::join(report.pool.input_shape, ", "), report.pool.classes,
              report.quarantined.size(), options.import.output);
    job.finish({{"rows", report.pool.rows}, {"quarantined", report.quarantined.size()}});
    return 0;
}

}  // namespace thresher::jobs
