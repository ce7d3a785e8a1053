#include <functional>

#include "io/atomic_file.hpp"
#include "io/hdf5/file.hpp"
#include "io/run/run_directory.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr const char* kFormat = "thresher-run";

/// Calls body(name below `group`) for every dataset in it, at any depth.
void for_each_dataset(const hdf5::File& file, const std::string& group,
                      const std::function<void(const std::string& name)>& body,
                      const std::string& prefix = "") {
    for (const std::string& name : file.list(group + (prefix.empty() ? "" : "/" + prefix))) {
        const std::string below = prefix.empty() ? name : prefix + "/" + name;
        if (file.is_dataset(group + "/" + below)) {
            body(below);
        } else {
            for_each_dataset(file, group, body, below);
        }
    }
}

}  // namespace

void write_run(const std::string& path, const RunRecord& record, const Provenance& provenance) {
    AtomicFile place(path, Overwrite::yes);
    hdf5::File file = hdf5::File::create(place.temporary());
    write_provenance(file, kFormat, provenance);
    for (const char* group : {"/curves", "/cycles", "/ledger"}) file.create_group(group);
    for (const auto& [name, curve] : record.curves) {
        std::int64_t size = 1;
        for (std::int64_t extent : curve.shape) size *= extent;
        THRESHER_CHECK(!curve.shape.empty() && std::cmp_equal(size, curve.values.size()),
                       "{}: curve {} has {} values for the shape [{}]", path, name,
                       curve.values.size(), fmt::join(curve.shape, ", "));
        file.create_dataset({.name = "/curves/" + name,
                             .type = hdf5::Type::float64,
                             .shape = curve.shape,
                             .description = curve.description.empty() ? name : curve.description,
                             .unit = curve.unit})
            .write_rows({0, curve.shape[0]}, hdf5::Type::float64,
                        std::as_bytes(std::span(curve.values)));
    }
    for (const auto& [name, ids] : record.batches) {
        const auto k = static_cast<std::int64_t>(ids.size());
        file.create_dataset({.name = "/cycles/" + name + "/batch_ids",
                             .type = hdf5::Type::int64,
                             .shape = {k},
                             .description = "ids picked in this cycle, in pick order"})
            .write_rows({0, k}, hdf5::Type::int64, std::as_bytes(std::span(ids)));
    }
    for (const auto& [name, value] : record.ledger) {
        const std::string kind = name.substr(0, name.find('/'));
        file.create_dataset({.name = "/ledger/" + name,
                             .type = hdf5::Type::float64,
                             .shape = {1},
                             .description = name,
                             .unit = kind == "seconds" ? "s"
                                     : kind == "bytes" ? "B"
                                                       : ""})
            .write_rows({0, 1}, hdf5::Type::float64, std::as_bytes(std::span(&value, 1)));
    }
    file.close();
    place.commit();
}

RunRecord read_run(const std::string& path) {
    const hdf5::File file = hdf5::File::open(path);
    expect_format(file, kFormat);
    RunRecord record;
    for_each_dataset(file, "/curves", [&](const std::string& name) {
        const hdf5::Dataset dataset = file.dataset("/curves/" + name);
        Curve curve;
        curve.shape = dataset.shape();
        curve.values.resize(static_cast<std::size_t>(dataset.rows() * dataset.elements_per_row()));
        dataset.read({0, dataset.rows()}, curve.values);
        curve.description = hdf5::read_string(dataset.ref(), "description").value_or("");
        curve.unit = hdf5::read_string(dataset.ref(), "unit").value_or("");
        record.curves.emplace(name, std::move(curve));
    });
    for_each_dataset(file, "/cycles", [&](const std::string& name) {
        constexpr std::string_view kSuffix = "/batch_ids";
        if (!name.ends_with(kSuffix)) return;
        const hdf5::Dataset dataset = file.dataset("/cycles/" + name);
        std::vector<std::int64_t> ids(static_cast<std::size_t>(dataset.rows()));
        dataset.read({0, dataset.rows()}, ids);
        record.batches.emplace(name.substr(0, name.size() - kSuffix.size()), std::move(ids));
    });
    for_each_dataset(file, "/ledger", [&](const std::string& name) {
        const hdf5::Dataset dataset = file.dataset("/ledger/" + name);
        THRESHER_CHECK_AS(FileError, dataset.rows() == 1 && dataset.elements_per_row() == 1,
                          "{}: /ledger/{} is no single number", path, name);
        double value = 0.0;
        dataset.read({0, 1}, std::span(&value, 1));
        record.ledger.emplace(name, value);
    });
    return record;
}

}  // namespace thresher::io
