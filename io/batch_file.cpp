#include "io/batch_file.hpp"

#include <fcntl.h>
#include <fmt/compile.h>

#include <algorithm>
#include <filesystem>

#include "io/checksum.hpp"
#include "io/csv.hpp"
#include "io/descriptor.hpp"
#include "io/hdf5/file.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr const char* kFormat = "thresher-batch";

/// Over all datasets, and over what says how the batch was chosen.
std::string content_checksum(const Batch& batch) {
    Checksum checksum;
    const auto add = [&](const auto& values) {
        checksum.add(values.data(), values.size() * sizeof values[0]);
    };
    add(batch.ids);
    add(batch.scores);
    add(batch.inclusion_probabilities);
    add(batch.weights);
    add(fmt::format("{}\n{}\n{}\n{}\n{}\n", fmt::join(batch.names, "\n"), batch.acquisition,
                    batch.selector, batch.seed, batch.round));
    if (batch.beta) add(fmt::format("{}", *batch.beta));
    return checksum.text();
}

void write_h5(const std::string& path, const Batch& batch, const Provenance& provenance) {
    const auto k = static_cast<std::int64_t>(batch.ids.size());
    hdf5::File file = hdf5::File::create(path);
    write_provenance(file, kFormat, provenance);
    const hdf5::ObjectRef root = file.root();
    hdf5::write_attribute(root, "acquisition", batch.acquisition);
    hdf5::write_attribute(root, "selector", batch.selector);
    hdf5::write_attribute(root, "k", k);
    if (batch.beta) {
        hdf5::write_attribute(root, "beta", *batch.beta);
        hdf5::write_attribute(root, "temperature", 1.0 / *batch.beta);
    }
    hdf5::write_attribute(root, "seed", static_cast<std::int64_t>(batch.seed));
    hdf5::write_attribute(root, "round", batch.round);
    hdf5::write_attribute(root, "checksum", content_checksum(batch));
    for (const auto& [name, value] : batch.settings) hdf5::write_attribute(root, name, value);
    file.create_dataset({.name = "/ids",
                         .type = hdf5::Type::int64,
                         .shape = {k},
                         .description = "ids of the picked rows, in pick order"})
        .write_rows({0, k}, hdf5::Type::int64, std::as_bytes(std::span(batch.ids)));
    file.create_dataset({.name = "/scores",
                         .type = hdf5::Type::float32,
                         .shape = {k},
                         .description = "score of each picked row"})
        .write_rows({0, k}, hdf5::Type::float32, std::as_bytes(std::span(batch.scores)));
    const auto write_doubles = [&](const std::string& name, const std::vector<double>& values,
                                   const std::string& description) {
        if (values.empty()) return;
        file.create_dataset({.name = name,
                             .type = hdf5::Type::float64,
                             .shape = {k},
                             .description = description})
            .write_rows({0, k}, hdf5::Type::float64, std::as_bytes(std::span(values)));
    };
    write_doubles("/inclusion_probabilities", batch.inclusion_probabilities,
                  "probability that the row is picked, given the best row that was not");
    write_doubles("/weights", batch.weights,
                  "importance weight: the sum of weight x f over the batch estimates the mean of f "
                  "over the pool without bias");
    if (!batch.names.empty()) {
        std::int64_t longest = 1;
        for (const std::string& name : batch.names) {
            longest = std::max(longest, static_cast<std::int64_t>(name.size()));
        }
        file.create_dataset({.name = "/names",
                             .type = hdf5::Type::text,
                             .shape = {k},
                             .description = "name of each picked row",
                             .text_bytes = longest})
            .write_text({0, k}, batch.names);
    }
    file.close();
}

constexpr std::string_view kListHeader = "id,score,name,label\n";

void write_csv(const std::string& path, const Batch& batch) {
    constexpr std::size_t kChunk = 1 << 16;
    Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
    std::string text(kListHeader);
    for (std::size_t i = 0; i < batch.ids.size(); ++i) {
        char numbers[64];
        const char* end =
            fmt::format_to(numbers, FMT_COMPILE("{},{},"), batch.ids[i], batch.scores[i]);
        text.append(numbers, static_cast<std::size_t>(end - numbers));
        if (!batch.names.empty()) text += csv_field(batch.names[i]);
        text += ",\n";
        if (text.size() > kChunk) {
            file.write(text);
            text.clear();
        }
    }
    file.write(text);
    file.close();
}

}  // namespace

std::string csv_path_of_batch(const std::string& path) {
    return std::filesystem::path(path).replace_extension(".csv").string();
}

std::int64_t labels_filled_in(const std::string& path) {
    const std::string list = csv_path_of_batch(path);
    if (!std::filesystem::exists(list)) return 0;
    const std::string text = read_file(list);
    std::string_view rest = without_byte_order_mark(text, list), line;
    std::vector<std::string> fields;
    if (!next_line(rest, line)) return 0;
    const char separator = csv_separator(line);
    split_csv_line(line, fields, separator);
    const auto column = std::find(fields.begin(), fields.end(), "label") - fields.begin();
    std::int64_t filled = 0;
    while (next_line(rest, line)) {
        // As written: the label comes last and is empty.
        if (column == 3 && line.ends_with(',') && std::count(line.begin(), line.end(), ',') == 3) {
            continue;
        }
        split_csv_line(line, fields, separator);
        if (column < std::ssize(fields) && !fields[static_cast<std::size_t>(column)].empty()) {
            ++filled;
        }
    }
    return filled;
}

bool list_is_left_over(const std::string& path) {
    const std::string list = csv_path_of_batch(path);
    return !std::filesystem::exists(path) && std::filesystem::exists(list) &&
           read_file(list).rfind(kListHeader, 0) == 0 && labels_filled_in(path) == 0;
}

void check_batch_path(const std::string& path) {
    THRESHER_CHECK_AS(
        UsageError, std::filesystem::path(path).extension() == ".h5",
        "{}: a batch file must end in .h5; the list for people to label is put beside it as .csv",
        path);
}

void write_batch(const std::string& path, const Batch& batch, const Provenance& provenance,
                 Overwrite overwrite) {
    THRESHER_CHECK(batch.ids.size() == batch.scores.size() &&
                       (batch.names.empty() || batch.names.size() == batch.ids.size()),
                   "{}: a batch of {} ids with {} scores and {} names", path, batch.ids.size(),
                   batch.scores.size(), batch.names.size());
    check_batch_path(path);
    const Overwrite overwrite_list = list_is_left_over(path) ? Overwrite::yes : overwrite;
    AtomicFile file(path, overwrite), list(csv_path_of_batch(path), overwrite_list);
    write_h5(file.temporary(), batch, provenance);
    write_csv(list.temporary(), batch);
    list.commit();
    file.commit();
}

Batch read_batch(const std::string& path) {
    const hdf5::File file = hdf5::File::open(path);
    expect_format(file, kFormat);
    Batch batch;
    const hdf5::Dataset ids = file.dataset("/ids"), scores = file.dataset("/scores");
    THRESHER_CHECK_AS(FileError,
                      ids.shape().size() == 1 && ids.is_integer() && scores.shape() == ids.shape(),
                      "{}: /ids has shape [{}] and /scores [{}], expected i64 [k] and f32 [k]",
                      path, fmt::join(ids.shape(), ", "), fmt::join(scores.shape(), ", "));
    batch.ids.resize(static_cast<std::size_t>(ids.rows()));
    batch.scores.resize(batch.ids.size());
    ids.read({0, ids.rows()}, batch.ids);
    scores.read({0, ids.rows()}, batch.scores);
    const auto read_doubles = [&](const std::string& name, std::vector<double>& values) {
        if (!file.is_dataset(name)) return;
        const hdf5::Dataset dataset = file.dataset(name);
        THRESHER_CHECK_AS(FileError, dataset.shape() == ids.shape(),
                          "{}: {} has shape [{}], /ids [{}]", path, name,
                          fmt::join(dataset.shape(), ", "), fmt::join(ids.shape(), ", "));
        values.resize(batch.ids.size());
        dataset.read({0, ids.rows()}, values);
    };
    read_doubles("/inclusion_probabilities", batch.inclusion_probabilities);
    read_doubles("/weights", batch.weights);
    if (file.is_dataset("/names")) {
        const hdf5::Dataset names = file.dataset("/names");
        THRESHER_CHECK_AS(FileError, names.shape() == ids.shape(),
                          "{}: /names has shape [{}], /ids [{}]", path,
                          fmt::join(names.shape(), ", "), fmt::join(ids.shape(), ", "));
        batch.names = names.read_text({0, names.rows()});
    }
    const hdf5::ObjectRef root = file.root();
    batch.acquisition = hdf5::read_string(root, "acquisition").value_or("");
    batch.selector = hdf5::read_string(root, "selector").value_or("");
    batch.beta = hdf5::read_number(root, "beta");
    batch.seed = static_cast<std::uint64_t>(hdf5::read_integer(root, "seed").value_or(0));
    batch.round = hdf5::read_integer(root, "round").value_or(0);
    const auto checksum = hdf5::read_string(root, "checksum");
    THRESHER_CHECK_AS(
        FileError, !checksum || *checksum == content_checksum(batch),
        "{}: its contents do not match the attribute checksum: the file is damaged, select "
        "again (or remove the attribute, if they were changed on purpose)",
        path);
    return batch;
}

}  // namespace thresher::io
