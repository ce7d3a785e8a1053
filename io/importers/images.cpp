// A folder of JPEG and PNG files: one folder a class, or flat and unlabelled.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>

#include "io/atomic_file.hpp"
#include "io/importers/formats.hpp"
#include "io/importers/image_codec.hpp"
#include "io/importers/import_sink.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kFilesAtOnce = 256;
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

/// 1 where all images are grey, 3 otherwise; files that cannot be decoded have no say.
std::int64_t channels_of(const ImportOptions& options, const ImageList& list) {
    if (options.colour != ColourMode::as_is) return options.colour == ColourMode::grey ? 1 : 3;
    for (const ImageFile& file : list.files) {
        try {
            if (!is_grey(bytes_of_image(options.source + "/" + file.name))) return 3;
        } catch (const FileError&) {
            continue;  // decoding it reports it
        }
    }
    return 1;
}

struct Decoded {
    Image image;
    std::string reason;  ///< why there is no image
};

Decoded decode(const ImportOptions& options, const ImageFile& file, std::int64_t channels) {
    Decoded decoded;
    try {
        decoded.image = decode_image(bytes_of_image(options.source + "/" + file.name), channels);
        if (options.size > 0) decoded.image = resized(decoded.image, options.size, options.resize);
    } catch (const std::exception& error) {
        decoded.reason = error.what();
    }
    return decoded;
}

/// [height, width, channels] to [channels, height, width].
std::vector<std::byte> planes(const Image& image) {
    const auto channels = static_cast<std::size_t>(image.channels);
    const std::size_t pixels = image.pixels.size() / channels;
    std::vector<std::byte> result(image.pixels.size());
    for (std::size_t i = 0; i < pixels; ++i) {
        for (std::size_t c = 0; c < channels; ++c) {
            result[c * pixels + i] = static_cast<std::byte>(image.pixels[i * channels + c]);
        }
    }
    return result;
}

}  // namespace

ImportReport import_images(const ImportOptions& options, const Provenance& provenance) {
    THRESHER_CHECK_AS(UsageError, options.size >= 0 && options.size <= 8192,
                      "--size is {}; allowed are 1 to 8192 pixels", options.size);
    const ImageList list = list_images(options);
    const std::int64_t channels = channels_of(options, list);
    PoolSchema schema;
    schema.scale = 1.0 / 255.0;
    schema.targets = !list.class_names.empty();
    schema.class_names = options.class_names.empty() ? list.class_names : options.class_names;
    schema.names = true;
    schema.name_bytes = 1;
    for (const ImageFile& file : list.files) {
        schema.name_bytes =
            std::max(schema.name_bytes, static_cast<std::int64_t>(file.name.size()));
    }
    std::optional<ImportSink> sink;
    std::vector<QuarantinedRow> before_first;
    std::int64_t height = 0, width = 0;
    std::vector<Decoded> decoded;
    for (std::size_t begin = 0; begin < list.files.size(); begin += kFilesAtOnce) {
        const std::size_t count = std::min(kFilesAtOnce, list.files.size() - begin);
        decoded.assign(count, {});
        parallel_for(static_cast<std::int64_t>(count), 4,
                     [&](std::int64_t first, std::int64_t last) {
                         for (auto i = static_cast<std::size_t>(first);
                              i < static_cast<std::size_t>(last); ++i) {
                             decoded[i] = decode(options, list.files[begin + i], channels);
                         }
                     });
        for (std::size_t i = 0; i < count; ++i) {
            const ImageFile& file = list.files[begin + i];
            const auto position = static_cast<std::int64_t>(begin + i);
            const Image& image = decoded[i].image;
            std::string reason = decoded[i].reason;
            if (reason.empty() && !sink) {
                height = image.height;
                width = image.width;
                schema.input_shape = {channels, height, width};
                sink.emplace(options, schema, provenance);
                for (QuarantinedRow& row : before_first)
                    sink->quarantine(row.id, std::move(row.reason));
            }
            if (reason.empty() && (image.height != height || image.width != width)) {
                reason = fmt::format("{} x {} pixels, the first image has {} x {}; give --size",
                                     image.width, image.height, width, height);
            }
            if (reason.empty()) {
                sink->add(position, planes(image), file.target, -1, file.name);
            } else if (sink) {
                sink->quarantine(position, file.name + ": " + reason);
            } else {
                before_first.push_back({position, file.name + ": " + reason});
            }
        }
    }
    THRESHER_CHECK_AS(FileError, sink.has_value(),
                      "{}: none of {} images can be decoded; the first: {}", options.source,
                      list.files.size(), before_first[0].reason);
    return sink->finish();
}

}  // namespace thresher::io
