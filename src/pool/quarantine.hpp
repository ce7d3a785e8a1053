#pragma once

// Rows that cannot be scored, imported or trained on: set apart with the reason, counted, never
// selected.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/collective.hpp"

namespace thresher {

struct QuarantinedRow {
    std::int64_t id;
    std::string reason;
};

/// How many bad rows a job puts up with: a count, or a share of all rows.
struct BadLimit {
    double value = 0.01;
    bool is_share = true;

    /// "1%" is a share, "20" a count; throws UsageError on anything else.
    static BadLimit parse(const std::string& text);
    std::int64_t rows_allowed(std::int64_t total) const;
};

/// All ranks' rows, in id order, at the root; empty elsewhere. Collective.
std::vector<QuarantinedRow> gather_quarantine(Collective& collective,
                                              const std::vector<QuarantinedRow>& own);

/// Throws the same Error on every rank if the ranks together have more bad rows than `limit` allows
/// of `total`; the message names the first few ids with their reasons. `what` is the word for what
/// is counted. Collective.
void check_bad_rows(Collective& collective, const std::vector<QuarantinedRow>& own,
                    std::int64_t total, const BadLimit& limit, std::string_view what = "rows");

}  // namespace thresher
