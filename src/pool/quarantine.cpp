#include "src/pool/quarantine.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "src/base/check.hpp"

namespace thresher {

namespace {

struct PackedRows {
    std::vector<std::int64_t> ids, reason_lengths;
    std::string reasons;
};

PackedRows pack(std::span<const QuarantinedRow> rows) {
    PackedRows packed;
    for (const auto& row : rows) {
        packed.ids.push_back(row.id);
        packed.reason_lengths.push_back(static_cast<std::int64_t>(row.reason.size()));
        packed.reasons += row.reason;
    }
    return packed;
}

std::vector<QuarantinedRow> unpack(std::span<const std::int64_t> ids,
                                   std::span<const std::int64_t> reason_lengths,
                                   std::span<const char> reasons) {
    std::vector<QuarantinedRow> rows;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto length = static_cast<std::size_t>(reason_lengths[i]);
        rows.push_back({ids[i], std::string(reasons.data() + begin, length)});
        begin += length;
    }
    std::stable_sort(rows.begin(), rows.end(),
                     [](const auto& a, const auto& b) { return a.id < b.id; });
    return rows;
}

}  // namespace

BadLimit BadLimit::parse(const std::string& text) {
    const bool is_share = !text.empty() && text.back() == '%';
    const char* end = text.data() + text.size() - (is_share ? 1 : 0);
    double value = 0.0;
    const auto [rest, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
    const bool is_number = error == std::errc() && rest == end && value >= 0.0;
    const bool in_range = is_share ? value <= 100.0 : value == std::floor(value) && value <= 0x1p53;
    THRESHER_CHECK_AS(
        UsageError, is_number && in_range,
        "--max-bad \"{}\" is not understood; allowed: a count such as 20, or a share of "
        "all rows between 0% and 100% such as 1%",
        text);
    return {is_share ? value / 100.0 : value, is_share};
}

std::int64_t BadLimit::rows_allowed(std::int64_t total) const {
    if (!is_share) return static_cast<std::int64_t>(value);
    // A share such as 29 % is not exact in binary: 29 % of 100 rows are 29, not 28.
    const double rows = value * static_cast<double>(total);
    return static_cast<std::int64_t>(std::floor(rows * (1.0 + 1e-12)));
}

std::vector<QuarantinedRow> gather_quarantine(Collective& collective,
                                              const std::vector<QuarantinedRow>& own) {
    const PackedRows packed = pack(own);
    const auto ids = collective.gather_v(std::span<const std::int64_t>(packed.ids));
    const auto lengths = collective.gather_v(std::span<const std::int64_t>(packed.reason_lengths));
    const auto reasons = collective.gather_v(std::span<const char>(packed.reasons));
    return unpack(ids.values, lengths.values, reasons.values);
}

void check_bad_rows(Collective& collective, const std::vector<QuarantinedRow>& own,
                    std::int64_t total, const BadLimit& limit, std::string_view what) {
    auto bad = static_cast<std::int64_t>(own.size());
    collective.all_reduce_sum(std::span(&bad, 1));
    const std::int64_t allowed = limit.rows_allowed(total);
    if (bad <= allowed) return;

    constexpr std::size_t kShown = 5;
    std::vector<QuarantinedRow> shown(std::min(own.size(), kShown));
    std::partial_sort_copy(own.begin(), own.end(), shown.begin(), shown.end(),
                           [](const auto& a, const auto& b) { return a.id < b.id; });
    const PackedRows packed = pack(shown);
    const auto ids = collective.all_gather_v(std::span<const std::int64_t>(packed.ids));
    const auto lengths =
        collective.all_gather_v(std::span<const std::int64_t>(packed.reason_lengths));
    const auto reasons = collective.all_gather_v(std::span<const char>(packed.reasons));
    const auto rows = unpack(ids.values, lengths.values, reasons.values);

    std::string list;
    for (std::size_t i = 0; i < std::min(rows.size(), kShown); ++i) {
        list += fmt::format("{}id {} ({})", i == 0 ? "" : ", ", rows[i].id, rows[i].reason);
    }
    if (bad > static_cast<std::int64_t>(kShown)) list += ", ...";
    const std::string limit_text = limit.is_share ? fmt::format("{:g}%", 100.0 * limit.value)
                                                  : fmt::format("{:g}", limit.value);
    fail<Error>(
        "{} of {} {} are bad, more than the {} that --max-bad {} allows: {}; repair the data or "
        "raise --max-bad",
        bad, total, what, allowed, limit_text, list);
}

}  // namespace thresher
