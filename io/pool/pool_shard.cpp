#include "io/pool/pool_shard.hpp"

#include <cmath>

#include "io/provenance.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

using Problems = std::vector<std::string>;

/// The dataset `name` if the file has it and it has one value a row; what is wrong goes to
/// `problems`.
std::optional<hdf5::Dataset> column(const hdf5::File& file, const std::string& name,
                                    std::int64_t rows, bool text, Problems& problems) {
    if (!file.is_dataset(name)) return std::nullopt;
    hdf5::Dataset dataset = file.dataset(name);
    if (dataset.shape().size() != 1 || dataset.rows() != rows) {
        problems.push_back(fmt::format("{} has shape [{}], expected [{}], one value a row", name,
                                       fmt::join(dataset.shape(), ", "), rows));
        return std::nullopt;
    }
    if (text ? dataset.type() != hdf5::Type::text : !dataset.is_integer()) {
        problems.push_back(fmt::format("{} is {}, expected {}", name,
                                       hdf5::type_name(dataset.type()),
                                       text ? "text" : "integers"));
        return std::nullopt;
    }
    return dataset;
}

void read_inputs_info(PoolShard& shard, const PoolPaths& paths, Problems& problems) {
    const hdf5::File& file = shard.file;
    PoolInfo& info = shard.info;
    if (!file.is_dataset(paths.inputs)) {
        problems.push_back(
            fmt::format("there is no dataset {}; the file has {}; name another with "
                        "--inputs",
                        paths.inputs, fmt::join(file.list("/"), ", ")));
        return;
    }
    shard.inputs = file.dataset(paths.inputs);
    const hdf5::Dataset& inputs = *shard.inputs;
    if (inputs.shape().empty()) {
        problems.push_back(
            fmt::format("{} is a single value, expected an array of rows", paths.inputs));
        return;
    }
    info.rows = inputs.rows();
    info.input_shape.assign(inputs.shape().begin() + 1, inputs.shape().end());
    if (info.input_shape.empty()) info.input_shape = {1};
    if (info.rows == 0 || info.elements_per_row() == 0) {
        problems.push_back(fmt::format("{} has shape [{}]: the pool is empty", paths.inputs,
                                       fmt::join(inputs.shape(), ", ")));
    }
    if (inputs.type() == hdf5::Type::uint8) {
        info.element_type = ElementType::uint8;
    } else if (inputs.type() == hdf5::Type::float32) {
        info.element_type = ElementType::float32;
    } else {
        problems.push_back(fmt::format("{} is {}, expected u8 or f32", paths.inputs,
                                       hdf5::type_name(inputs.type())));
    }
}

void read_normalisation(PoolShard& shard, Problems& problems) {
    PoolInfo& info = shard.info;
    const hdf5::ObjectRef inputs = shard.inputs->ref();
    info.scale = hdf5::read_number(inputs, "scale")
                     .value_or(info.element_type == ElementType::uint8 ? 1.0 / 255.0 : 1.0);
    info.mean = hdf5::read_numbers(inputs, "mean").value_or(std::vector<double>{0.0});
    info.std = hdf5::read_numbers(inputs, "std").value_or(std::vector<double>{1.0});
    const auto channels = static_cast<std::size_t>(info.input_shape[0]);
    const auto fits = [&](const std::vector<double>& values) {
        return values.size() == 1 || values.size() == channels;
    };
    if (!fits(info.mean) || !fits(info.std)) {
        problems.push_back(
            fmt::format("the attributes mean and std of {} have {} and {} values, expected 1 or {}",
                        inputs.name, info.mean.size(), info.std.size(), channels));
    }
    bool usable = std::isfinite(info.scale) && info.scale != 0.0;
    for (double value : info.mean) usable = usable && std::isfinite(value);
    for (double value : info.std) usable = usable && std::isfinite(value) && value > 0.0;
    if (!usable) {
        problems.push_back(fmt::format(
            "the attributes scale = {}, mean = [{}], std = [{}] of {} "
            "must be finite, scale not 0 and std above 0",
            info.scale, fmt::join(info.mean, ", "), fmt::join(info.std, ", "), inputs.name));
    }
}

void read_columns(PoolShard& shard, const PoolPaths& paths, Problems& problems) {
    PoolInfo& info = shard.info;
    const auto integers = [&](const std::string& name) {
        return column(shard.file, name, info.rows, false, problems);
    };
    if (paths.targets != PoolPaths{}.targets && !shard.file.is_dataset(paths.targets)) {
        problems.push_back(fmt::format("there is no dataset {} (--targets)", paths.targets));
    }
    shard.targets = integers(paths.targets);
    shard.clean_targets = integers("/clean_targets");
    shard.ids = integers("/ids");
    shard.source_ids = integers("/source_ids");
    shard.names = column(shard.file, "/names", info.rows, true, problems);
    info.has_targets = shard.targets.has_value();
    info.has_clean_targets = shard.clean_targets.has_value();
    info.has_ids = shard.ids.has_value();
    info.has_names = shard.names.has_value();
    shard.boxes = open_boxes(shard.file, info.rows, problems);
    info.has_boxes = shard.boxes.has_value();
    info.has_box_areas = info.has_boxes && shard.boxes->areas;
    info.has_image_sizes = info.has_boxes && shard.boxes->image_sizes;
    // A pool that nobody has labelled yet may know its classes all the same.
    const hdf5::ObjectRef classes = shard.boxes     ? shard.boxes->classes.ref()
                                    : shard.targets ? shard.targets->ref()
                                                    : shard.file.root();
    info.class_names =
        hdf5::read_strings(classes, "class_names").value_or(std::vector<std::string>{});
    info.classes = paths.classes;
    if (info.classes == 0) info.classes = static_cast<std::int64_t>(info.class_names.size());
    if (info.classes == 0) {
        info.classes =
            static_cast<std::int64_t>(hdf5::read_number(classes, "classes").value_or(0.0));
    }
}

/// Captions, and the images that they belong to.
void read_text_info(PoolShard& shard, Problems& problems) {
    const hdf5::File& file = shard.file;
    PoolInfo& info = shard.info;
    shard.image_ids = column(file, "/image_ids", info.rows, false, problems);
    if (!file.is_dataset("/tokens")) return;
    shard.tokens = file.dataset("/tokens");
    const hdf5::Dataset& tokens = *shard.tokens;
    if (tokens.shape().size() != 2 || tokens.rows() != info.rows || tokens.shape()[1] < 1 ||
        !tokens.is_integer()) {
        problems.push_back(fmt::format(
            "/tokens is {} of shape [{}], expected integers of shape "
            "[{}, tokens of a caption]",
            hdf5::type_name(tokens.type()), fmt::join(tokens.shape(), ", "), info.rows));
        return;
    }
    info.token_length = tokens.shape()[1];
    info.vocabulary = hdf5::read_integer(tokens.ref(), "vocabulary").value_or(0);
    if (info.vocabulary < 1) {
        problems.emplace_back(
            "/tokens does not say how many tokens there are; give it the attribute vocabulary, "
            "the largest token + 1 or more");
    }
    shard.captions = column(file, "/captions", info.rows, true, problems);
    shard.caption_of = column(file, "/caption_of", info.rows, false, problems);
    info.has_caption_of = shard.caption_of.has_value();
}

}  // namespace

std::unique_ptr<PoolShard> open_pool_shard(const std::string& path, const PoolPaths& paths,
                                           std::vector<std::string>& problems) {
    const auto guard = hdf5::lock();
    auto shard = std::make_unique<PoolShard>(hdf5::File::open(path));
    shard->info.path = path;
    const std::string format = format_of(shard->file);
    if (!format.empty() && format != "thresher-pool") {
        problems.push_back(fmt::format("it is a {} file", format));
        return shard;
    }
    if (!format.empty()) expect_format(shard->file, format);
    read_inputs_info(*shard, paths, problems);
    if (shard->inputs && !shard->inputs->shape().empty()) {
        read_normalisation(*shard, problems);
        read_columns(*shard, paths, problems);
        read_text_info(*shard, problems);
    }
    return shard;
}

void fail_with_problems(const std::string& path, const std::string& expected,
                        const std::vector<std::string>& problems) {
    if (problems.empty()) return;
    if (problems.size() == 1)
        fail<FileError>("{}: is no usable {}: {}", path, expected, problems[0]);
    fail<FileError>("{}: is no usable {}; {} problems:\n  - {}", path, expected, problems.size(),
                    fmt::join(problems, "\n  - "));
}

}  // namespace thresher::io
