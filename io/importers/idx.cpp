// The format of MNIST and its descendants: big-endian header, then u8 values.

#include <filesystem>
#include <optional>

#include "io/importers/byte_stream.hpp"
#include "io/importers/formats.hpp"
#include "io/importers/import_sink.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kMostElements = std::int64_t{1} << 28;

/// Reads the header; the axes of the data. `axes` is how many there may be.
std::vector<std::int64_t> read_header(ByteStream& stream, std::size_t fewest, std::size_t most) {
    unsigned char magic[4];
    stream.read_exactly(magic, sizeof magic, "the header of an IDX file");
    THRESHER_CHECK_AS(
        FileError, magic[0] == 0 && magic[1] == 0 && magic[2] == 8,
        "{}: is no IDX file of u8 (it begins with {:02x} {:02x} {:02x} {:02x}, expected "
        "00 00 08)",
        stream.path(), magic[0], magic[1], magic[2], magic[3]);
    THRESHER_CHECK_AS(FileError, magic[3] >= fewest && magic[3] <= most,
                      "{}: has {} axes, expected {} to {}; are images and labels mixed up?",
                      stream.path(), magic[3], fewest, most);
    std::vector<std::int64_t> shape;
    std::int64_t elements = 1;
    for (int axis = 0; axis < magic[3]; ++axis) {
        unsigned char bytes[4];
        stream.read_exactly(bytes, sizeof bytes, "the header of an IDX file");
        shape.push_back((std::int64_t{bytes[0]} << 24) | (bytes[1] << 16) | (bytes[2] << 8) |
                        bytes[3]);
        if (axis > 0) elements *= shape.back();
        THRESHER_CHECK_AS(
            FileError, shape.back() > 0 && elements <= kMostElements,
            "{}: axis {} of the header is {}; the header is damaged, or the file empty",
            stream.path(), axis, shape.back());
    }
    return shape;
}

std::string existing(const std::string& base) {
    for (const std::string& path : {base, base + ".gz"}) {
        if (fs::exists(path)) return path;
    }
    fail<FileError>("{}: there is no such file, nor one with .gz", base);
}

/// The labels that belong to an images file by the usual names; empty where there are none.
std::string labels_beside(const std::string& images) {
    const fs::path path(images);
    std::string name = path.filename().string();
    const auto replace = [&name](const std::string& from, const std::string& to) {
        const std::size_t at = name.find(from);
        if (at != std::string::npos) name.replace(at, from.size(), to);
        return at != std::string::npos;
    };
    if (!replace("images", "labels")) return {};
    replace("idx3", "idx1");
    const std::string labels = (path.parent_path() / name).string();
    return fs::exists(labels) ? labels : std::string();
}

}  // namespace

ImportReport import_idx(const ImportOptions& options, const Provenance& provenance) {
    std::string images = options.source, labels = options.labels;
    if (fs::is_directory(options.source)) {
        THRESHER_CHECK_AS(UsageError, options.split == "train" || options.split == "test",
                          "--split is \"{}\"; allowed for idx: train, test", options.split);
        const std::string base = options.source + (options.split == "test" ? "/t10k" : "/train");
        images = existing(base + "-images-idx3-ubyte");
        labels = existing(base + "-labels-idx1-ubyte");
    } else if (labels.empty()) {
        labels = labels_beside(images);
    }
    ByteStream image_stream(images);
    const std::vector<std::int64_t> shape = read_header(image_stream, 2, 4);
    std::optional<ByteStream> label_stream;
    if (!labels.empty()) {
        label_stream.emplace(labels);
        const std::int64_t count = read_header(*label_stream, 1, 1)[0];
        THRESHER_CHECK_AS(FileError, count == shape[0], "{}: holds {} labels, {} holds {} images",
                          labels, count, images, shape[0]);
    }
    PoolSchema schema;
    schema.input_shape.assign(shape.begin() + 1, shape.end());
    if (shape.size() == 3) schema.input_shape.insert(schema.input_shape.begin(), 1);
    schema.scale = 1.0 / 255.0;
    schema.targets = label_stream.has_value();
    ImportSink sink(options, schema, provenance, options.class_names.empty() ? shape[0] : 0);
    std::int64_t elements = 1;
    for (std::size_t axis = 1; axis < shape.size(); ++axis) elements *= shape[axis];
    std::vector<std::byte> row(static_cast<std::size_t>(elements));
    for (std::int64_t i = 0; i < shape[0]; ++i) {
        image_stream.read_exactly(row.data(), row.size(),
                                  fmt::format("image {} of {}", i, shape[0]));
        unsigned char label = 0;
        if (label_stream) {
            label_stream->read_exactly(&label, 1, fmt::format("label {} of {}", i, shape[0]));
        }
        sink.add(i, row, label_stream ? label : -1);
    }
    return sink.finish();
}

}  // namespace thresher::io
