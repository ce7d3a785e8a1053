#include "jobs/steps/scoring/id_marks.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "io/id_set.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"

namespace thresher::jobs {

std::vector<std::int64_t> read_ids(Job& job, const std::vector<std::string>& files) {
    std::vector<std::int64_t> ids;
    agree(job.collective(), [&] {
        if (!job.is_root()) return;
        for (const std::string& file : files) {
            const std::vector<std::int64_t> more = io::read_id_set(file);
            ids.insert(ids.end(), more.begin(), more.end());
        }
    });
    if (files.empty()) return ids;
    return job.collective().all_gather_v(std::span<const std::int64_t>(ids)).values;
}

std::vector<std::uint8_t> mark_ids(Collective& collective, std::vector<std::int64_t> ids,
                                   const OwnRows& own, const std::string& origin) {
    std::vector<std::uint8_t> marks;
    if (ids.empty()) return marks;
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    marks.assign(static_cast<std::size_t>(own.rows.size()), 0);
    std::vector<std::int64_t> found(ids.size(), 0);
    if (own.ids.empty()) {
        for (std::size_t i = 0; i < ids.size(); ++i) {
            if (ids[i] < own.rows.begin || ids[i] >= own.rows.end) continue;
            marks[static_cast<std::size_t>(ids[i] - own.rows.begin)] = 1;
            found[i] = 1;
        }
    } else {
        for (std::size_t row = 0; row < own.ids.size(); ++row) {
            const auto place = std::lower_bound(ids.begin(), ids.end(), own.ids[row]);
            if (place == ids.end() || *place != own.ids[row]) continue;
            marks[row] = 1;
            found[static_cast<std::size_t>(place - ids.begin())] = 1;
        }
    }
    collective.all_reduce_sum(std::span(found));
    std::vector<std::int64_t> unknown;
    for (std::size_t i = 0; i < ids.size() && unknown.size() < 5; ++i) {
        if (found[i] == 0) unknown.push_back(ids[i]);
    }
    THRESHER_CHECK_AS(FileError, unknown.empty(), "{}: ids the pool does not have: {}{}", origin,
                      fmt::join(unknown, ", "), unknown.size() == 5 ? ", ..." : "");
    return marks;
}

}  // namespace thresher::jobs
