// bench_scoring --model NAME [--rows N] [--threads T] [--repeats R]
//
// Images a second of one model on 28 x 28 images: the loop of `predict` (bytes to
// log-probabilities), that of a fused `select` (and on to a batch), the best bare forward pass of
// the same scoring form on tensors in memory, and the plain eager model. Interleaved, the best of R
// each, once the best batch of the bare pass is known; one JSON line.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "src/acquisition/acquisition.hpp"
#include "src/base/freed_memory.hpp"
#include "src/base/thread_team.hpp"
#include "src/models/model.hpp"
#include "src/models/tensors.hpp"
#include "src/pool/memory_source.hpp"
#include "src/random/philox.hpp"
#include "src/selection/select.hpp"
#include "src/strategy/predictor.hpp"
#include "tests/bench/bench.hpp"

using namespace thresher;

namespace {

MemoryPool random_images(std::int64_t rows) {
    MemoryPool pool;
    pool.info.path = "memory";
    pool.info.rows = rows;
    pool.info.input_shape = {1, 28, 28};
    pool.info.scale = 1.0 / 255;
    pool.info.mean = {0.2860};
    pool.info.std = {0.3530};
    pool.info.classes = 10;
    pool.info.block_rows = default_block_rows(pool.info.bytes_per_row());
    pool.inputs.resize(static_cast<std::size_t>(rows * pool.info.bytes_per_row()));
    const KeyedRandom random(1, Stream::synthetic, 0);
    for (std::size_t i = 0; i < pool.inputs.size(); ++i) {
        pool.inputs[i] =
            static_cast<std::byte>(random.bits(static_cast<std::int64_t>(i / 8)) >> (8 * (i % 8)));
    }
    pool.ids.resize(static_cast<std::size_t>(rows));
    std::iota(pool.ids.begin(), pool.ids.end(), 0);
    return pool;
}

/// All rows through the model, `batch` at a time; inputs are ready in memory.
void forward_all(Model& model, const at::Tensor& inputs, std::int64_t batch) {
    const c10::InferenceMode guard;
    for (std::int64_t begin = 0; begin < inputs.size(0); begin += batch) {
        const std::int64_t rows = std::min(batch, inputs.size(0) - begin);
        static_cast<void>(model.forward(inputs.narrow(0, begin, rows)).logits);
    }
}

}  // namespace

int main(int argc, char** argv) {
    const std::string name = bench::option(argc, argv, "--model", "cnn");
    const std::int64_t rows = std::stoll(bench::option(argc, argv, "--rows", "8192"));
    const int threads = std::stoi(bench::option(argc, argv, "--threads", "1"));
    const int repeats = std::stoi(bench::option(argc, argv, "--repeats", "3"));
    use_threads(threads);
    use_model_threads(threads);
    keep_freed_memory();  // as the program does

    const MemoryPool pool = random_images(rows);
    const auto model = make_model(spec_for_pool(name, pool.info), 1);
    const auto fast = model->scoring_form();
    const at::Tensor plain_inputs = at::randn({rows, 1, 28, 28});
    // contiguous(ChannelsLast) would keep the strides of one channel, and the slower kernels with
    // it.
    const at::Tensor fast_inputs =
        at::empty(plain_inputs.sizes(),
                  at::TensorOptions().memory_format(at::MemoryFormat::ChannelsLast))
            .copy_(plain_inputs);
    const auto source = stream_blocks(pool, 0, 1);
    const auto collective = make_local_collective();
    const Acquisition& entropy = find_acquisition("entropy");
    Predictor predictor({model.get(), nullptr}, pool.info, {});
    std::vector<float> scores(static_cast<std::size_t>(rows));

    const auto predict_all = [&](bool fused) {
        source->rewind();
        Block block;
        Predictions predictions;
        while (source->next(block)) {
            predictor.predict(block, predictions);
            if (!fused) continue;
            const PredictionView view{
                block.ids, predictions.log_probs, predictions.samples, predictions.classes, {}, 1,
                0};
            entropy.score(view,
                          std::span(scores).subspan(static_cast<std::size_t>(block.rows.begin),
                                                    static_cast<std::size_t>(block.rows.size())));
        }
        if (fused) {
            static_cast<void>(select_rows(*collective, {scores, 0, {}, {}}, rows / 100 + 1, {}));
        }
    };
    std::map<std::int64_t, bench::Best> by_batch;
    for (int repeat = 0; repeat < 2; ++repeat) {
        for (const std::int64_t batch : {32, 64, 128, 256, 512}) {
            by_batch[batch].add(
                bench::wall_seconds([&] { forward_all(*fast, fast_inputs, batch); }));
        }
    }
    const std::int64_t batch =
        std::min_element(by_batch.begin(), by_batch.end(), [](const auto& a, const auto& b) {
            return a.second.value < b.second.value;
        })->first;
    bench::Best predict, fused, bare, eager;
    for (int repeat = 0; repeat <= repeats; ++repeat) {
        if (repeat == 1) predict = fused = bare = eager = {};  // the first warms up
        predict.add(bench::wall_seconds([&] { predict_all(false); }));
        bare.add(bench::wall_seconds([&] { forward_all(*fast, fast_inputs, batch); }));
        fused.add(bench::wall_seconds([&] { predict_all(true); }));
        eager.add(bench::wall_seconds([&] { forward_all(*model, plain_inputs, 256); }));
    }
    const auto images_per_s = [&](double seconds) { return static_cast<double>(rows) / seconds; };
    const nlohmann::json line{{"benchmark", "scoring"},
                              {"model", name},
                              {"rows", rows},
                              {"threads", threads},
                              {"predict_images_per_s", images_per_s(predict.value)},
                              {"select_images_per_s", images_per_s(fused.value)},
                              {"bare_forward_images_per_s", images_per_s(bare.value)},
                              {"bare_forward_batch", batch},
                              {"eager_images_per_s", images_per_s(eager.value)}};
    fmt::print("{}\n", line.dump());
}
