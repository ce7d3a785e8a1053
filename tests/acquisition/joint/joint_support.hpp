#pragma once

// Deals rows to simulated ranks and picks a batch jointly over them.

#include <algorithm>
#include <cmath>
#include <vector>

#include "src/acquisition/joint/joint.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "src/random/philox.hpp"
#include "tests/support/catch.hpp"

namespace thresher::test {

struct JointPool {
    std::int64_t rows = 0;
    std::vector<float> embeddings;
    std::int64_t embedding_size = 0;
    std::vector<float> log_probs;
    std::int64_t samples = 0, classes = 0;
    std::vector<std::int64_t> ids;
    std::vector<std::uint8_t> excluded, labelled;
    std::vector<float> class_counts;  ///< [rows, label_classes]
    std::int64_t label_classes = 0;
};

inline JointPool points(std::vector<float> values, std::int64_t d) {
    JointPool pool;
    pool.rows = static_cast<std::int64_t>(values.size()) / d;
    pool.embeddings = std::move(values);
    pool.embedding_size = d;
    return pool;
}

/// Standard normal points.
inline JointPool random_points(std::int64_t rows, std::int64_t d, std::uint64_t seed = 1) {
    const KeyedRandom random(seed, Stream::synthetic, 0);
    std::vector<float> values;
    for (std::int64_t i = 0; i < rows * d; ++i)
        values.push_back(static_cast<float>(random.normal(i)));
    return points(std::move(values), d);
}

/// Adds random predictions [rows, S, C] to a pool.
inline void add_random_predictions(JointPool& pool, std::int64_t samples, std::int64_t classes,
                                   double spread = 1.0, std::uint64_t seed = 2) {
    const KeyedRandom random(seed, Stream::synthetic, 1);
    pool.samples = samples;
    pool.classes = classes;
    for (std::int64_t i = 0; i < pool.rows * samples; ++i) {
        std::vector<double> logits;
        double sum = 0.0;
        for (std::int64_t c = 0; c < classes; ++c) {
            logits.push_back(spread * random.normal(i * classes + c));
            sum += std::exp(logits.back());
        }
        for (const double logit : logits)
            pool.log_probs.push_back(static_cast<float>(logit - std::log(sum)));
    }
}

/// Labels of `classes` in turn, one a row.
inline void add_labels_in_turn(JointPool& pool, std::int64_t classes) {
    pool.label_classes = classes;
    pool.class_counts.assign(static_cast<std::size_t>(pool.rows * classes), 0.0F);
    for (std::int64_t row = 0; row < pool.rows; ++row) {
        pool.class_counts[static_cast<std::size_t>(row * classes + row % classes)] = 1.0F;
    }
}

inline JointPool with_labelled(JointPool pool, const std::vector<std::int64_t>& rows) {
    pool.labelled.assign(static_cast<std::size_t>(pool.rows), 0);
    for (const std::int64_t row : rows) pool.labelled[static_cast<std::size_t>(row)] = 1;
    return pool;
}

struct Picked {
    std::vector<std::int64_t> ids;
    std::vector<float> scores;
    std::int64_t selectable = 0;
    std::vector<QuarantinedRow> quarantined;  ///< of all ranks, by id
    Traffic traffic;                          ///< of the root

    bool operator==(const Picked& other) const {
        return ids == other.ids && scores == other.scores && selectable == other.selectable;
    }
};

/// The rows of `collective`'s rank: uneven on purpose, the first rank without any where there are
/// more than two.
inline JointRows deal(const JointPool& pool, const Collective& collective) {
    const std::int64_t ranks = collective.size(), rank = collective.rank();
    const auto begin_of = [&](std::int64_t r) {
        const std::int64_t shifted = ranks > 2 ? std::max<std::int64_t>(0, r - 1) : r;
        const std::int64_t of = ranks > 2 ? ranks - 1 : ranks;
        return pool.rows * shifted * (shifted + 1) / (of * (of + 1));
    };
    const std::int64_t begin = begin_of(rank), end = begin_of(rank + 1);
    const auto part = [&](const auto& values, std::int64_t width) {
        using Value = typename std::decay_t<decltype(values)>::value_type;
        if (values.empty()) return std::span<const Value>();
        return std::span<const Value>(values).subspan(
            static_cast<std::size_t>(begin * width),
            static_cast<std::size_t>((end - begin) * width));
    };
    return {.rows = end - begin,
            .first_row = begin,
            .ids = part(pool.ids, 1),
            .log_probs = part(pool.log_probs, pool.samples * pool.classes),
            .samples = pool.samples,
            .classes = pool.classes,
            .embeddings = part(pool.embeddings, pool.embedding_size),
            .embedding_size = pool.embedding_size,
            .class_counts = part(pool.class_counts, pool.label_classes),
            .label_classes = pool.label_classes,
            .excluded = part(pool.excluded, 1),
            .labelled = part(pool.labelled, 1)};
}

/// The batch at the root; the others get none. Collective.
inline Picked pick_on(Collective& collective, const char* name, const JointPool& pool,
                      const JointOptions& options) {
    const JointAcquisition* acquisition = find_joint_acquisition(name);
    THRESHER_CHECK(acquisition != nullptr, "no joint acquisition {}", name);
    const Selection selection =
        select_jointly(collective, *acquisition, deal(pool, collective), options);
    const Traffic traffic = collective.traffic();
    auto quarantined = gather_quarantine(collective, selection.quarantined);
    return {selection.ids, selection.scores, selection.selectable, std::move(quarantined), traffic};
}

inline Picked pick_over(int ranks, const char* name, const JointPool& pool,
                        const JointOptions& options) {
    if (ranks == 1) return pick_on(*make_local_collective(), name, pool, options);
    Picked picked;
    run_simulated_ranks(ranks, [&](Collective& collective) {
        Picked own = pick_on(collective, name, pool, options);
        if (collective.is_root()) {
            picked = std::move(own);
        } else if (!own.ids.empty()) {
            throw Error("a rank other than the root holds a batch");
        }
    });
    return picked;
}

/// The batch of one rank, after checking that 2, 3, 4 and 7 pick the same.
inline Picked pick(const char* name, const JointPool& pool, const JointOptions& options) {
    const Picked alone = pick_over(1, name, pool, options);
    for (const int ranks : {2, 3, 4, 7}) {
        INFO(name << " over " << ranks << " ranks");
        CHECK(pick_over(ranks, name, pool, options) == alone);
    }
    return alone;
}

}  // namespace thresher::test
