#include "io/importers/importers.hpp"

#include <exception>
#include <memory>

#include "io/importers/formats.hpp"
#include "io/importers/image_ranks.hpp"
#include "io/importers/source_files.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

const std::vector<Importer>& importers() {
    static const std::vector<Importer> table{
        {"cifar", "CIFAR-10 or CIFAR-100: a binary file, their directory, or the .tar.gz",
         &import_cifar},
        {"coco", "a folder or .tar of images with COCO's instances*.json: boxes", &import_coco,
         true, true},
        {"csv", "numbers in columns, .gz too; --target-column names the class", &import_csv},
        {"hdf5", "a dataset of your own HDF5 file, copied; --inputs and --targets", &import_hdf5},
        {"idx", "MNIST's format, .gz too: an images file, or a directory with --split",
         &import_idx},
        {"image-text", "a folder or .tar of images with captions.tsv, or with COCO's captions",
         &import_image_text, true},
        {"images", "a folder of JPEG and PNG files, one folder a class, or flat and unlabelled",
         &import_images, true},
        {"voc", "a folder or .tar with JPEGImages and Annotations, as Pascal VOC: boxes",
         &import_voc, true, true},
    };
    return table;
}

namespace {

/// The root imports, the others decode images for it until it is done, or has failed.
ImportReport import_over_ranks(const Importer& importer, const ImportOptions& options,
                               const Provenance& provenance) {
    Collective& ranks = *options.ranks;
    THRESHER_CHECK_AS(UsageError, importer.decodes_images,
                      "import {} runs on one rank, but {} were started; run it without mpirun",
                      importer.name, ranks.size());
    std::unique_ptr<SourceFiles> files;
    agree(ranks, [&] {
        if (!ranks.is_root()) files = std::make_unique<SourceFiles>(options.source);
    });
    ImportReport report;
    std::exception_ptr error;
    if (ranks.is_root()) {
        try {
            report = importer.import(options, provenance);
        } catch (...) {
            error = std::current_exception();
        }
        dismiss_helpers(ranks);
    } else {
        const auto read = [&](const std::string& name) { return files->read(name); };
        help_decoding(ranks, [&](const std::string& name, const std::vector<std::int64_t>& shape) {
            return decode_row(options, read, name, shape);
        });
    }
    agree(ranks, [&] {
        if (error) std::rethrow_exception(error);
    });
    return report;
}

}  // namespace

ImportReport import_pool(const std::string& format, const ImportOptions& options,
                         const Provenance& provenance) {
    std::string known;
    for (const Importer& importer : importers()) {
        if (format == importer.name) {
            ImportOptions own = options;
            if (importer.letter_boxes) own.resize = Resize::letter_box;
            return own.ranks != nullptr && own.ranks->size() > 1
                       ? import_over_ranks(importer, own, provenance)
                       : importer.import(own, provenance);
        }
        known += (known.empty() ? "" : ", ") + std::string(importer.name);
    }
    fail<UsageError>("there is no importer \"{}\"; known are {}", format, known);
}

}  // namespace thresher::io
