#include "src/training/gradient_buckets.hpp"

#include <ATen/ops/zeros.h>

#include <string>
#include <vector>

#include "src/models/input_reader.hpp"
#include "src/training/batch_gradient.hpp"
#include "tests/support/ranks.hpp"
#include "tests/training/noisy_pool.hpp"

using namespace thresher;

namespace {

/// Layers of 2 x 16, 16 x 16, 16 x 16 and 16 x 4 weights.
ModelSpec four_layers(const PoolInfo& pool) {
    ModelSpec spec = small_spec(pool, {16, 16, 16});
    spec.dropout = 0.0;
    return spec;
}

/// Backward of a loss that is another one on every rank.
void go_backward(Model& model, const MemoryPool& pool, int rank) {
    const RowRange rows{2 * rank, 2 * rank + 2};
    const InputReader reader(model.spec(), pool.info.element_type, pool.info.scale, "cpu");
    model.forward(reader.read(pool.inputs, rows)).logits.square().sum().backward();
}

/// Looks at how far backward is when sums start.
class Witness final : public CollectiveObserver {
  public:
    explicit Witness(const at::Tensor& first_layer) : first_layer_(first_layer) {}
    void begin(std::string_view operation, double) override {
        if (!operation.starts_with("start")) return;
        before_the_end.push_back(!first_layer_.any().item<bool>());
    }
    void end() override {}

    std::vector<bool> before_the_end;

  private:
    at::Tensor first_layer_;
};

}  // namespace

TEST_CASE("the sums of the last layers start while backward is at work on the first") {
    const MemoryPool pool = quadrant_pool(16);
    test::on_all_ranks([&](Collective& collective) {
        const auto model = make_model(four_layers(pool.info), 1);
        FlatTensors parameters(trainable(model->parameters()));
        const at::Tensor gradients = at::zeros({parameters.size()});
        parameters.bind_gradients(gradients);
        go_backward(*model, pool, collective.rank());
        const at::Tensor own = gradients.clone();
        collective.all_reduce_sum(
            {gradients.mutable_data_ptr<float>(), static_cast<std::size_t>(gradients.numel())});
        const at::Tensor expected = gradients.clone();

        // The weights of layers 4, 3, 2 and 1, then all biases.
        GradientBuckets buckets(parameters, gradients, collective, 4 * 256);
        CHECK_ON_RANK(collective, buckets.size() == 5);
        Witness witness(gradients.narrow(0, 0, 32));
        collective.observe(&witness);
        gradients.zero_();
        buckets.expect_last();
        go_backward(*model, pool, collective.rank());
        CHECK_ON_RANK(collective, buckets.started() == 5);
        buckets.finish();
        collective.observe(nullptr);
        CHECK_ON_RANK(collective,
                      witness.before_the_end == std::vector<bool>{true, true, true, false, false});
        CHECK_ON_RANK(collective, gradients.allclose(expected));
        CHECK_ON_RANK(collective, (collective.size() > 2 || gradients.equal(expected)));
        parameters.bind_gradients(at::Tensor());
    });
}

TEST_CASE("sums that backward does not start are made in the end, on ranks without rows too") {
    const MemoryPool pool = quadrant_pool(16);
    test::on_all_ranks([&](Collective& collective) {
        const auto model = make_model(four_layers(pool.info), 1);
        FlatTensors parameters(trainable(model->parameters()));
        const at::Tensor gradients = at::zeros({parameters.size()});
        parameters.bind_gradients(gradients);
        go_backward(*model, pool, 0);
        const at::Tensor expected = gradients.clone();
        GradientBuckets buckets(parameters, gradients, collective, 4);  // one for each tensor
        CHECK_ON_RANK(collective, buckets.size() == 8);
        for (int time = 0; time < 2; ++time) {
            gradients.zero_();
            if (collective.is_root()) {
                buckets.expect_last();
                go_backward(*model, pool, 0);
            }
            buckets.finish();
            CHECK_ON_RANK(collective, gradients.equal(expected));
            CHECK_ON_RANK(collective, buckets.started() == 0);
        }
        // Not expected, backward starts nothing.
        go_backward(*model, pool, 0);
        CHECK_ON_RANK(collective, buckets.started() == 0);
        parameters.bind_gradients(at::Tensor());
    });
}

TEST_CASE("a batch's gradient over ranks is that of one rank, and a rank that fails stops all") {
    const MemoryPool pool = noisy_pool(28, 0.3);
    const auto alone = make_local_collective();
    const auto gradient_over = [&](Collective& collective, bool broken) {
        const auto model = make_model(four_layers(pool.info), 1);
        TrainOptions options;
        options.accumulate = 2;
        BatchGradient batch(*model, pool.info, options, 28, collective);
        const ShardPlan plan = shard_plan(options, 28, collective.size());
        const RowRange rows = plan.rank_rows(28, collective.rank());
        std::vector<std::int64_t> positions;
        for (std::int64_t row = rows.begin; row < rows.end; ++row) positions.push_back(row);
        Examples own;
        all_examples(pool)->fetch(positions, own);
        if (broken) model->parameters().front().tensor.set_data(at::zeros({16, 3}));
        Phases phases;
        batch.compute(own, {}, 28, 0, phases);
        return batch.gradient().clone();
    };
    const at::Tensor expected = gradient_over(*alone, false);
    test::on_all_ranks([&](Collective& collective) {
        const at::Tensor before = gradient_over(collective, false);
        CHECK_ON_RANK(collective, before.allclose(expected, 1e-4, 1e-6));
        // It cannot go forward, while the others go backward and sum.
        const bool last = collective.rank() == collective.size() - 1;
        std::string message;
        try {
            gradient_over(collective, last);
        } catch (const std::exception& error) {
            message = error.what();
        }
        CHECK_ON_RANK(collective, !message.empty());
        const at::Tensor after = gradient_over(collective, false);
        CHECK_ON_RANK(collective, after.allclose(expected, 1e-4, 1e-6));
    });
}
