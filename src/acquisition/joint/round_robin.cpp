#include "src/acquisition/joint/round_robin.hpp"

#include <algorithm>

#include "src/acquisition/joint/shard.hpp"

namespace thresher {

namespace {

bool goes_first(const ClusterRow& a, const ClusterRow& b) {
    if (a.cluster != b.cluster) return a.cluster < b.cluster;
    return ScoredId{a.key, a.id}.before({b.key, b.id});
}

/// Sorts the rows and keeps of each cluster no more than its share.
void keep_shares(std::vector<ClusterRow>& rows, std::span<const std::int64_t> shares) {
    std::sort(rows.begin(), rows.end(), goes_first);
    std::int64_t place = 0;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        place = i > 0 && rows[i].cluster == rows[i - 1].cluster ? place + 1 : 0;
        const ClusterRow row = rows[i];
        if (place < shares[row.cluster]) rows[kept++] = row;
    }
    rows.resize(kept);
}

}  // namespace

std::vector<std::int64_t> round_robin_shares(std::span<const std::uint32_t> order,
                                             std::span<const std::int64_t> available,
                                             std::int64_t k) {
    std::vector<std::int64_t> shares(available.size(), 0);
    bool any = true;
    while (k > 0 && any) {
        any = false;
        for (const std::uint32_t cluster : order) {
            if (k == 0) break;
            if (shares[cluster] == available[cluster]) continue;
            ++shares[cluster];
            --k;
            any = true;
        }
    }
    return shares;
}

void pick_in_turn(Collective& collective, std::span<const std::uint32_t> order,
                  std::span<const std::int64_t> available, std::int64_t k,
                  std::vector<ClusterRow> own, Selection& selection) {
    const std::vector<std::int64_t> shares = round_robin_shares(order, available, k);
    keep_shares(own, shares);
    Gathered<ClusterRow> all = collective.gather_v(std::span<const ClusterRow>(own));
    if (!collective.is_root()) return;
    keep_shares(all.values, shares);
    std::vector<std::size_t> next(shares.size(), 0);
    std::size_t begin = 0;
    for (std::size_t cluster = 0; cluster < shares.size(); ++cluster) {
        next[cluster] = begin;
        begin += static_cast<std::size_t>(shares[cluster]);
    }
    for (std::int64_t turn = 0; static_cast<std::int64_t>(selection.ids.size()) < k; ++turn) {
        for (const std::uint32_t cluster : order) {
            if (turn >= shares[cluster]) continue;
            const ClusterRow& row = all.values[next[cluster]++];
            add_pick(collective, selection, row.id, double{row.gain});
        }
    }
}

}  // namespace thresher
