#include "io/policy_file.hpp"

#include <algorithm>
#include <cmath>

#include "io/hdf5/file.hpp"
#include "src/base/check.hpp"
#include "src/policy/network/lstm.hpp"

namespace thresher::io {

namespace {

constexpr const char* kFormat = "thresher-policy";
constexpr const char* kChecksums = "/environment_checksums";

/// A number that the file must have, from `least` to `most`.
std::int64_t number_in(const hdf5::File& file, const std::string& name, std::int64_t least,
                       std::int64_t most) {
    const auto value = hdf5::read_integer(file.root(), name);
    THRESHER_CHECK_AS(FileError, value && *value >= least && *value <= most,
                      "{}: attribute {} is {}; a policy has one from {} to {}", file.path(), name,
                      value ? fmt::format("{}", *value) : "missing", least, most);
    return *value;
}

std::string text_in(const hdf5::File& file, const std::string& name) {
    const auto value = hdf5::read_string(file.root(), name);
    THRESHER_CHECK_AS(FileError, value && !value->empty(),
                      "{}: attribute {} is missing, which a policy has", file.path(), name);
    return *value;
}

}  // namespace

void write_policy(const std::string& path, const TrainedPolicy& trained,
                  const Provenance& provenance, Overwrite overwrite) {
    AtomicFile place(path, overwrite);
    hdf5::File file = hdf5::File::create(place.temporary());
    write_provenance(file, kFormat, provenance);
    const hdf5::ObjectRef root = file.root();
    const PolicyShape& shape = trained.policy.shape;
    hdf5::write_attribute(root, "head", trained.policy.head);
    hdf5::write_attribute(root, "features", shape.features);
    hdf5::write_attribute(root, "hidden", shape.hidden);
    hdf5::write_attribute(root, "outputs", shape.outputs);
    hdf5::write_attribute(root, "logit_bound", trained.policy.logit_bound);
    hdf5::write_attribute(root, "feature_kinds", trained.feature_kinds);
    hdf5::write_attribute(root, "picks", trained.picks);
    hdf5::write_attribute(root, "environment", trained.environment);
    hdf5::write_attribute(root, "retrainings", trained.retrainings);
    const auto count = std::ssize(trained.policy.parameters);
    file.create_dataset({.name = "/parameters",
                         .type = hdf5::Type::float32,
                         .shape = {count},
                         .description =
                             "features [F, 4 H], step inputs [4, 4 H], recurrent [H, 4 H], "
                             "bias [4 H], output [S, H], output bias [S], value [H], "
                             "value bias [1]; gates in the order input, forget, cell, "
                             "output"})
        .write_rows({0, count}, hdf5::Type::float32,
                    std::as_bytes(std::span(trained.policy.parameters)));
    if (!trained.environment_checksums.empty()) {
        const auto environments = std::ssize(trained.environment_checksums);
        std::size_t width = 1;
        for (const std::string& checksum : trained.environment_checksums) {
            width = std::max(width, checksum.size());
        }
        file.create_dataset({.name = kChecksums,
                             .type = hdf5::Type::text,
                             .shape = {environments},
                             .description = "checksum of each environment it was trained in",
                             .text_bytes = static_cast<std::int64_t>(width)})
            .write_text({0, environments}, trained.environment_checksums);
    }
    for (const auto& [name, values] : trained.curves) {
        const auto length = std::ssize(values);
        file.create_dataset({.name = "/curves/" + name,
                             .type = hdf5::Type::float64,
                             .shape = {length},
                             .description = name})
            .write_rows({0, length}, hdf5::Type::float64, std::as_bytes(std::span(values)));
    }
    file.close();
    place.commit();
}

TrainedPolicy read_policy(const std::string& path) {
    constexpr std::int64_t kMany = std::int64_t{1} << 20;
    const hdf5::File file = hdf5::File::open(path);
    expect_format(file, kFormat);
    TrainedPolicy trained;
    Policy& policy = trained.policy;
    policy.head = text_in(file, "head");
    policy.shape.features = number_in(file, "features", 1, kMany);
    policy.shape.hidden = number_in(file, "hidden", kHiddenStep, kMany);
    policy.shape.outputs = number_in(file, "outputs", 1, kMany);
    policy.logit_bound = hdf5::read_number(file.root(), "logit_bound").value_or(0.0);
    trained.feature_kinds =
        hdf5::read_strings(file.root(), "feature_kinds").value_or(std::vector<std::string>{});
    trained.picks = number_in(file, "picks", 1, kMany);
    trained.environment = hdf5::read_string(file.root(), "environment").value_or("");
    if (file.is_dataset(kChecksums)) {
        const hdf5::Dataset checksums = file.dataset(kChecksums);
        trained.environment_checksums = checksums.read_text({0, checksums.rows()});
    }
    trained.retrainings = hdf5::read_integer(file.root(), "retrainings").value_or(0);
    THRESHER_CHECK_AS(FileError, policy.shape.hidden % kHiddenStep == 0 && policy.logit_bound > 0.0,
                      "{}: a hidden size of {} and a logit bound of {}; the first is a multiple of "
                      "{}, the second above 0",
                      path, policy.shape.hidden, policy.logit_bound, kHiddenStep);
    THRESHER_CHECK_AS(FileError, !trained.feature_kinds.empty(),
                      "{}: attribute feature_kinds is missing, which a policy has", path);
    const hdf5::Dataset parameters = file.dataset("/parameters");
    const std::int64_t expected = parameter_count(policy.shape);
    THRESHER_CHECK_AS(FileError, parameters.shape().size() == 1 && parameters.rows() == expected,
                      "{}: /parameters has shape [{}], but a policy of {} features, hidden size {} "
                      "and {} outputs has {}",
                      path, fmt::join(parameters.shape(), ", "), policy.shape.features,
                      policy.shape.hidden, policy.shape.outputs, expected);
    policy.parameters.resize(static_cast<std::size_t>(expected));
    parameters.read({0, expected}, policy.parameters);
    THRESHER_CHECK_AS(FileError,
                      std::all_of(policy.parameters.begin(), policy.parameters.end(),
                                  [](float value) { return std::isfinite(value); }),
                      "{}: /parameters holds numbers that are not finite", path);
    for (const std::string& name : file.list("/curves")) {
        const hdf5::Dataset curve = file.dataset("/curves/" + name);
        std::vector<double>& values = trained.curves[name];
        values.resize(static_cast<std::size_t>(curve.rows()));
        curve.read({0, curve.rows()}, values);
    }
    return trained;
}

}  // namespace thresher::io
