#pragma once

// The parts of the kernel of two subsets that add up over pairs of their candidates.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "src/policy/lookup_table/items.hpp"
#include "src/policy/lookup_table/packed_subsets.hpp"

namespace thresher {

/// The sum over pairs of exp(-|f_i - f_j|^2 / (2 l^2)) as the product of what two subsets are
/// mapped to: the sums over their items of phi_i [landmarks], with phi_i . phi_j the similarity of
/// two items as far as the landmarks tell (Nystroem; exact where all candidates are landmarks).
class PairMap {
  public:
    PairMap() = default;
    /// `length` in median distances of candidates.
    PairMap(const Items& items, const Landmarks& landmarks, double length);

    const at::Tensor& items() const { return phi_; }  ///< [N, landmarks]

    /// Adds phi of the items of a subset to `to` [landmarks].
    void add(std::span<const std::int32_t> subset, double* to) const;

  private:
    at::Tensor phi_;
};

/// How many candidates two subsets share, less what the records share on average: what a candidate
/// has to itself, however like another it is (its class, for one).
class SharedItems {
  public:
    SharedItems() = default;
    /// Of the records in these rows of `subsets`.
    SharedItems(const PackedSubsets& subsets, std::span<const std::size_t> rows);

    const at::Tensor& kernel() const { return kernel_; }  ///< [R, R], a mean of 1 on its diagonal

    /// Of a subset with the records [R], and with itself behind them.
    std::vector<double> row(std::span<const std::int32_t> subset) const;

    /// Adds `factor` times the effect of each candidate [N] to `effects`, where the records have
    /// these weights; returns what is the same for all subsets.
    double add_effects(const double* weights, double factor, std::vector<double>& effects) const;

  private:
    double mean_of(std::span<const std::int32_t> subset) const;

    std::vector<double> shares_;  ///< [N] of the records that hold each candidate
    std::vector<std::vector<std::int32_t>> members_;
    std::vector<double> of_records_;  ///< [R] sums of shares_
    at::Tensor kernel_;
    double square_ = 0.0, scale_ = 1.0;
};

}  // namespace thresher
