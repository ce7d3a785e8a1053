// Factors of gradient embeddings against the embeddings written out.

#include "src/acquisition/joint/gradients.hpp"

#include <limits>

#include "tests/acquisition/joint/joint_support.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

JointShard make_shard(const JointPool& pool) {
    std::vector<QuarantinedRow> quarantined;
    return {
        deal(pool, *make_local_collective()), *find_joint_acquisition("badge"), {}, quarantined};
}

/// g of one row, [C d].
std::vector<long double> gradient_of(const JointPool& pool, std::size_t row) {
    const auto classes = static_cast<std::size_t>(pool.classes);
    const auto samples = static_cast<std::size_t>(pool.samples);
    const auto d = static_cast<std::size_t>(pool.embedding_size);
    std::vector<long double> p(classes, 0.0L), g;
    for (std::size_t i = 0; i < samples * classes; ++i) {
        p[i % classes] +=
            std::exp(static_cast<long double>(pool.log_probs[row * samples * classes + i])) /
            static_cast<long double>(samples);
    }
    *std::max_element(p.begin(), p.end()) -= 1.0L;
    for (const long double factor : p) {
        for (std::size_t j = 0; j < d; ++j) {
            g.push_back(factor * static_cast<long double>(pool.embeddings[row * d + j]));
        }
    }
    return g;
}

long double square_of(const std::vector<long double>& a, const std::vector<long double>& b) {
    long double sum = 0.0L;
    for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

}  // namespace

TEST_CASE("distances between gradients are those of the products written out", "[gradients]") {
    struct Shape {
        std::int64_t rows, d, samples, classes;
    };
    // Rows that fill no panel, and classes and embeddings that fill no vector.
    for (const Shape& shape : {Shape{1, 1, 1, 2}, Shape{15, 3, 2, 3}, Shape{33, 16, 1, 10},
                               Shape{48, 67, 4, 37}, Shape{100, 5, 1, 128}}) {
        JointPool pool = random_points(shape.rows, shape.d, 11);
        add_random_predictions(pool, shape.samples, shape.classes, 2.0);
        // Legal: a class of probability 0.
        std::fill_n(pool.log_probs.begin(), shape.classes,
                    std::log(1.0F / static_cast<float>(shape.classes - 1)));
        pool.log_probs[0] = -std::numeric_limits<float>::infinity();
        const JointShard shard = make_shard(pool);
        Gradients gradients(shard);
        const auto n = static_cast<std::size_t>(shape.rows);
        INFO(shape.rows << " x " << shape.d << ", " << shape.samples << " x " << shape.classes);
        std::vector<std::vector<long double>> full;
        for (std::size_t row = 0; row < n; ++row) full.push_back(gradient_of(pool, row));
        const std::vector<long double> origin(full[0].size(), 0.0L);
        std::vector<float> factors(gradients.factor_size());
        std::vector<long double> nearest(n, std::numeric_limits<long double>::infinity());
        for (const std::size_t pick : {n / 2, n - 1}) {
            gradients.copy_factors(pick, factors);
            for (std::size_t begin = 0; begin < n; begin += Gradients::kPanel) {
                gradients.add(factors, begin, std::min(n, begin + Gradients::kPanel));
            }
            for (std::size_t row = 0; row < n; ++row) {
                nearest[row] = std::min(nearest[row], square_of(full[row], full[pick]));
                const long double scale =
                    square_of(full[row], origin) + square_of(full[pick], origin);
                INFO("row " << row << ", pick " << pick);
                CHECK(std::abs(static_cast<long double>(gradients.nearest(row)) - nearest[row]) <=
                      3e-6L * scale);
            }
            CHECK(gradients.nearest(pick) == 0.0);
        }
        for (std::size_t row = 0; row < n; ++row) {
            CHECK(gradients.squared_norm(row) ==
                  Approx(static_cast<double>(square_of(full[row], origin))).epsilon(1e-5));
        }
    }
}

TEST_CASE("gradients close to each other and far from the origin keep their distance",
          "[gradients]") {
    JointPool pool = points({1000, 2000, 1000, 2000.125F, 1000, 2000}, 2);
    pool.samples = 1;
    pool.classes = 2;
    for (int row = 0; row < 3; ++row)
        pool.log_probs.insert(pool.log_probs.end(), 2, std::log(0.5F));
    const JointShard shard = make_shard(pool);
    Gradients gradients(shard);
    std::vector<float> factors(gradients.factor_size());
    gradients.copy_factors(0, factors);
    gradients.add(factors, 0, 3);
    // r = (-1/2, 1/2), so |g - g'|^2 = 1/2 (1/8)^2, of norms of 2.5 million.
    CHECK(gradients.nearest(1) == Approx(0.0078125).epsilon(1e-5));
    CHECK(gradients.nearest(0) == 0.0);
    CHECK(gradients.nearest(2) == 0.0);
}
