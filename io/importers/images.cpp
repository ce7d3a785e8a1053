// A folder of JPEG and PNG files: one folder a class, or flat and unlabelled.

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "io/atomic_file.hpp"
#include "io/importers/formats.hpp"
#include "io/importers/image_rows.hpp"
#include "io/importers/import_sink.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

constexpr std::uintmax_t kMostFileBytes = std::uintmax_t{256} << 20;

struct ImageFile {
    std::string name;  ///< below the source directory
    std::int64_t target = -1;
};

struct ImageList {
    std::vector<ImageFile> files;
    std::vector<std::string> class_names;
};

bool is_image_name(const fs::path& path) {
    std::string extension = path.extension().string();
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

/// Names in `directory`, in alphabetical order.
std::vector<std::string> names_in(const std::string& directory, bool folders) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with('.')) continue;
        if (folders ? entry.is_directory()
                    : entry.is_regular_file() && is_image_name(entry.path())) {
            names.push_back(name);
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

ImageList list_images(const ImportOptions& options) {
    THRESHER_CHECK_AS(
        FileError, fs::is_directory(options.source),
        "{}: is no directory; the images importer takes a folder of JPEG and PNG files",
        options.source);
    ImageList list;
    for (const std::string& folder : names_in(options.source, true)) {
        const auto files = names_in(options.source + "/" + folder, false);
        if (files.empty()) continue;
        auto target = static_cast<std::int64_t>(list.class_names.size());
        list.class_names.push_back(folder);
        if (!options.class_names.empty()) {
            const auto found =
                std::find(options.class_names.begin(), options.class_names.end(), folder);
            THRESHER_CHECK_AS(UsageError, found != options.class_names.end(),
                              "{}: the folder {} is none of the given class names ({})",
                              options.source, folder, fmt::join(options.class_names, ", "));
            target = found - options.class_names.begin();
        }
        for (const std::string& file : files) list.files.push_back({folder + "/" + file, target});
    }
    const auto flat = names_in(options.source, false);
    THRESHER_CHECK_AS(
        FileError, flat.empty() || list.files.empty(),
        "{}: holds images beside folders of images, such as {}; put them into folders too, "
        "or elsewhere",
        options.source, flat.empty() ? "" : flat[0]);
    for (const std::string& file : flat) list.files.push_back({file, -1});
    THRESHER_CHECK_AS(FileError, !list.files.empty(),
                      "{}: holds no .jpg, .jpeg or .png file, neither itself nor one folder deep",
                      options.source);
    return list;
}

std::string bytes_of_image(const std::string& path) {
    THRESHER_CHECK_AS(FileError, fs::file_size(path) <= kMostFileBytes,
                      "the file has more than {} bytes", kMostFileBytes);
    return read_file(path);
}

}  // namespace

ImportReport import_images(const ImportOptions& options, const Provenance& provenance) {
    const ImageList list = list_images(options);
    PoolSchema schema;
    schema.scale = 1.0 / 255.0;
    schema.targets = !list.class_names.empty();
    schema.class_names = options.class_names.empty() ? list.class_names : options.class_names;
    schema.names = true;
    schema.name_bytes = 1;
    std::vector<std::string> names;
    for (const ImageFile& file : list.files) {
        names.push_back(file.name);
        schema.name_bytes = std::max(schema.name_bytes, std::ssize(file.name));
    }
    const ImageRows images(options, std::move(names), [&](const std::string& name) {
        return bytes_of_image(options.source + "/" + name);
    });
    schema.input_shape = images.shape();
    ImportSink sink(options, schema, provenance);
    images.for_each([&](std::size_t i, const DecodedImage& image) {
        const ImageFile& file = list.files[i];
        const auto position = static_cast<std::int64_t>(i);
        if (image.reason.empty()) {
            sink.add(position, image.inputs, file.target, -1, file.name);
        } else {
            sink.quarantine(position, file.name + ": " + image.reason);
        }
    });
    return sink.finish();
}

}  // namespace thresher::io
