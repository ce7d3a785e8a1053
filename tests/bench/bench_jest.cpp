// bench_jest [--candidates B] [--embedding-size D] [--filter-ratio F] [--chunks C] [--repeats R]
//            [--threads T] [--ranks P]
//
// Seconds of one joint choice among B candidates by a learner and a reference, against LibTorch's
// matrix products of the same embeddings: the two of all images with all texts ("products"), and
// those of all candidates with the chosen ones alone, both ways and under both models ("needed").
// Processor seconds, the best of R each; one JSON line. With P > 1 the ranks are threads of this
// process. `peak_bytes` is the memory of choosing, without the embeddings.

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "src/base/thread_collective.hpp"
#include "src/base/thread_team.hpp"
#include "src/random/philox.hpp"
#include "src/training/prioritised/joint_sub_batch.hpp"
#include "tests/bench/bench.hpp"

using namespace thresher;

namespace {

/// Random rows [n, d] of length 1.
std::vector<float> directions(std::int64_t n, std::int64_t d, std::uint64_t seed) {
    std::vector<float> rows(static_cast<std::size_t>(n * d));
    const KeyedRandom random(seed, Stream::synthetic, 0);
    for (std::int64_t i = 0; i < n; ++i) {
        const auto row =
            std::span(rows).subspan(static_cast<std::size_t>(i * d), static_cast<std::size_t>(d));
        double square = 0.0;
        for (std::int64_t j = 0; j < d; ++j) {
            const double value = random.uniform(i * d + j) - 0.5;
            row[static_cast<std::size_t>(j)] = static_cast<float>(value);
            square += value * value;
        }
        for (float& value : row) value = static_cast<float>(value / std::sqrt(square));
    }
    return rows;
}

}  // namespace

int main(int argc, char** argv) {
    const auto number = [&](const char* name, const char* otherwise) {
        return std::stod(bench::option(argc, argv, name, otherwise));
    };
    const auto count = [&](const char* name, const char* otherwise) {
        return static_cast<std::int64_t>(number(name, otherwise));
    };
    const std::int64_t candidates = count("--candidates", "8192");
    const std::int64_t d = count("--embedding-size", "128");
    const auto ranks = static_cast<int>(count("--ranks", "1"));
    const auto threads = static_cast<int>(count("--threads", "1"));
    JointDraw draw{.chunks = count("--chunks", "16"), .seed = 1};
    draw.size = std::llround(static_cast<double>(candidates) / number("--filter-ratio", "5"));
    use_threads(threads);
    at::set_num_threads(threads);
    const c10::NoGradGuard no_grad;

    std::vector<std::vector<float>> rows;  // images and texts of the learner, then the reference
    for (std::uint64_t seed = 0; seed < 4; ++seed) rows.push_back(directions(candidates, d, seed));
    const auto tensor = [&](std::size_t i, std::int64_t n) {
        return at::from_blob(rows[i].data(), {n, d}, at::TensorOptions(at::kFloat));
    };
    const auto model = [&](std::size_t first, std::int64_t begin, std::int64_t end) {
        const auto part = [&](const std::vector<float>& values) {
            return std::span(values).subspan(static_cast<std::size_t>(begin * d),
                                             static_cast<std::size_t>((end - begin) * d));
        };
        return PairEmbeddings{part(rows[first]), part(rows[first + 1]), d, 10.0, -10.0};
    };
    bench::Best choice, products, needed;
    SubBatch chosen;
    const std::int64_t before_bytes = bench::peak_bytes();
    std::int64_t peak_bytes = 0;
    for (std::int64_t repeat = 0; repeat < count("--repeats", "3"); ++repeat) {
        choice.add(bench::cpu_seconds([&] {
            run_simulated_ranks(ranks, [&](Collective& collective) {
                const std::int64_t begin = candidates * collective.rank() / ranks;
                const std::int64_t end = candidates * (collective.rank() + 1) / ranks;
                SubBatch own = choose_joint_sub_batch(collective, model(0, begin, end),
                                                      model(2, begin, end), draw);
                if (collective.is_root()) chosen = std::move(own);
            });
        }));
        if (repeat == 0) peak_bytes = bench::peak_bytes() - before_bytes;
    }
    at::Tensor square = at::empty({candidates, candidates}, at::TensorOptions(at::kFloat));
    at::Tensor part = at::empty({candidates, draw.size}, at::TensorOptions(at::kFloat));
    for (std::int64_t repeat = 0; repeat < count("--repeats", "3"); ++repeat) {
        products.add(bench::cpu_seconds([&] {
            for (const std::size_t i : {0U, 2U}) {
                at::mm_out(square, tensor(i, candidates), tensor(i + 1, candidates).t());
            }
        }));
        needed.add(bench::cpu_seconds([&] {
            for (const std::size_t i : {0U, 1U, 2U, 3U}) {
                at::mm_out(part, tensor(i, candidates), tensor(i ^ 1U, draw.size).t());
            }
        }));
    }
    fmt::print("{}\n", nlohmann::json{{"benchmark", "jest"},
                                      {"candidates", candidates},
                                      {"kept", chosen.places.size()},
                                      {"chunks", draw.chunks},
                                      {"embedding_size", d},
                                      {"threads", threads},
                                      {"ranks", ranks},
                                      {"thresher_cpu_s", choice.value},
                                      {"products_cpu_s", products.value},
                                      {"needed_products_cpu_s", needed.value},
                                      {"peak_bytes", peak_bytes}}
                           .dump());
}
