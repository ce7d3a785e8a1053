#include "io/quarantine_table.hpp"

#include <algorithm>

#include "src/base/check.hpp"

namespace thresher::io {

void write_quarantine(hdf5::File& file, std::vector<QuarantinedRow> rows) {
    std::stable_sort(rows.begin(), rows.end(),
                     [](const auto& a, const auto& b) { return a.id < b.id; });
    const auto count = static_cast<std::int64_t>(rows.size());
    std::int64_t longest = 1;
    std::vector<std::int64_t> ids;
    std::vector<std::string> reasons;
    for (QuarantinedRow& row : rows) {
        ids.push_back(row.id);
        longest = std::max(longest, static_cast<std::int64_t>(row.reason.size()));
        reasons.push_back(std::move(row.reason));
    }
    hdf5::Dataset id_table =
        file.create_dataset({.name = "/quarantine/ids",
                             .type = hdf5::Type::int64,
                             .shape = {count},
                             .description = "ids of the rows that were set apart, ascending"});
    id_table.write_rows({0, count}, hdf5::Type::int64, std::as_bytes(std::span(ids)));
    hdf5::Dataset reason_table =
        file.create_dataset({.name = "/quarantine/reasons",
                             .type = hdf5::Type::text,
                             .shape = {count},
                             .description = "why each of these rows was set apart",
                             .text_bytes = longest});
    reason_table.write_text({0, count}, reasons);
}

std::vector<QuarantinedRow> read_quarantine(const hdf5::File& file) {
    std::vector<QuarantinedRow> rows;
    if (!file.has("/quarantine/ids") || !file.has("/quarantine/reasons")) return rows;
    const hdf5::Dataset id_table = file.dataset("/quarantine/ids");
    const hdf5::Dataset reason_table = file.dataset("/quarantine/reasons");
    THRESHER_CHECK_AS(FileError, id_table.rows() == reason_table.rows(),
                      "{}: /quarantine/ids has {} rows, /quarantine/reasons {}", file.path(),
                      id_table.rows(), reason_table.rows());
    std::vector<std::int64_t> ids(static_cast<std::size_t>(id_table.rows()));
    id_table.read({0, id_table.rows()}, ids);
    std::vector<std::string> reasons = reason_table.read_text({0, reason_table.rows()});
    for (std::size_t i = 0; i < ids.size(); ++i) rows.push_back({ids[i], std::move(reasons[i])});
    return rows;
}

}  // namespace thresher::io
