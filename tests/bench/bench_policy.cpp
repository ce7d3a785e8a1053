// bench_policy [--candidates N] [--features F] [--hidden H] [--rollouts K] [--picks B]
//              [--truncation T] [--repeats R]
//
// Seconds of one step of the policy's walk over K rollouts side by side, forward with sampling, and
// with its gradient, on one thread; processor seconds, the best of R; one JSON line. `peak_bytes`
// is the memory of walking, without the candidates.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "src/policy/heads/heads.hpp"
#include "src/random/philox.hpp"
#include "tests/bench/bench.hpp"

using namespace thresher;

namespace {

CandidateSet random_candidates(std::int64_t rows, std::int64_t width) {
    CandidateSet candidates;
    candidates.rows = rows;
    candidates.width = candidates.dimensions = width;
    candidates.features.resize(static_cast<std::size_t>(rows * width));
    const KeyedRandom random(1, Stream::synthetic, 0);
    for (std::size_t i = 0; i < candidates.features.size(); ++i) {
        candidates.features[i] =
            static_cast<float>(random.uniform(static_cast<std::int64_t>(i)) - 0.5);
    }
    candidates.places = candidates.features;
    measure_distances(candidates);
    return candidates;
}

}  // namespace

int main(int argc, char** argv) {
    const auto count = [&](const char* name, const char* otherwise) {
        return std::stoll(bench::option(argc, argv, name, otherwise));
    };
    const std::string name = bench::option(argc, argv, "--head", "walk");
    const Head& head = find_head(name);
    const CandidateSet candidates =
        random_candidates(count("--candidates", "50"), count("--features", "16"));
    const Draw draw{.rollouts = count("--rollouts", "32"),
                    .picks = count("--picks", "5"),
                    .seed = 1,
                    .truncation = count("--truncation", "0")};
    const Policy policy = make_policy(
        name, {candidates.width, count("--hidden", "32"), head.outputs(draw.picks)}, 10.0, 1);
    const std::int64_t before_bytes = bench::peak_bytes();
    bench::Best forward, with_gradient;
    std::int64_t steps = 0;
    for (std::int64_t repeat = 0; repeat < count("--repeats", "20"); ++repeat) {
        Rollouts rollouts;
        forward.add(bench::cpu_seconds([&] { rollouts = draw_batches(policy, candidates, draw); }));
        steps = rollouts.steps;
        if (bench::option(argc, argv, "--gradient", "yes") != "yes") continue;
        with_gradient.add(bench::cpu_seconds([&] {
            const Rollouts drawn = draw_batches(policy, candidates, draw);
            const std::vector<float> advantages(
                static_cast<std::size_t>(draw.rollouts * drawn.steps), 1.0F);
            std::vector<float> gradient(policy.parameters.size());
            head.add_gradient(policy, candidates, draw, drawn, {advantages, 0.0, {}}, gradient);
        }));
    }
    nlohmann::json line{{"benchmark", "policy"},
                        {"head", name},
                        {"candidates", candidates.rows},
                        {"features", candidates.width},
                        {"hidden", policy.shape.hidden},
                        {"rollouts", draw.rollouts},
                        {"picks", draw.picks},
                        {"steps", steps},
                        {"step_s", forward.value / static_cast<double>(steps)},
                        {"total_s", forward.value},
                        {"peak_bytes", bench::peak_bytes() - before_bytes}};
    if (with_gradient.value < 1e9) {
        line["gradient_step_s"] = with_gradient.value / static_cast<double>(steps);
    }
    fmt::print("{}\n", line.dump());
}
