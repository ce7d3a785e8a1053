#include "src/policy/lookup_table/pair_kernels.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>

#include <tuple>

#include "src/base/check.hpp"

namespace thresher {

PairMap::PairMap(const Items& items, const Landmarks& landmarks, double length) {
    const std::int64_t n = items.rows, m = landmarks.count();
    std::vector<float> values = landmarks.similarities(length * items.length);
    const at::Tensor similarities =
        at::from_blob(values.data(), {n, m}, at::TensorOptions(at::kFloat)).to(at::kDouble);
    at::Tensor own = at::empty({m, m}, at::TensorOptions(at::kDouble));
    for (std::int64_t i = 0; i < m; ++i) {
        own[i].copy_(similarities[landmarks.rows()[static_cast<std::size_t>(i)]]);
    }
    // Where candidates are there twice, rounding to floats can make an eigenvalue as low as -2e-6.
    constexpr double kLeast = 1e-6, kMost = 1e-3;
    at::Tensor factor;
    bool definite = false;
    for (double jitter = kLeast; !definite && jitter <= kMost; jitter *= 10.0) {
        at::Tensor raised = own.clone(), info;
        raised.diagonal().add_(jitter);
        std::tie(factor, info) = at::linalg_cholesky_ex(raised);
        definite = info.item<std::int32_t>() == 0;
    }
    THRESHER_CHECK(definite,
                   "the similarities of {} candidates at length {} are not positive definite", m,
                   length);
    phi_ = at::linalg_solve_triangular(factor, similarities.t(), false).t().contiguous();
}

void PairMap::add(std::span<const std::int32_t> subset, double* to) const {
    const std::int64_t m = phi_.size(1);
    const double* const data = phi_.const_data_ptr<double>();
    for (const std::int32_t item : subset) {
        const double* const row = data + item * m;
        for (std::int64_t l = 0; l < m; ++l) to[l] += row[l];
    }
}

SharedItems::SharedItems(const PackedSubsets& subsets, std::span<const std::size_t> rows)
    : shares_(static_cast<std::size_t>(subsets.candidates()), 0.0) {
    PackedSubsets chosen(subsets.candidates());
    for (const std::size_t row : rows) {
        chosen.add_packed(subsets[static_cast<std::int64_t>(row)]);
        members_.push_back(subsets.members(static_cast<std::int64_t>(row)));
        for (const std::int32_t item : members_.back()) {
            shares_[static_cast<std::size_t>(item)] += 1.0 / static_cast<double>(rows.size());
        }
    }
    for (const double share : shares_) square_ += share * share;
    for (const auto& members : members_) of_records_.push_back(mean_of(members));
    const auto distances = subset_distances(chosen, chosen);
    kernel_ = at::empty({chosen.size(), chosen.size()}, at::TensorOptions(at::kDouble));
    double* to = kernel_.mutable_data_ptr<double>();
    for (std::size_t i = 0; i < members_.size(); ++i) {
        for (std::size_t j = 0; j < members_.size(); ++j, ++to) {
            const double sizes = static_cast<double>(members_[i].size() + members_[j].size());
            const double distance = distances[i * members_.size() + j];
            *to = 0.5 * (sizes - distance) - of_records_[i] - of_records_[j] + square_;
        }
    }
    const double mean = kernel_.diagonal().mean().item<double>();
    scale_ = mean > 0.0 ? 1.0 / mean : 1.0;
    kernel_.mul_(scale_);
}

std::vector<double> SharedItems::row(std::span<const std::int32_t> subset) const {
    std::vector<std::uint8_t> marks(shares_.size(), 0);
    for (const std::int32_t item : subset) marks[static_cast<std::size_t>(item)] = 1;
    const double own = mean_of(subset);
    std::vector<double> values;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        double shared = 0.0;
        for (const std::int32_t item : members_[i]) shared += marks[static_cast<std::size_t>(item)];
        values.push_back(scale_ * (shared - own - of_records_[i] + square_));
    }
    values.push_back(scale_ * (static_cast<double>(subset.size()) - 2.0 * own + square_));
    return values;
}

double SharedItems::add_effects(const double* weights, double factor,
                                std::vector<double>& effects) const {
    std::vector<double> own(shares_.size(), 0.0);
    double total = 0.0, constant = 0.0;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const double weight = factor * scale_ * weights[i];
        for (const std::int32_t item : members_[i]) own[static_cast<std::size_t>(item)] += weight;
        total += weight;
        constant += weight * (square_ - of_records_[i]);
    }
    for (std::size_t i = 0; i < own.size(); ++i) effects[i] += own[i] - total * shares_[i];
    return constant;
}

double SharedItems::mean_of(std::span<const std::int32_t> subset) const {
    double sum = 0.0;
    for (const std::int32_t item : subset) sum += shares_[static_cast<std::size_t>(item)];
    return sum;
}

}  // namespace thresher
