#include "src/environments/policy_chooser.hpp"

#include "src/policy/candidate_features.hpp"
#include "src/policy/heads/heads.hpp"

namespace thresher {

namespace {

void append(Points& points, const Points& from, std::int64_t row, std::int64_t dimensions) {
    const auto features = from.features.begin() + row * dimensions;
    points.features.insert(points.features.end(), features, features + dimensions);
    points.targets.push_back(from.targets[static_cast<std::size_t>(row)]);
    ++points.rows;
}

}  // namespace

std::vector<std::int32_t> choose_by_policy(const Policy& policy,
                                           std::span<const std::string> feature_kinds,
                                           const Situation& situation, std::int64_t b) {
    const Environment& environment = situation.environment;
    const Points& all = environment.candidates;
    Points labelled = environment.labelled, left;
    std::vector<std::uint8_t> picked(static_cast<std::size_t>(all.rows), 0);
    for (const std::int32_t candidate : situation.picked) {
        picked[static_cast<std::size_t>(candidate)] = 1;
        append(labelled, all, candidate, environment.dimensions);
    }
    std::vector<std::int32_t> places;
    for (std::int32_t i = 0; i < all.rows; ++i) {
        if (picked[static_cast<std::size_t>(i)] != 0) continue;
        append(left, all, i, environment.dimensions);
        places.push_back(i);
    }
    const auto log_probs = situation.proxy.log_probs(situation.picked, Part::candidates, places);
    const CandidateSet candidates = make_candidates({.rows = left.rows,
                                                     .embeddings = left.features,
                                                     .embedding_size = environment.dimensions,
                                                     .log_probs = log_probs,
                                                     .classes = environment.classes,
                                                     .labelled_embeddings = labelled.features},
                                                    feature_kinds);
    const Rollouts drawn = draw_batches(policy, candidates,
                                        {.rollouts = 1,
                                         .picks = b,
                                         .seed = situation.seed,
                                         .update = situation.round,
                                         .likeliest = find_head(policy.head).likeliest});
    std::vector<std::int32_t> batch;
    for (const std::int32_t pick : drawn.picks.front())
        batch.push_back(places[static_cast<std::size_t>(pick)]);
    return batch;
}

}  // namespace thresher
