// bench_selection --scores FILE.f32 --k K [--selector top-k|softmax] [--repeats R] [--threads T]
//                 [--rivals yes|no]
//
// Seconds of one selection of k rows over scores in memory, ours and LibTorch's, interleaved, the
// best of R each; one JSON line.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "src/base/thread_team.hpp"
#include "src/selection/scan.hpp"
#include "src/selection/select.hpp"
#include "tests/bench/bench.hpp"

using namespace thresher;

int main(int argc, char** argv) {
    const std::vector<float> scores =
        bench::read_floats(bench::option(argc, argv, "--scores", "scores.f32"));
    const std::int64_t k = std::stoll(bench::option(argc, argv, "--k", "1000000"));
    const int repeats = std::stoi(bench::option(argc, argv, "--repeats", "3"));
    const int threads = std::stoi(bench::option(argc, argv, "--threads", "1"));
    const bool rivals = bench::option(argc, argv, "--rivals", "yes") == "yes";
    Selector selector;
    selector.name = bench::option(argc, argv, "--selector", "top-k");
    const bool softmax = selector.name == "softmax";

    use_threads(threads);
    at::set_num_threads(threads);
    const auto collective = make_local_collective();
    const at::Tensor tensor = at::from_blob(const_cast<float*>(scores.data()),
                                            {static_cast<std::int64_t>(scores.size())}, at::kFloat);

    bench::Best ours, pass, torch;
    std::size_t checked = 0;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        selector.seed = static_cast<std::uint64_t>(repeat);
        Selection selection;
        ours.add(bench::cpu_seconds([&] {
            selection = select_rows(*collective, {scores, 0, {}, {}}, k, selector);
        }));
        if (!rivals) continue;
        pass.add(bench::cpu_seconds([&] { static_cast<void>(tensor.max().item<float>()); }));
        if (softmax) {
            torch.add(bench::cpu_seconds([&] {
                const at::Tensor weights = at::softmax(tensor, 0);
                static_cast<void>(at::multinomial(weights, k, false));
            }));
        } else {
            at::Tensor values;
            torch.add(bench::cpu_seconds(
                [&] { values = std::get<0>(at::topk(tensor, k, 0, true, true)); }));
            const float* theirs = values.data_ptr<float>();
            THRESHER_CHECK(std::equal(selection.scores.begin(), selection.scores.end(), theirs),
                           "the two batches have different scores");
            ++checked;
        }
    }
    nlohmann::json line{{"benchmark", "selection"}, {"selector", selector.name},
                        {"rows", scores.size()},    {"k", k},
                        {"threads", threads},       {"simd", scan_target()},
                        {"thresher_s", ours.value}, {"same_scores_as_torch", checked}};
    if (rivals) {
        line["torch_max_s"] = pass.value;
        line[softmax ? "torch_softmax_multinomial_s" : "torch_topk_s"] = torch.value;
    }
    fmt::print("{}\n", line.dump());
}
