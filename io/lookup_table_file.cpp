#include "io/lookup_table_file.hpp"

#include <fmt/ranges.h>

#include "io/hdf5/file.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr const char* kFormat = "thresher-table";

template <class T>
constexpr hdf5::Type type_of() {
    if constexpr (std::is_same_v<T, std::uint64_t>) return hdf5::Type::uint64;
    if constexpr (std::is_same_v<T, std::int64_t>) return hdf5::Type::int64;
    if constexpr (std::is_same_v<T, float>) return hdf5::Type::float32;
    if constexpr (std::is_same_v<T, double>) return hdf5::Type::float64;
}

template <class T>
void write(hdf5::File& file, const std::string& name, std::vector<std::int64_t> shape,
           std::span<const T> values, const std::string& description,
           const std::string& unit = "") {
    file.create_dataset({.name = name,
                         .type = type_of<T>(),
                         .shape = shape,
                         .description = description,
                         .unit = unit})
        .write_rows({0, shape[0]}, type_of<T>(), std::as_bytes(values));
}

/// The whole dataset; `columns` 0: one axis.
template <class T>
std::vector<T> read(const hdf5::File& file, const std::string& name, std::int64_t rows,
                    std::int64_t columns) {
    const hdf5::Dataset dataset = file.dataset(name);
    const std::vector<std::int64_t> expected =
        columns == 0 ? std::vector{rows} : std::vector{rows, columns};
    THRESHER_CHECK_AS(FileError, dataset.shape() == expected,
                      "{}: {} has shape [{}], expected [{}]", file.path(), name,
                      fmt::join(dataset.shape(), ", "), fmt::join(expected, ", "));
    std::vector<T> values(static_cast<std::size_t>(rows * std::max<std::int64_t>(1, columns)));
    dataset.read_rows({0, rows}, type_of<T>(), std::as_writable_bytes(std::span(values)));
    return values;
}

std::int64_t integer(const hdf5::File& file, const std::string& name) {
    const auto value = hdf5::read_integer(file.root(), name);
    THRESHER_CHECK_AS(FileError, value.has_value() && *value >= 1,
                      "{}: the attribute {} is missing or below 1", file.path(), name);
    return *value;
}

}  // namespace

void write_lookup_table(const std::string& path, const LookupTable& table,
                        const Provenance& provenance, Overwrite overwrite) {
    AtomicFile place(path, overwrite);
    hdf5::File file = hdf5::File::create(place.temporary());
    write_provenance(file, kFormat, provenance);
    const hdf5::ObjectRef root = file.root();
    const std::int64_t n = table.subsets.candidates(), r = table.size();
    hdf5::write_attribute(root, "candidates", n);
    hdf5::write_attribute(root, "trainings", table.repeats);
    hdf5::write_attribute(root, "candidates_checksum", table.candidates_checksum);
    hdf5::write_attribute(root, "proxy", table.proxy);
    hdf5::write_attribute(root, "classes", table.facts.classes);
    write<std::uint64_t>(file, "/subsets", {r, table.subsets.words()}, table.subsets.bits(),
                         "subset of each record: bit j mod 64 of word j div 64 is candidate j");
    for (const auto& [name, values] : table.metrics) {
        write<double>(file, "/metrics/" + name, {r, table.repeats}, values,
                      name + " on the reward points of each training; higher is better");
    }
    write<std::int64_t>(file, "/numbers", {r}, table.numbers,
                        "number of each record, under its seed");
    write<std::uint64_t>(file, "/seeds", {r}, table.seeds, "seed under which subsets were drawn");
    write<double>(file, "/seconds", {r}, table.seconds, "time of a record's trainings", "s");
    write<std::int64_t>(file, "/ids", {n}, table.ids, "id of each candidate");
    const CandidateFacts& facts = table.facts;
    const std::int64_t labelled = std::ssize(facts.labelled_features) / facts.dimensions;
    write<float>(file, "/candidates/features", {n, facts.dimensions}, facts.features,
                 "features of the candidates");
    write<float>(file, "/candidates/labelled_features", {labelled, facts.dimensions},
                 facts.labelled_features, "features of the labelled points");
    write<float>(file, "/candidates/log_probs", {n, facts.classes}, facts.log_probs,
                 "log-probabilities of the candidates, by a learner of the labelled points");
    if (!facts.label_counts.empty()) {
        write<float>(file, "/candidates/label_counts", {n, std::ssize(facts.label_counts) / n},
                     facts.label_counts, "labels of each class that labelling a candidate gives");
    }
    file.close();
    place.commit();
}

LookupTable read_lookup_table(const std::string& path) {
    const hdf5::File file = hdf5::File::open(path);
    expect_format(file, kFormat);
    const std::int64_t n = integer(file, "candidates");
    LookupTable table(n);
    table.repeats = integer(file, "trainings");
    table.candidates_checksum = hdf5::read_string(file.root(), "candidates_checksum").value_or("");
    table.proxy = hdf5::read_string(file.root(), "proxy").value_or("");
    const std::int64_t r = file.dataset("/subsets").rows();
    try {
        table.subsets =
            PackedSubsets(n, read<std::uint64_t>(file, "/subsets", r, table.subsets.words()));
    } catch (const Error& error) {
        fail<FileError>("{}: /subsets: {}", path, error.what());
    }
    for (const std::string& name : file.list("/metrics")) {
        table.metrics[name] = read<double>(file, "/metrics/" + name, r, table.repeats);
    }
    THRESHER_CHECK_AS(FileError, !table.metrics.empty(), "{}: has no metric under /metrics", path);
    table.numbers = read<std::int64_t>(file, "/numbers", r, 0);
    table.seeds = read<std::uint64_t>(file, "/seeds", r, 0);
    table.seconds = read<double>(file, "/seconds", r, 0);
    table.ids = read<std::int64_t>(file, "/ids", n, 0);
    CandidateFacts& facts = table.facts;
    const hdf5::Dataset features = file.dataset("/candidates/features");
    facts.dimensions = features.elements_per_row();
    facts.classes = integer(file, "classes");
    facts.features = read<float>(file, "/candidates/features", n, facts.dimensions);
    facts.labelled_features =
        read<float>(file, "/candidates/labelled_features",
                    file.dataset("/candidates/labelled_features").rows(), facts.dimensions);
    facts.log_probs = read<float>(file, "/candidates/log_probs", n, facts.classes);
    if (file.is_dataset("/candidates/label_counts")) {
        facts.label_counts =
            read<float>(file, "/candidates/label_counts", n,
                        file.dataset("/candidates/label_counts").elements_per_row());
    }
    return table;
}

}  // namespace thresher::io
