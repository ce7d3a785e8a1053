// bench_acquisition --log-probs FILE.f32 --acquisition entropy|bald --samples S --classes C
//                   [--k K] [--repeats R] [--threads T]
//
// Seconds of scoring log-probabilities [N, S, C] in memory and choosing the top k: ours, and
// LibTorch's as one would write it, interleaved, the best of R each; and of one pass that only
// reads the input. One JSON line.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <nlohmann/json.hpp>

#include "src/acquisition/acquisition.hpp"
#include "src/base/thread_team.hpp"
#include "src/selection/scan.hpp"
#include "src/selection/select.hpp"
#include "tests/bench/bench.hpp"

using namespace thresher;

namespace {

/// Reads every value once, on the threads in use: the sum of them, in as many chains as there are
/// registers for.
double read_pass(std::span<const float> values) {
    constexpr std::int64_t kGrain = 1 << 18;
    std::atomic<double> total{0.0};
    parallel_for(static_cast<std::int64_t>(values.size()), kGrain,
                 [&](std::int64_t begin, std::int64_t end) {
                     float sums[32] = {};
                     for (std::int64_t i = begin; i + 32 <= end; i += 32) {
                         const float* from = values.data() + i;
                         for (std::size_t lane = 0; lane < 32; ++lane) sums[lane] += from[lane];
                     }
                     double sum = 0.0;
                     for (const float part : sums) sum += double{part};
                     total.fetch_add(sum);
                 });
    return total;
}

at::Tensor torch_scores(const at::Tensor& log_probs, bool bald) {
    if (!bald) {
        const at::Tensor rows = log_probs.squeeze(1);
        return -(rows.exp() * rows).sum(-1);
    }
    const at::Tensor p = log_probs.exp();
    const at::Tensor mean = p.mean(1);
    const at::Tensor entropy = -(mean * mean.log()).sum(-1);
    return entropy + (p * log_probs).sum(-1).mean(1);
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<float> log_probs =
        bench::read_floats(bench::option(argc, argv, "--log-probs", "log_probs.f32"));
    const std::string name = bench::option(argc, argv, "--acquisition", "entropy");
    const std::int64_t samples = std::stoll(bench::option(argc, argv, "--samples", "1"));
    const std::int64_t classes = std::stoll(bench::option(argc, argv, "--classes", "10"));
    const std::int64_t k = std::stoll(bench::option(argc, argv, "--k", "1000"));
    const int repeats = std::stoi(bench::option(argc, argv, "--repeats", "10"));
    const int threads = std::stoi(bench::option(argc, argv, "--threads", "1"));
    const auto rows = static_cast<std::int64_t>(log_probs.size()) / (samples * classes);

    use_threads(threads);
    at::set_num_threads(threads);
    const c10::InferenceMode inference;
    const auto collective = make_local_collective();
    const Acquisition& acquisition = find_acquisition(name);
    const at::Tensor tensor =
        at::from_blob(const_cast<float*>(log_probs.data()), {rows, samples, classes}, at::kFloat);
    PredictionView view;
    view.log_probs = log_probs;
    view.samples = samples;
    view.classes = classes;
    std::vector<float> scores(static_cast<std::size_t>(rows));

    bench::Best ours, ours_scoring, pass, torch;
    double pass_sum = 0.0, difference = 0.0;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        Selection selection;
        at::Tensor top;
        // Seconds that pass where several threads share the work, processor seconds of one.
        const auto seconds = [&](const auto& body) {
            return threads > 1 ? bench::wall_seconds(body) : bench::cpu_seconds(body);
        };
        ours.add(seconds([&] {
            ours_scoring.add(seconds([&] { acquisition.score(view, scores); }));
            selection = select_rows(*collective, {scores, 0, {}, {}}, k, {});
        }));
        pass.add(seconds([&] { pass_sum += read_pass(log_probs); }));
        torch.add(seconds([&] {
            top = std::get<0>(at::topk(torch_scores(tensor, name == "bald"), k, 0, true, true));
        }));
        for (std::int64_t i = 0; i < k; ++i) {
            const double theirs = top.const_data_ptr<float>()[i];
            const double gap = std::abs(selection.scores[static_cast<std::size_t>(i)] - theirs);
            difference = std::max(difference, gap);
        }
    }
    THRESHER_CHECK(std::isfinite(pass_sum) && difference <= 1e-5,
                   "the scores of the two batches differ by {}", difference);
    const double bytes = 4.0 * static_cast<double>(log_probs.size());
    const nlohmann::json line{{"benchmark", "acquisition"},
                              {"acquisition", name},
                              {"rows", rows},
                              {"samples", samples},
                              {"classes", classes},
                              {"k", k},
                              {"threads", threads},
                              {"simd", scan_target()},
                              {"thresher_s", ours.value},
                              {"thresher_scoring_s", ours_scoring.value},
                              {"torch_s", torch.value},
                              {"read_s", pass.value},
                              {"read_gb_per_s", 1e-9 * bytes / pass.value},
                              {"largest_difference", difference}};
    fmt::print("{}\n", line.dump());
}
