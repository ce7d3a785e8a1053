#include "src/environments/images/covering_rows.hpp"

#include <algorithm>
#include <set>

namespace thresher {

std::vector<std::int64_t> covering_rows(std::span<const std::int64_t> order, const Boxes& boxes,
                                        std::int64_t count) {
    std::set<std::int64_t> covered;
    std::vector<std::int64_t> chosen, others;
    for (const std::int64_t row : order) {
        const RowRange own = boxes.of(row);
        const std::size_t before = covered.size();
        covered.insert(boxes.classes.begin() + own.begin, boxes.classes.begin() + own.end);
        (covered.size() > before ? chosen : others).push_back(row);
    }
    chosen.insert(chosen.end(), others.begin(), others.end());
    chosen.resize(std::min(chosen.size(), static_cast<std::size_t>(count)));
    return chosen;
}

}  // namespace thresher
