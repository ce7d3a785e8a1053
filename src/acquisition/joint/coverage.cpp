#include "src/acquisition/joint/coverage.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>

#include "src/acquisition/joint/similarity.hpp"
#include "src/base/agreement.hpp"
#include "src/base/thread_team.hpp"

namespace thresher {

namespace {

constexpr std::size_t kTileRows = 60;           // six at a time (distances.cpp)
constexpr std::int64_t kGrain = 4 * kTileRows;  // rows a thread takes at a time
constexpr float kUncovered = -std::numeric_limits<float>::infinity();

}  // namespace

Coverage::Coverage(Collective& collective, const JointShard& shard, Similarity similarity,
                   std::int64_t rows)
    : shard_(shard),
      similarity_(similarity),
      distances_(similarity == Similarity::neg_squared_distance) {
    agree(collective, [&] {
        reset();
        if (similarity_ != Similarity::cosine) return;
        inverse_norms_.resize(shard_.size());
        squared_norms(shard_.rows().embeddings, shard_.embedding_size(), inverse_norms_);
        for (float& norm : inverse_norms_) norm = 1.0F / std::sqrt(norm);
    });
    grid_.emplace(largest_value(collective), rows);
}

void Coverage::reset() {
    covered_ = false;
    best_.assign(shard_.size(), distances_ ? kUncovered : 0.0F);
}

/// No similarity of two rows, and no squared distance, is above it.
double Coverage::largest_value(Collective& collective) {
    if (similarity_ == Similarity::cosine) return 2.5;
    if (similarity_ == Similarity::rbf) return 1.5;
    const std::size_t d = shard_.embedding_size();
    const std::vector<std::size_t> open = shard_.offsets(RowState::open);
    const std::vector<std::size_t> labelled = shard_.offsets(RowState::labelled);
    std::vector<float> origin(d, 0.0F);
    if (distances_) {
        // Any row is within twice the largest distance to one of them, that of the lowest id.
        Proposal first;
        for (const std::size_t row : open) first.consider(0.0, shard_.id(row), row);
        const GlobalBest best = collective.argmax({first.score, first.id});
        if (best.rank == collective.rank()) {
            const auto values = shard_.embedding(first.offset);
            std::copy(values.begin(), values.end(), origin.begin());
        }
        collective.broadcast(std::span(origin), best.rank);
    }
    float largest = 0.0F;
    for (const auto* rows : {&open, &labelled}) {
        for (const std::size_t row : *rows) {
            float distance = std::numeric_limits<float>::infinity();
            update_nearest(shard_.embedding(row), origin, std::span(&distance, 1));
            largest = std::max(largest, distance);
        }
    }
    return 4.5 * double{largest_of_ranks(collective, largest)};
}

void Coverage::pack(std::span<const float> rows, PackedRows& packed) {
    const std::size_t d = shard_.embedding_size();
    if (similarity_ != Similarity::cosine) {
        packed.pack(rows, d);
        return;
    }
    scaled_.assign(rows.begin(), rows.end());
    for (std::size_t begin = 0; begin < scaled_.size(); begin += d) {
        const auto row = std::span(scaled_).subspan(begin, d);
        float norm = 0.0F;
        squared_norms(row, d, std::span(&norm, 1));
        const float inverse = 1.0F / std::sqrt(norm);
        for (float& value : row) value *= inverse;
    }
    packed.pack(scaled_, d);
}

void Coverage::for_each_tile(const PackedRows& packed, std::span<const std::size_t> covered,
                             const Tile& use) const {
    const std::size_t d = shard_.embedding_size(), width = packed.width();
    const bool distance = distances_ || similarity_ == Similarity::rbf;
    parallel_for(
        static_cast<std::int64_t>(covered.size()), kGrain, [&](std::int64_t from, std::int64_t to) {
            std::vector<float> copies, tile(kTileRows * width);
            std::array<float, kTileRows> factors;
            for (auto first = static_cast<std::size_t>(from); first < static_cast<std::size_t>(to);
                 first += kTileRows) {
                const std::size_t count = std::min(kTileRows, static_cast<std::size_t>(to) - first);
                const auto offsets = covered.subspan(first, count);
                const auto rows = shard_.embeddings_of(offsets, copies);
                const auto pairs = std::span(tile).first(count * width);
                pair_up(distance ? Pairing::squared_distance : Pairing::dot_product, rows, packed,
                        pairs);
                if (similarity_ == Similarity::cosine) {
                    for (std::size_t i = 0; i < count; ++i) factors[i] = inverse_norms_[offsets[i]];
                    to_cosine_similarity(pairs, width, std::span(factors).first(count));
                } else if (similarity_ == Similarity::rbf) {
                    to_rbf_similarity(pairs, 1.0F / static_cast<float>(d));
                } else if (distances_ && covered_) {
                    for (float& value : pairs) value = -value;
                }
                use(first, count, pairs);
            }
        });
}

void Coverage::add_gains(const PackedRows& packed, std::span<const std::size_t> covered,
                         std::span<double> sums, float& largest_distance) const {
    std::mutex mutex;
    const std::size_t width = packed.width();
    for_each_tile(packed, covered, [&](std::size_t first, std::size_t rows, std::span<float> tile) {
        std::vector<double> part(width, 0.0);
        float largest = 0.0F;
        if (without_origin()) {
            largest = subtract_distances(tile, width, packed.rows(), 0.0F, grid_->magic(), part);
        } else {
            std::array<float, kTileRows> best;
            for (std::size_t i = 0; i < rows; ++i) best[i] = best_[covered[first + i]];
            add_improvements(tile, width, std::span(best).first(rows), grid_->magic(), part);
        }
        const std::lock_guard lock(mutex);
        largest_distance = std::max(largest_distance, largest);
        for (std::size_t j = 0; j < packed.rows(); ++j) sums[j] += part[j];
    });
}

void Coverage::add_changes(const PackedRows& packed, const CoverageChanges& changes,
                           std::span<const std::size_t> starts, std::span<double> sums) const {
    const std::size_t width = packed.width();
    const std::size_t begin = *std::min_element(starts.begin(), starts.end());
    std::vector<double> padded_starts(width, 0.0);
    std::copy(starts.begin(), starts.end(), padded_starts.begin());
    std::mutex mutex;
    for_each_tile(packed, std::span(changes.rows).subspan(begin),
                  [&](std::size_t first, std::size_t rows, std::span<float> tile) {
                      std::vector<double> part(width, 0.0);
                      thresher::add_changes(tile, width,
                                            std::span(changes.before).subspan(begin + first, rows),
                                            std::span(changes.after).subspan(begin + first, rows),
                                            begin + first, padded_starts, grid_->magic(), part);
                      const std::lock_guard lock(mutex);
                      for (std::size_t j = 0; j < packed.rows(); ++j) sums[j] += part[j];
                  });
}

void Coverage::cover(const PackedRows& packed, std::span<const std::size_t> covered,
                     CoverageChanges& changes) {
    covered_ = true;
    const std::size_t width = packed.width();
    std::mutex mutex;
    for_each_tile(packed, covered, [&](std::size_t first, std::size_t rows, std::span<float> tile) {
        std::array<float, kTileRows> after;
        bool any = false;
        for (std::size_t i = 0; i < rows; ++i) {
            after[i] = best_[covered[first + i]];
            for (std::size_t j = 0; j < packed.rows(); ++j) {
                after[i] = std::max(after[i], tile[i * width + j]);
            }
            any = any || after[i] > best_[covered[first + i]];
        }
        if (!any) return;
        const std::lock_guard lock(mutex);
        for (std::size_t i = 0; i < rows; ++i) {
            const std::size_t row = covered[first + i];
            if (!(after[i] > best_[row])) continue;
            changes.rows.push_back(row);
            changes.before.push_back(best_[row]);
            changes.after.push_back(after[i]);
            best_[row] = after[i];
        }
    });
}

}  // namespace thresher
