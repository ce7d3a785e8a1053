#include "src/environments/choosers.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "src/acquisition/acquisition.hpp"
#include "src/acquisition/joint/joint.hpp"
#include "src/base/check.hpp"
#include "src/selection/select.hpp"

namespace thresher {

namespace {

/// What the acquisitions may read here.
const std::vector<std::string> kAvailable{"log_probs", "embeddings"};

std::vector<std::int32_t> positions(const Selection& selection) {
    std::vector<std::int32_t> batch;
    for (const std::int64_t id : selection.ids) batch.push_back(static_cast<std::int32_t>(id));
    return batch;
}

std::vector<std::uint8_t> marks_of(const Situation& situation) {
    std::vector<std::uint8_t> marks(static_cast<std::size_t>(situation.environment.candidates.rows),
                                    0);
    for (const std::int32_t candidate : situation.picked)
        marks[static_cast<std::size_t>(candidate)] = 1;
    return marks;
}

std::vector<std::int32_t> choose_pointwise(const Acquisition& acquisition,
                                           const Situation& situation, std::int64_t b) {
    const Environment& environment = situation.environment;
    const auto log_probs = situation.proxy.log_probs(situation.picked, Part::candidates, {});
    std::vector<std::int64_t> ids;
    for (std::int64_t i = 0; i < environment.candidates.rows; ++i) ids.push_back(i);
    std::vector<float> scores(ids.size());
    acquisition.score({.ids = ids,
                       .log_probs = log_probs,
                       .samples = 1,
                       .classes = environment.classes,
                       .losses = {},
                       .seed = situation.seed,
                       .round = situation.round,
                       .embeddings = environment.candidates.features,
                       .embedding_size = environment.dimensions},
                      scores);
    const auto local = make_local_collective();
    return positions(select_rows(*local, {scores, 0, {}, marks_of(situation)}, b, {}));
}

std::vector<std::int32_t> choose_jointly(const JointAcquisition& acquisition,
                                         const Situation& situation, std::int64_t b) {
    const Environment& environment = situation.environment;
    const Points& candidates = environment.candidates;
    const Points& labelled = environment.labelled;
    // The labelled points stand behind the candidates.
    std::vector<float> features = candidates.features;
    features.insert(features.end(), labelled.features.begin(), labelled.features.end());
    std::vector<float> log_probs =
        situation.proxy.log_probs(situation.picked, Part::candidates, {});
    const auto of_labelled = situation.proxy.log_probs(situation.picked, Part::labelled, {});
    log_probs.insert(log_probs.end(), of_labelled.begin(), of_labelled.end());
    std::vector<std::uint8_t> marks = marks_of(situation);
    marks.resize(marks.size() + static_cast<std::size_t>(labelled.rows), 1);
    const JointRows rows{.rows = candidates.rows + labelled.rows,
                         .first_row = 0,
                         .ids = {},
                         .log_probs = log_probs,
                         .samples = 1,
                         .classes = environment.classes,
                         .embeddings = features,
                         .embedding_size = environment.dimensions,
                         .excluded = {},
                         .labelled = marks};
    JointOptions options;
    options.k = b;
    options.seed = situation.seed;
    options.round = situation.round;
    const auto local = make_local_collective();
    return positions(select_jointly(*local, acquisition, rows, options));
}

/// The candidate that is not picked with the best metric; ties go to the lower one.
std::int32_t best_of(const std::vector<double>& metrics, const Situation& situation) {
    std::int32_t best = -1;
    const auto marks = marks_of(situation);
    for (std::size_t i = 0; i < metrics.size(); ++i) {
        if (marks[i] == 0 && (best < 0 || metrics[i] > metrics[static_cast<std::size_t>(best)])) {
            best = static_cast<std::int32_t>(i);
        }
    }
    return best;
}

std::vector<std::int32_t> choose_greedily(Situation situation, std::int64_t b) {
    std::vector<std::int32_t> batch;
    for (std::int64_t i = 0; i < b; ++i) {
        batch.push_back(best_of(metrics_of_singles(situation), situation));
        situation.picked.push_back(batch.back());
    }
    return batch;
}

std::vector<std::int32_t> choose_singles(const Situation& situation, std::int64_t b) {
    const std::vector<double> metrics = metrics_of_singles(situation);
    Situation marked = situation;
    std::vector<std::int32_t> batch;
    for (std::int64_t i = 0; i < b; ++i) {
        batch.push_back(best_of(metrics, marked));
        marked.picked.push_back(batch.back());
    }
    return batch;
}

}  // namespace

std::vector<std::string> choosers() {
    std::vector<std::string> names;
    for (const Acquisition& acquisition : acquisitions()) {
        if (missing_needs(acquisition.needs, kAvailable).empty())
            names.emplace_back(acquisition.name);
    }
    for (const JointAcquisition& acquisition : joint_acquisitions()) {
        if (missing_needs(acquisition.needs, kAvailable).empty())
            names.emplace_back(acquisition.name);
    }
    names.emplace_back(kGreedyOracle);
    names.emplace_back(kBestSingles);
    return names;
}

void check_chooser(std::string_view name) {
    const std::vector<std::string> known = choosers();
    THRESHER_CHECK_AS(UsageError, std::find(known.begin(), known.end(), name) != known.end(),
                      "\"{}\" cannot choose here; known: {}", name, fmt::join(known, ", "));
}

std::vector<std::int32_t> choose_batch(std::string_view name, const Situation& situation,
                                       std::int64_t b) {
    check_chooser(name);
    const std::int64_t left = situation.environment.candidates.rows - std::ssize(situation.picked);
    THRESHER_CHECK(b >= 1 && b <= left,
                   "a batch of {} was asked for, but {} candidates are left; 1 is the fewest", b,
                   left);
    if (name == kGreedyOracle) return choose_greedily(situation, b);
    if (name == kBestSingles) return choose_singles(situation, b);
    if (const JointAcquisition* jointly = find_joint_acquisition(name)) {
        return choose_jointly(*jointly, situation, b);
    }
    return choose_pointwise(find_acquisition(name), situation, b);
}

std::vector<double> metrics_of_singles(const Situation& situation) {
    const std::int64_t n = situation.environment.candidates.rows;
    const auto marks = marks_of(situation);
    std::vector<std::int32_t> subsets;
    for (std::int32_t i = 0; i < n; ++i) {
        subsets.insert(subsets.end(), situation.picked.begin(), situation.picked.end());
        subsets.push_back(marks[static_cast<std::size_t>(i)] == 0 ? i : -1);
    }
    std::vector<double> metrics(static_cast<std::size_t>(n));
    situation.proxy.evaluate_mean(subsets, std::ssize(situation.picked) + 1, Part::reward,
                                  situation.metric, metrics);
    return metrics;
}

}  // namespace thresher
