#pragma once

// Which subsets a table is made of: uniform ones, ones whose make-up by classes is drawn first, so
// that the table knows lopsided batches too, and mutations of the best of both, so that it is dense
// where a search will go. Every record is a function of the seed, its number, what the candidates'
// labels are and, of a mutation, the records before it.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace thresher {

struct TablePlan {
    std::int64_t candidates = 0;  ///< N
    std::int64_t records = 500;
    std::int64_t least_size = 10, most_size = 10;  ///< of a subset, each as likely
    double stratified = 0.0;                       ///< share of the records drawn by class
    double near = 0.0;                             ///< share of the records that are mutations
    std::int64_t shard = 0, shards = 1;  ///< records whose number is `shard` modulo `shards`
    std::uint64_t seed = 0;

    /// Records are numbered in this order: uniform ones, stratified ones, mutations.
    std::int64_t uniform_records() const { return drawn_records() - stratified_records(); }
    std::int64_t stratified_records() const;
    std::int64_t drawn_records() const;  ///< all but the mutations; at least one
    /// Numbers of this shard, ascending.
    std::vector<std::int64_t> numbers() const;
};

/// Throws UsageError for a plan that cannot be. Local.
void check_plan(const TablePlan& plan);

/// The subset of uniform record `number`, [most_size], filled up with -1. Ascending. Local.
std::vector<std::int32_t> uniform_subset(const TablePlan& plan, std::int64_t number);

/// Subsets drawn by class: shares of the classes that are there, and of candidates without a label,
/// are drawn from all that sum to 1 (Dirichlet's distribution with parameters 1); then candidates
/// without replacement, with weights under which a first one would be of a class with just that
/// probability.
class Strata {
  public:
    /// `label_counts` [N, K] are how many labels of each class a candidate has. Throws Error where
    /// they are not those of the plan's candidates. Local.
    Strata(const TablePlan& plan, std::span<const float> label_counts);

    /// The subset of record `number`, [most_size], filled up with -1. Ascending. Local.
    std::vector<std::int32_t> subset(std::int64_t number) const;

  private:
    TablePlan plan_;
    std::size_t columns_;         ///< the classes, and none
    std::vector<double> parts_;   ///< [N, columns], what part of a candidate is of each
    std::vector<double> totals_;  ///< [columns], of all candidates
};

/// The subset of record `number`: one of the `good` subsets with up to half of it exchanged for
/// other candidates. [most_size], filled up with -1. Ascending. Local.
std::vector<std::int32_t> mutated_subset(const TablePlan& plan, std::int64_t number,
                                         std::span<const std::vector<std::int32_t>> good);

}  // namespace thresher
