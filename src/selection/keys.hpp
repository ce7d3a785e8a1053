#pragma once

// What rows are chosen by: the score itself, or a logit with noise.

#include <cstdint>
#include <span>
#include <vector>

#include "src/selection/scan.hpp"
#include "src/selection/select.hpp"

namespace thresher {

/// The keys of one rank's rows: the score itself, or the perturbed logit less a centre near the
/// cut. All functions are local.
class Keys {
  public:
    /// `logits` [n]: what the noise is added to, in place of the scores; not finite where the score
    /// is not.
    Keys(const ScoredRows& rows, std::span<const float> logits, const Selector& selector);

    bool noisy() const { return noisy_; }
    double centre() const { return gumbel_.centre; }
    void set_centre(double centre) { gumbel_.centre = centre; }

    /// The ordered key of one row; 0, below every other, for a row that may not be chosen.
    std::uint32_t key(std::size_t offset) const;
    /// Asks for what key(offset) reads.
    void prefetch(std::size_t offset) const { __builtin_prefetch(logits_.data() + offset); }

    /// The rows of [begin, end) that may be chosen and whose key is at least `threshold`.
    void collect(std::size_t begin, std::size_t end, float threshold, Hits& hits,
                 std::vector<std::uint32_t>& not_finite) const;

  private:
    bool excluded(std::size_t offset) const {
        return !rows_.excluded.empty() && rows_.excluded[offset] != 0;
    }
    void collect_noisy_by_id(std::span<const float> piece, std::uint32_t first, float threshold,
                             Hits& hits, std::vector<std::uint32_t>& not_finite) const;
    void drop_excluded(Hits& hits, std::vector<std::uint32_t>& not_finite) const;

    const ScoredRows& rows_;
    std::span<const float> logits_;
    bool noisy_;
    GumbelKeys gumbel_;
};

}  // namespace thresher
