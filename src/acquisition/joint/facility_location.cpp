// The rows that together represent the pool best: greedy by exact gain, lazily; in two rounds for
// pools too large to compare every row with every other.

#include <algorithm>
#include <array>
#include <tuple>

#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/change_log.hpp"
#include "src/acquisition/joint/coverage.hpp"
#include "src/acquisition/joint/shard.hpp"
#include "src/base/agreement.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

constexpr std::size_t kSharedRows = 256;  // candidates, or labelled rows, shared at a time
/// Candidates whose gain is renewed at once: few at first, then more and more.
constexpr std::size_t kFirstRenewed = PackedRows::kPanel, kMostRenewed = 256;
/// Candidates that go through the same changes, those that the one of them needs that needs most.
constexpr std::size_t kSameChanges = 4 * PackedRows::kPanel;

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
    std::int64_t rank;
};

std::int64_t sum_over_ranks(Collective& collective, std::size_t value) {
    std::array<std::int64_t, 1> sum{static_cast<std::int64_t>(value)};
    collective.all_reduce_sum(sum);
    return sum[0];
}

class Greedy {
  public:
    Greedy(Collective& collective, const JointShard& shard, Coverage& coverage,
           std::span<const std::size_t> covered, std::span<const std::size_t> candidates)
        : collective_(collective),
          shard_(shard),
          coverage_(coverage),
          covered_(covered),
          all_covered_(sum_over_ranks(collective, covered.size())),
          log_(all_covered_) {
        compute_all(candidates);
    }

    struct Pick {
        ScoredId best;
        int owner;
        std::size_t offset;  ///< on its own rank
    };

    /// The best candidate and its gain; it covers rows from now on. Collective.
    Pick next() {
        for (std::size_t renewed = kFirstRenewed;; renewed = std::min(2 * renewed, kMostRenewed)) {
            // The first few of each rank, in one order that all ranks know.
            std::vector<Candidate> own = first_own(renewed);
            std::vector<Offer> offers;
            for (const Candidate& c : own) {
                offers.push_back({c.bound, c.id, c.computed, collective_.rank()});
            }
            std::vector<Offer> order =
                collective_.all_gather_v(std::span<const Offer>(offers)).values;
            std::sort(order.begin(), order.end(), [](const Offer& a, const Offer& b) {
                return ScoredId{a.bound, a.id}.before({b.bound, b.id});
            });
            if (order.front().computed == picks_) return finish(order.front(), own);
            if (order.size() > renewed) order.resize(renewed);
            std::erase_if(order, [&](const Offer& offer) { return offer.computed == picks_; });
            renew(order, own);
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
        const double distance = coverage_.on_grid(double{largest_of_ranks(collective_, largest)});
        // Each term was rounded on its own, by half a step at most: later gains may be that much
        // above these.
        slack_ = static_cast<double>(all_covered_) * coverage_.grid_step();
        return static_cast<double>(all_covered_) * distance;
    }

    std::vector<Candidate> first_own(std::size_t most) {
        std::vector<Candidate> own;
        while (own.size() < most && !heap_.empty()) {
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

    /// Brings the bounds of those in `order` up to date; `own` holds this rank's among them.
    /// Collective.
    void renew(std::vector<Offer>& order, std::span<Candidate> own) {
        // Those that are computed anew first, then those that need the fewest changes.
        std::sort(order.begin(), order.end(), [&](const Offer& a, const Offer& b) {
            const bool anew_a = !log_.reaches(a.computed), anew_b = !log_.reaches(b.computed);
            if (anew_a != anew_b) return anew_a;
            return std::tie(b.computed, a.id) < std::tie(a.computed, b.id);
        });
        const std::vector<float> rows = gather_rows(order, own);
        const std::size_t d = shard_.embedding_size();
        std::vector<double> sums(order.size(), 0.0);
        std::size_t anew = 0;
        while (anew < order.size() && !log_.reaches(order[anew].computed)) ++anew;
        float unused = 0.0F;
        if (anew > 0) {
            coverage_.pack(std::span(rows).first(anew * d), packed_);
            coverage_.add_gains(packed_, covered_, std::span(sums).first(anew), unused);
        }
        for (std::size_t first = anew; first < order.size(); first += kSameChanges) {
            const std::size_t count = std::min(kSameChanges, order.size() - first);
            std::vector<std::size_t> starts;
            for (std::size_t i = first; i < first + count; ++i) {
                starts.push_back(log_.begin(order[i].computed));
            }
            coverage_.pack(std::span(rows).subspan(first * d, count * d), packed_);
            coverage_.add_changes(packed_, log_.changes(), starts,
                                  std::span(sums).subspan(first, count));
        }
        collective_.all_reduce_sum(std::span(sums));
        for (std::size_t i = 0; i < order.size(); ++i) {
            if (order[i].rank != collective_.rank()) continue;
            Candidate& candidate = *find(own, order[i].id);
            candidate.bound = i < anew ? sums[i] : candidate.bound + sums[i];
            candidate.computed = picks_;
        }
    }

    /// The embeddings of those in `order`, on every rank. Collective.
    std::vector<float> gather_rows(std::span<const Offer> order, std::span<Candidate> own) {
        const std::size_t d = shard_.embedding_size();
        std::vector<float> mine;
        for (const Offer& offer : order) {
            if (offer.rank != collective_.rank()) continue;
            const auto values = shard_.embedding(find(own, offer.id)->offset);
            mine.insert(mine.end(), values.begin(), values.end());
        }
        const auto all = collective_.all_gather_v(std::span<const float>(mine));
        std::vector<std::size_t> next(static_cast<std::size_t>(collective_.size()), 0);
        for (std::size_t rank = 1; rank < next.size(); ++rank) {
            next[rank] = next[rank - 1] + static_cast<std::size_t>(all.counts[rank - 1]);
        }
        std::vector<float> rows;
        for (const Offer& offer : order) {
            std::size_t& from = next[static_cast<std::size_t>(offer.rank)];
            const auto values = std::span(all.values).subspan(from, d);
            rows.insert(rows.end(), values.begin(), values.end());
            from += d;
        }
        return rows;
    }

    static Candidate* find(std::span<Candidate> own, std::int64_t id) {
        return &*std::find_if(own.begin(), own.end(),
                              [&](const Candidate& candidate) { return candidate.id == id; });
    }

    Pick finish(const Offer& best, std::span<const Candidate> own) {
        Pick pick{{best.bound, best.id}, static_cast<int>(best.rank), 0};
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
        collective_.broadcast(std::span(row), pick.owner);
        coverage_.pack(row, packed_);
        coverage_.cover(packed_, covered_, log_.changes());
        log_.finish_pick(collective_);
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
    std::int64_t all_covered_;
    ChangeLog log_;
    std::vector<Candidate> heap_;
    PackedRows packed_;
    std::int64_t picks_ = 0;
    double slack_ = 0.0;
};

/// Nothing but the labelled rows covers the others. Collective.
void start(Collective& collective, const JointShard& shard, Coverage& coverage,
           std::span<const std::size_t> covered) {
    coverage.reset();
    if (shard.all_labelled() == 0) return;
    PackedRows packed;
    CoverageChanges changes;  // of no interest: no gain was computed before
    share_rows(collective, shard, shard.offsets(RowState::labelled), kSharedRows,
               [&](std::span<const float> rows, int, std::size_t) {
                   coverage.pack(rows, packed);
                   coverage.cover(packed, covered, changes);
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
        const std::int64_t all_rows = sum_over_ranks(collective, rows.size());
        start(collective, shard, coverage, rows);
        Greedy greedy(collective, shard, coverage, rows, rows);
        for (std::int64_t pick = 0; pick < std::min(options.k, all_rows); ++pick) {
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
