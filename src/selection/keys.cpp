#include "src/selection/keys.hpp"

#include <cmath>

#include "src/selection/ordered_key.hpp"

namespace thresher {

Keys::Keys(const ScoredRows& rows, std::span<const float> logits, const Selector& selector)
    : rows_(rows),
      logits_(logits),
      noisy_(selector.name != "top-k"),
      gumbel_{KeyedRandom(selector.seed, Stream::selection, selector.round), selector.beta, 0.0} {}

std::uint32_t Keys::key(std::size_t offset) const {
    if (excluded(offset) || !std::isfinite(logits_[offset])) return 0;
    float key = logits_[offset];
    if (noisy_) {
        const std::uint64_t bits = gumbel_.random.bits(rows_.id(offset));
        gumbel_.compute(logits_.subspan(offset, 1), std::span(&bits, 1), std::span(&key, 1));
    }
    return ordered_key(key);
}

void Keys::collect(std::size_t begin, std::size_t end, float threshold, Hits& hits,
                   std::vector<std::uint32_t>& not_finite) const {
    const auto piece = logits_.subspan(begin, end - begin);
    const auto first = static_cast<std::uint32_t>(begin);
    if (!noisy_) {
        scan_scores(piece, first, threshold, hits, not_finite);
    } else if (rows_.ids.empty()) {
        scan_gumbel_keys(piece, first, rows_.id(begin), gumbel_, threshold, hits, not_finite);
    } else {
        collect_noisy_by_id(piece, first, threshold, hits, not_finite);
    }
    if (!rows_.excluded.empty()) drop_excluded(hits, not_finite);
}

/// Ids in any order: every row's key is computed.
void Keys::collect_noisy_by_id(std::span<const float> piece, std::uint32_t first, float threshold,
                               Hits& hits, std::vector<std::uint32_t>& not_finite) const {
    std::vector<std::uint64_t> bits(piece.size());
    std::vector<float> keys(piece.size());
    for (std::size_t i = 0; i < piece.size(); ++i) {
        bits[i] = gumbel_.random.bits(rows_.id(first + i));
    }
    gumbel_.compute(piece, bits, keys);
    hits.restart(piece.size());
    for (std::size_t i = 0; i < piece.size(); ++i) {
        const auto offset = static_cast<std::uint32_t>(first + i);
        if (!std::isfinite(piece[i])) {
            not_finite.push_back(offset);
        } else if (keys[i] >= threshold) {
            hits.add(ordered_key(keys[i]), offset);
        }
    }
}

void Keys::drop_excluded(Hits& hits, std::vector<std::uint32_t>& not_finite) const {
    hits.erase_if([&](std::uint32_t offset) { return excluded(offset); });
    std::erase_if(not_finite, [&](std::uint32_t offset) { return excluded(offset); });
}

}  // namespace thresher
