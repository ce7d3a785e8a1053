#include "src/training/prioritised/joint_sub_batch.hpp"

#include <algorithm>
#include <cmath>

#include "src/base/check.hpp"

namespace thresher {

namespace {

std::vector<float> gathered(Collective& collective, std::span<const double> own) {
    const std::vector<float> rounded(own.begin(), own.end());
    return collective.all_gather_v(std::span<const float>(rounded)).values;
}

}  // namespace

SubBatch draw_joint_sub_batch(Collective& collective, std::span<const double> own_diagonal,
                              const JointDraw& draw, const AddPairSums& add_sums) {
    THRESHER_CHECK(draw.size > 0 && draw.chunks > 0,
                   "a joint choice of {} candidates in {} chunks was asked for", draw.size,
                   draw.chunks);
    std::vector<double> own_logits(own_diagonal.begin(), own_diagonal.end());
    std::vector<float> logits = gathered(collective, own_logits);
    const std::vector<float> diagonal = logits;
    std::vector<std::uint8_t> taken(logits.size(), 0);
    std::int64_t left = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        taken[i] = std::isfinite(diagonal[i]) ? 0 : 1;
        left += 1 - taken[i];
    }
    if (left == 0) return first_candidates(std::ssize(logits), draw.size);

    const std::int64_t size = std::min(draw.size, left);
    const auto alone = make_local_collective();
    std::vector<std::int64_t> places;
    for (std::int64_t chunk = 0; chunk < draw.chunks; ++chunk) {
        const std::int64_t count = (chunk + 1) * size / draw.chunks - chunk * size / draw.chunks;
        if (count == 0) continue;
        const Selector selector{
            .name = "softmax",
            .beta = draw.beta,
            .seed = draw.seed,
            .round = static_cast<std::uint32_t>(draw.update * draw.chunks + chunk)};
        std::vector<std::int64_t> drawn =
            select_rows(*alone, {logits, 0, {}, taken}, count, selector).ids;
        std::sort(drawn.begin(), drawn.end());
        for (const std::int64_t place : drawn) taken[static_cast<std::size_t>(place)] = 1;
        places.insert(places.end(), drawn.begin(), drawn.end());
        if (std::ssize(places) == size) break;
        add_sums(drawn, own_logits);
        logits = gathered(collective, own_logits);
    }
    std::sort(places.begin(), places.end());
    return described_choice(diagonal, std::move(places));
}

SubBatch choose_joint_sub_batch(Collective& collective, const PairEmbeddings& learner,
                                const PairEmbeddings& reference, const JointDraw& draw) {
    const PairScores scores(collective, learner, reference);
    return draw_joint_sub_batch(collective, scores.diagonal(), draw,
                                [&](std::span<const std::int64_t> places, std::span<double> sums) {
                                    scores.add(places, sums);
                                });
}

}  // namespace thresher
