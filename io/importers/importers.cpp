#include "io/importers/importers.hpp"

#include "io/importers/formats.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

const std::vector<Importer>& importers() {
    static const std::vector<Importer> table{
        {"cifar", "CIFAR-10 or CIFAR-100: a binary file, their directory, or the .tar.gz",
         &import_cifar},
        {"csv", "numbers in columns, .gz too; --target-column names the class", &import_csv},
        {"hdf5", "a dataset of your own HDF5 file, copied; --inputs and --targets", &import_hdf5},
        {"idx", "MNIST's format, .gz too: an images file, or a directory with --split",
         &import_idx},
        {"image-text", "a folder or .tar of images with captions.tsv, or with COCO's captions",
         &import_image_text},
        {"images", "a folder of JPEG and PNG files, one folder a class, or flat and unlabelled",
         &import_images},
    };
    return table;
}

ImportReport import_pool(const std::string& format, const ImportOptions& options,
                         const Provenance& provenance) {
    std::string known;
    for (const Importer& importer : importers()) {
        if (format == importer.name) return importer.import(options, provenance);
        known += (known.empty() ? "" : ", ") + std::string(importer.name);
    }
    fail<UsageError>("there is no importer \"{}\"; known are {}", format, known);
}

}  // namespace thresher::io
