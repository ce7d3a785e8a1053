#include "src/training/optimizer.hpp"

#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "tests/support/catch.hpp"

using namespace thresher;

TEST_CASE("SGD with Nesterov momentum follows its equations, and decays matrices only") {
    TrainOptions options;
    options.momentum = 0.9;
    options.weight_decay = 0.1;
    const at::Tensor values = at::tensor({1.0F, 1.0F});
    const at::Tensor gradients = at::tensor({0.5F, 0.5F});
    Optimizer optimizer(options, values, 1);
    double w[] = {1.0, 1.0}, m[] = {0.0, 0.0};
    for (int step = 0; step < 3; ++step) {
        optimizer.update(values, gradients, 0.2, step);
        for (int i = 0; i < 2; ++i) {
            const double g = 0.5 + (i == 0 ? 0.1 * w[i] : 0.0);
            m[i] = 0.9 * m[i] + g;
            w[i] -= 0.2 * (g + 0.9 * m[i]);
            CHECK(values[i].item<double>() == Approx(w[i]).epsilon(1e-6));
            CHECK(optimizer.moments()[0][i].item<double>() == Approx(m[i]).epsilon(1e-6));
        }
    }
}

TEST_CASE("SGD without momentum steps against the gradient") {
    TrainOptions options;
    options.momentum = 0.0;
    options.weight_decay = 0.0;
    const at::Tensor values = at::tensor({1.0F, -2.0F});
    Optimizer optimizer(options, values, 2);
    optimizer.update(values, at::tensor({0.5F, -1.0F}), 0.1, 0);
    CHECK(values[0].item<double>() == Approx(0.95));
    CHECK(values[1].item<double>() == Approx(-1.9));
}

TEST_CASE("AdamW follows its equations, and decays matrices only") {
    TrainOptions options;
    options.optimizer = OptimizerKind::adamw;
    options.weight_decay = 0.1;
    const at::Tensor values = at::tensor({1.0F, 1.0F});
    const double gradient[] = {0.5, -2.0, 0.25};
    Optimizer optimizer(options, values, 1);
    double w[] = {1.0, 1.0}, m = 0.0, v = 0.0;
    for (int step = 0; step < 3; ++step) {
        const double g = gradient[step];
        optimizer.update(values, at::tensor({static_cast<float>(g), static_cast<float>(g)}), 0.01,
                         step);
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        const double m_hat = m / (1.0 - std::pow(0.9, step + 1));
        const double v_hat = v / (1.0 - std::pow(0.999, step + 1));
        for (int i = 0; i < 2; ++i) {
            if (i == 0) w[i] -= 0.01 * 0.1 * w[i];
            w[i] -= 0.01 * m_hat / (std::sqrt(v_hat) + 1e-8);
            CHECK(values[i].item<double>() == Approx(w[i]).epsilon(1e-6));
        }
    }
}
