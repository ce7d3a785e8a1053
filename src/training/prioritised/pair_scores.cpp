#include "src/training/prioritised/pair_scores.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/acquisition/joint/distances.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/training/prioritised/softplus_sums.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kGrain = 48;       // candidates a thread takes at a time
constexpr std::size_t kMostPacked = 128;  // chosen rows side by side: products stay in the cache

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// What one model has of the chosen rows, packed in pieces.
struct Chosen {
    std::vector<PackedRows> image, text;
};

std::vector<PackedRows> packed(std::span<const float> rows, std::size_t d) {
    std::vector<PackedRows> pieces;
    for (std::size_t begin = 0; begin < rows.size(); begin += kMostPacked * d) {
        pieces.emplace_back().pack(
            rows.subspan(begin, std::min(kMostPacked * d, rows.size() - begin)), d);
    }
    return pieces;
}

/// Adds weight * sum_k l(x_i . y_k) to sums[i] for rows x_i [sums.size(), d].
void add_losses(std::span<const float> rows, const std::vector<PackedRows>& others,
                const PairEmbeddings& model, double weight, std::vector<float>& products,
                std::span<double> sums) {
    for (const PackedRows& piece : others) {
        products.resize(sums.size() * piece.width());
        pair_up(Pairing::dot_product, rows, piece, products);
        add_softplus_sums(products, piece.width(), piece.rows(), static_cast<float>(model.scale),
                          static_cast<float>(model.bias), weight, sums);
    }
}

}  // namespace

PairScores::PairScores(Collective& collective, const PairEmbeddings& learner,
                       const PairEmbeddings& reference)
    : collective_(collective), models_{learner, reference} {
    agree(collective, [&] {
        const PairEmbeddings& model = learner.size > 0 ? learner : reference;
        THRESHER_CHECK(model.size > 0,
                       "a joint choice needs a learner or a reference, there is none");
        own_ = std::ssize(model.image) / model.size;
        for (const PairEmbeddings& each : models_) {
            THRESHER_CHECK(std::ssize(each.image) == own_ * each.size &&
                               std::ssize(each.text) == own_ * each.size,
                           "a joint choice among {} candidates got {} numbers of images and {} of "
                           "texts, {} a row",
                           own_, each.image.size(), each.text.size(), each.size);
        }
    });
    const auto counts = collective.all_gather_v(std::span<const std::int64_t>(&own_, 1)).values;
    first_ = std::accumulate(counts.begin(), counts.begin() + collective.rank(), std::int64_t{0});
}

std::vector<double> PairScores::diagonal() const {
    std::vector<double> losses(at(own_), 0.0);
    double sign = 1.0;
    for (const PairEmbeddings& model : models_) {
        for (std::int64_t i = 0; i < own_ && model.size > 0; ++i) {
            const auto image = model.image.subspan(at(i * model.size), at(model.size));
            const auto text = model.text.subspan(at(i * model.size), at(model.size));
            const double product =
                std::inner_product(image.begin(), image.end(), text.begin(), 0.0, std::plus<>(),
                                   [](float x, float y) { return double{x} * double{y}; });
            losses[at(i)] += sign * softplus(-(model.scale * product + model.bias));
        }
        sign = -1.0;
    }
    return losses;
}

void PairScores::add(std::span<const std::int64_t> places, std::span<double> sums) const {
    // Every rank sends those of the rows that it holds; as places ascend, they arrive in order.
    std::vector<float> outgoing;
    for (const std::int64_t place : places) {
        const std::int64_t i = place - first_;
        if (i < 0 || i >= own_) continue;
        for (const PairEmbeddings& model : models_) {
            for (const auto& rows : {model.image, model.text}) {
                const auto row = rows.subspan(at(i * model.size), at(model.size));
                outgoing.insert(outgoing.end(), row.begin(), row.end());
            }
        }
    }
    const std::vector<float> arrived =
        collective_.all_gather_v(std::span<const float>(outgoing)).values;
    const std::size_t stride = at(2 * (models_[0].size + models_[1].size));
    const auto column = [&](std::size_t from, std::int64_t size) {
        std::vector<float> rows;
        for (std::size_t begin = from; begin < arrived.size(); begin += stride) {
            rows.insert(rows.end(), arrived.begin() + static_cast<std::ptrdiff_t>(begin),
                        arrived.begin() + static_cast<std::ptrdiff_t>(begin + at(size)));
        }
        return size == 0 ? std::vector<PackedRows>() : packed(rows, at(size));
    };
    Chosen chosen[2];
    std::size_t from = 0;
    for (std::size_t m = 0; m < 2; ++m) {
        chosen[m].image = column(from, models_[m].size);
        chosen[m].text = column(from + at(models_[m].size), models_[m].size);
        from += at(2 * models_[m].size);
    }
    parallel_for(own_, kGrain, [&](std::int64_t begin, std::int64_t end) {
        std::vector<float> products;
        const auto part = sums.subspan(at(begin), at(end - begin));
        for (std::size_t m = 0; m < 2; ++m) {
            const PairEmbeddings& model = models_[m];
            if (model.size == 0) continue;
            const double weight = m == 0 ? 1.0 : -1.0;
            const std::size_t offset = at(begin * model.size), count = part.size() * at(model.size);
            add_losses(model.image.subspan(offset, count), chosen[m].text, model, weight, products,
                       part);
            add_losses(model.text.subspan(offset, count), chosen[m].image, model, weight, products,
                       part);
        }
    });
}

}  // namespace thresher
