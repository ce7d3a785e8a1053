// The rows that together represent the pool best: greedy by exact gain, lazily; in two rounds for
// pools too large to compare every row with every other.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>

#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/coverage.hpp"
#include "src/acquisition/joint/shard.hpp"
#include "src/base/agreement.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

constexpr std::size_t kSharedRows = 256;               // candidates shared at a time
constexpr std::size_t kLazyRows = PackedRows::kPanel;  // candidates whose gain is renewed at once

/// A candidate of this rank: its gain when last computed bounds its gain now (lazy greedy, Minoux
/// 1978).
struct Candidate {
    double bound;
    std::int64_t id;
    std::size_t offset;
    std::int64_t computed;  ///< picks that were made before the bound was computed

    /// For a heap whose front is the first in the order of gain and id.
    bool operator<(const Candidate& other) const {
        return ScoredId{other.bound, other.id}.before({bound, id});
    }
};

/// What a rank says of a candidate.
struct Offer {
    double bound;
    std::int64_t id;
    std::int64_t computed;
};

class Greedy {
  public:
    Greedy(Collective& collective, const JointShard& shard, Coverage& coverage,
           std::span<const std::size_t> covered, std::span<const std::size_t> candidates)
        : collective_(collective), shard_(shard), coverage_(coverage), covered_(covered) {
        compute_all(candidates);
    }

    /// The best candidate and its gain; offset says where it is on its own rank. It covers rows
    /// from now on. Collective.
    struct Pick {
        ScoredId best;
        int owner;
        std::size_t offset;
    };
    Pick next() {
        for (;;) {
            // The first few of each rank, in one order that all ranks know.
            std::vector<Candidate> own = first_own();
            std::vector<Offer> offers;
            for (const Candidate& c : own) offers.push_back({c.bound, c.id, c.computed});
            const auto all = collective_.all_gather_v(std::span<const Offer>(offers));
            std::vector<std::pair<Offer, int>> order;
            for (int rank = 0; rank < collective_.size(); ++rank) {
                for (const Offer& offer : all.of(rank)) order.emplace_back(offer, rank);
            }
            std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
                return ScoredId{a.first.bound, a.first.id}.before({b.first.bound, b.first.id});
            });
            if (order.front().first.computed == picks_) {
                return finish(order.front().first, order.front().second, own);
            }
            if (order.size() > kLazyRows) order.resize(kLazyRows);
            compute_again(order, own);
            for (const Candidate& candidate : own) push(candidate);
        }
    }

  private:
    /// Gains of all candidates. Collective.
    void compute_all(std::span<const std::size_t> candidates) {
        const auto own = static_cast<std::int64_t>(candidates.size());
        const auto counts = collective_.all_gather_v(std::span<const std::int64_t>(&own, 1));
        std::vector<std::size_t> begins{0};
        for (const std::int64_t count : counts.values) {
            begins.push_back(begins.back() + static_cast<std::size_t>(count));
        }
        std::vector<double> gains(begins.back(), 0.0);
        PackedRows packed;
        float largest = 0.0F;
        share_rows(collective_, shard_, candidates, kSharedRows,
                   [&](std::span<const float> rows, int owner, std::size_t first) {
                       coverage_.pack(rows, packed);
                       coverage_.add_gains(
                           packed, covered_,
                           std::span(gains).subspan(begins[static_cast<std::size_t>(owner)] + first,
                                                    packed.rows()),
                           largest);
                   });
        collective_.all_reduce_sum(std::span(gains));
        const double shift = coverage_.without_origin() ? shift_of_distances(largest) : 0.0;
        const std::size_t begin = begins[static_cast<std::size_t>(collective_.rank())];
        for (std::size_t i = 0; i < candidates.size(); ++i) {
            push({gains[begin + i] + shift, shard_.id(candidates[i]), candidates[i], 0});
        }
    }

    /// What turns a sum of -|x_i - x_j|^2 into one of similarities >= 0. Collective.
    double shift_of_distances(float largest) {
        std::array<std::int64_t, 2> values{std::bit_cast<std::int32_t>(largest), 0};
        collective_.all_reduce_max(std::span(values).first(1));
        values[1] = static_cast<std::int64_t>(covered_.size());
        collective_.all_reduce_sum(std::span(values).subspan(1));
        const double distance =
            coverage_.on_grid(double{std::bit_cast<float>(static_cast<std::int32_t>(values[0]))});
        // Each term was rounded on its own, by half a step at most: later gains may be that much
        // above these.
        slack_ = static_cast<double>(values[1]) * coverage_.grid_step();
        return static_cast<double>(values[1]) * distance;
    }

    std::vector<Candidate> first_own() {
        std::vector<Candidate> own;
        while (own.size() < kLazyRows && !heap_.empty()) {
            std::pop_heap(heap_.begin(), heap_.end());
            own.push_back(heap_.back());
            heap_.pop_back();
        }
        return own;
    }

    void push(const Candidate& candidate) {
        heap_.push_back(candidate);
        std::push_heap(heap_.begin(), heap_.end());
    }

    /// Renews the bounds of those in `order` that are not of this step; `own` are this rank's among
    /// them. Collective.
    void compute_again(std::span<const std::pair<Offer, int>> order, std::span<Candidate> own) {
        const std::size_t d = shard_.embedding_size();
        std::vector<float> rows;
        std::vector<std::size_t> place(static_cast<std::size_t>(collective_.size()), 0);
        std::vector<Candidate*> renewed;
        for (const auto& [offer, rank] : order) {
            if (offer.computed == picks_ || rank != collective_.rank()) continue;
            const auto candidate = std::find_if(
                own.begin(), own.end(), [&](const Candidate& c) { return c.id == offer.id; });
            const auto values = shard_.embedding(candidate->offset);
            rows.insert(rows.end(), values.begin(), values.end());
            renewed.push_back(&*candidate);
        }
        const auto all = collective_.all_gather_v(std::span<const float>(rows));
        coverage_.pack(all.values, packed_);
        std::array<double, kLazyRows> gains{};
        const auto sums = std::span(gains).first(packed_.rows());
        float unused = 0.0F;
        coverage_.add_gains(packed_, covered_, sums, unused);
        collective_.all_reduce_sum(sums);
        std::size_t begin = 0;
        for (int rank = 0; rank < collective_.rank(); ++rank) begin += all.of(rank).size() / d;
        for (std::size_t i = 0; i < renewed.size(); ++i) {
            renewed[i]->bound = gains[begin + i];
            renewed[i]->computed = picks_;
        }
    }

    Pick finish(const Offer& best, int owner, std::span<const Candidate> own) {
        Pick pick{{best.bound, best.id}, owner, 0};
        std::vector<float> row(shard_.embedding_size());
        for (const Candidate& candidate : own) {
            if (candidate.id != best.id) {
                push(candidate);
            } else {
                pick.offset = candidate.offset;
                const auto values = shard_.embedding(candidate.offset);
                std::copy(values.begin(), values.end(), row.begin());
            }
        }
        collective_.broadcast(std::span(row), owner);
        coverage_.pack(row, packed_);
        coverage_.cover(packed_, covered_);
        ++picks_;
        if (slack_ > 0.0) {
            for (Candidate& candidate : heap_) candidate.bound += slack_;
            slack_ = 0.0;
        }
        return pick;
    }

    Collective& collective_;
    const JointShard& shard_;
    Coverage& coverage_;
    std::span<const std::size_t> covered_;
    std::vector<Candidate> heap_;
    PackedRows packed_;
    std::int64_t picks_ = 0;
    double slack_ = 0.0;
};

constexpr std::size_t kLabelledBatch = 256;

/// Nothing but the labelled rows covers the others. Collective.
void start(Collective& collective, const JointShard& shard, Coverage& coverage,
           std::span<const std::size_t> covered) {
    coverage.reset();
    if (shard.all_labelled() == 0) return;
    PackedRows packed;
    share_rows(collective, shard, shard.offsets(RowState::labelled), kLabelledBatch,
               [&](std::span<const float> rows, int, std::size_t) {
                   coverage.pack(rows, packed);
                   coverage.cover(packed, covered);
               });
}

/// The first round: the rows are dealt to parts at random, and k are picked from each part to
/// represent it. Returns this rank's picks, ascending. Collective.
std::vector<std::size_t> pick_from_parts(Collective& collective, const JointShard& shard,
                                         Coverage& coverage, const JointOptions& options,
                                         std::span<const std::size_t> open) {
    const std::int64_t part_rows = std::max(options.exact_rows / 10, 2 * options.k);
    const std::int64_t parts = std::max<std::int64_t>(1, shard.all_open() / part_rows);
    const KeyedRandom random(options.seed, Stream::facility_parts, options.round);
    std::vector<std::size_t> picked;
    for (std::int64_t part = 0; part < parts; ++part) {
        std::vector<std::size_t> rows;
        for (const std::size_t row : open) {
            if (random.integer(shard.id(row), parts) == part) rows.push_back(row);
        }
        std::array<std::int64_t, 1> all_rows{static_cast<std::int64_t>(rows.size())};
        collective.all_reduce_sum(all_rows);
        start(collective, shard, coverage, rows);
        Greedy greedy(collective, shard, coverage, rows, rows);
        for (std::int64_t pick = 0; pick < std::min(options.k, all_rows[0]); ++pick) {
            const Greedy::Pick best = greedy.next();
            if (best.owner == collective.rank()) picked.push_back(best.offset);
        }
    }
    std::sort(picked.begin(), picked.end());
    return picked;
}

}  // namespace

void pick_facility_location(Collective& collective, JointShard& shard, const JointOptions& options,
                            Selection& selection) {
    Coverage coverage(collective, shard, options.similarity, shard.all_open());
    const std::vector<std::size_t> open = shard.offsets(RowState::open);
    std::vector<std::size_t> covered = open, candidates = open;
    if (shard.all_open() > options.exact_rows) {
        candidates = pick_from_parts(collective, shard, coverage, options, open);
        // What the second round compares them on: a sample of the rows.
        const KeyedRandom random(options.seed, Stream::facility_sample, options.round);
        const double share =
            static_cast<double>(options.exact_rows) / static_cast<double>(shard.all_open());
        std::erase_if(covered,
                      [&](std::size_t row) { return random.uniform(shard.id(row)) >= share; });
    }
    start(collective, shard, coverage, covered);
    Greedy greedy(collective, shard, coverage, covered, candidates);
    for (std::int64_t pick = 0; pick < options.k; ++pick) {
        const Greedy::Pick best = greedy.next();
        if (best.owner == collective.rank()) shard.mark_picked(best.offset);
        add_pick(collective, selection, best.best.id, best.best.score);
    }
}

}  // namespace thresher
