#include "src/acquisition/joint/shard.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "src/acquisition/joint/distances.hpp"
#include "src/acquisition/outputs.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kGrain = 1024;  // rows a thread takes at a time
/// Squared norms above it would overflow in a distance between two rows, or its products.
constexpr float kLargestSquaredNorm = std::numeric_limits<float>::max() / 64.0F;

/// Why the rows are set aside, as a number, so that threads can note it for each row.
enum class Flaw : std::uint8_t { none, no_distribution, not_finite, too_large, zero_norm };

std::string reason_for(Flaw flaw) {
    switch (flaw) {
        case Flaw::no_distribution:
            return kNoDistribution;
        case Flaw::not_finite:
            return kEmbeddingNotFinite;
        case Flaw::too_large:
            return fmt::format("embedding is too large: its squared norm is above {}",
                               kLargestSquaredNorm);
        case Flaw::zero_norm:
            return "embedding has zero norm, which has no cosine similarity";
        case Flaw::none:
            break;
    }
    return "";
}

}  // namespace

JointShard::JointShard(const JointRows& rows, const JointAcquisition& acquisition,
                       const JointOptions& options, std::vector<QuarantinedRow>& quarantined)
    : rows_(rows), states_(static_cast<std::size_t>(rows.rows), RowState::open) {
    const bool probabilities = acquisition.reads("log_probs");
    const bool embeddings = acquisition.reads("embeddings");
    const bool cosine =
        acquisition.name == "facility-location" && options.similarity == Similarity::cosine;
    const auto row_outputs = static_cast<std::size_t>(rows.samples * rows.classes);
    std::vector<Flaw> flaws(size(), Flaw::none);
    parallel_for(rows.rows, kGrain, [&](std::int64_t first, std::int64_t last) {
        const auto begin = static_cast<std::size_t>(first), end = static_cast<std::size_t>(last);
        std::array<float, kGrain> norms;
        if (embeddings) {
            squared_norms(
                rows.embeddings.subspan(begin * embedding_size(), (end - begin) * embedding_size()),
                embedding_size(), std::span(norms).first(end - begin));
        }
        for (std::size_t row = begin; row < end; ++row) {
            if (!rows.excluded.empty() && rows.excluded[row] != 0) {
                states_[row] = RowState::out;
                continue;
            }
            if (!rows.labelled.empty() && rows.labelled[row] != 0)
                states_[row] = RowState::labelled;
            if (embeddings) {
                const float norm = norms[row - begin];
                if (!(norm <= kLargestSquaredNorm)) {
                    const auto values = embedding(row);
                    flaws[row] = std::all_of(values.begin(), values.end(),
                                             [](float value) { return std::isfinite(value); })
                                     ? Flaw::too_large
                                     : Flaw::not_finite;
                } else if (cosine && !(norm >= std::numeric_limits<float>::min())) {
                    flaws[row] = Flaw::zero_norm;
                }
            }
            if (probabilities &&
                !are_distributions(rows.log_probs.subspan(row * row_outputs, row_outputs),
                                   rows.classes)) {
                flaws[row] = Flaw::no_distribution;
            }
        }
    });
    for (std::size_t row = 0; row < size(); ++row) {
        if (flaws[row] == Flaw::none) continue;
        states_[row] = RowState::out;
        quarantined.push_back({rows.id(row), reason_for(flaws[row])});
    }
}

void JointShard::count(Collective& collective) {
    std::array<std::int64_t, 2> counts{
        std::count(states_.begin(), states_.end(), RowState::open),
        std::count(states_.begin(), states_.end(), RowState::labelled)};
    collective.all_reduce_sum(counts);
    all_open_ = counts[0];
    all_labelled_ = counts[1];
}

std::span<const float> JointShard::embeddings_of(std::span<const std::size_t> offsets,
                                                 std::vector<float>& copies) const {
    if (offsets.empty()) return {};
    bool consecutive = true;
    for (std::size_t i = 0; i < offsets.size(); ++i) {
        consecutive = consecutive && offsets[i] == offsets.front() + i;
    }
    if (consecutive) {
        return rows_.embeddings.subspan(offsets.front() * embedding_size(),
                                        offsets.size() * embedding_size());
    }
    copies.resize(std::max(copies.size(), offsets.size() * embedding_size()));
    float* to = copies.data();
    for (const std::size_t row : offsets) {
        const auto values = embedding(row);
        to = std::copy(values.begin(), values.end(), to);
    }
    return std::span(copies).first(offsets.size() * embedding_size());
}

std::vector<std::size_t> JointShard::offsets(RowState state) const {
    std::vector<std::size_t> found;
    for (std::size_t row = 0; row < size(); ++row) {
        if (states_[row] == state) found.push_back(row);
    }
    return found;
}

GlobalBest JointShard::pick(Collective& collective, const Proposal& own) {
    const GlobalBest best = collective.argmax({own.score, own.id});
    if (best.rank == collective.rank()) mark_picked(own.offset);
    return best;
}

Proposal best_of_pieces(
    std::size_t n, std::vector<Proposal>& pieces,
    const std::function<Proposal(std::size_t begin, std::size_t end)>& propose) {
    pieces.assign((n + kGrain - 1) / kGrain, Proposal{});
    parallel_for(static_cast<std::int64_t>(n), kGrain, [&](std::int64_t begin, std::int64_t end) {
        pieces[static_cast<std::size_t>(begin / kGrain)] =
            propose(static_cast<std::size_t>(begin), static_cast<std::size_t>(end));
    });
    Proposal best;
    for (const Proposal& piece : pieces) best.consider(piece);
    return best;
}

float largest_of_ranks(Collective& collective, float value) {
    // Floats that are not negative have the order of their bits.
    std::array<std::int64_t, 1> bits{std::bit_cast<std::int32_t>(value)};
    collective.all_reduce_max(bits);
    return std::bit_cast<float>(static_cast<std::int32_t>(bits[0]));
}

void add_pick(const Collective& collective, Selection& selection, std::int64_t id, double gain) {
    if (!collective.is_root()) return;
    selection.ids.push_back(id);
    selection.scores.push_back(static_cast<float>(gain));
}

void share_rows(
    Collective& collective, const JointShard& shard, std::span<const std::size_t> offsets,
    std::size_t batch,
    const std::function<void(std::span<const float> rows, int owner, std::size_t first)>& use) {
    const auto own = static_cast<std::int64_t>(offsets.size());
    const auto counts = collective.all_gather_v(std::span<const std::int64_t>(&own, 1));
    const std::size_t d = shard.embedding_size();
    std::vector<float> buffer(batch * d);
    for (int owner = 0; owner < collective.size(); ++owner) {
        const auto count = static_cast<std::size_t>(counts.values[static_cast<std::size_t>(owner)]);
        for (std::size_t first = 0; first < count; first += batch) {
            const std::size_t rows = std::min(batch, count - first);
            if (owner == collective.rank()) {
                for (std::size_t i = 0; i < rows; ++i) {
                    const auto row = shard.embedding(offsets[first + i]);
                    std::copy(row.begin(), row.end(),
                              buffer.begin() + static_cast<std::ptrdiff_t>(i * d));
                }
            }
            const auto shared = std::span(buffer).first(rows * d);
            collective.broadcast(shared, owner);
            use(shared, owner, first);
        }
    }
}

}  // namespace thresher
