#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "src/base/check.hpp"
#include "src/policy/lookup_table/estimator.hpp"
#include "src/policy/lookup_table/gaussian_process.hpp"
#include "src/policy/lookup_table/pair_kernels.hpp"

namespace thresher {

namespace {

/// Records on which hyper-parameters are judged; the process is fitted to all.
constexpr std::int64_t kJudged = 400;

struct Hyper {
    double length = 1.0;  ///< of item features, in median distances
    double width = 1.0;   ///< of set statistics, in deviations of all together
    double share = 0.8;   ///< of the candidates, the statistics having the rest
    double own = 0.2;     ///< of the candidates' share, what each has to itself
    double noise = 0.1;
};

constexpr double kLengths[] = {0.25, 0.5, 1.0, 2.0}, kWidths[] = {0.5, 1.0, 2.0, 4.0},
                 kShares[] = {0.05, 0.2, 0.5, 0.8, 0.95}, kOwns[] = {0.0, 0.2, 0.5, 0.8, 1.0},
                 kNoises[] = {0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0};

at::Tensor matrix(std::int64_t rows, std::int64_t columns) {
    return at::zeros({rows, columns}, at::TensorOptions(at::kDouble));
}

class Kernel final : public SubsetEstimator {
  public:
    Kernel(const FitRecords& records, const Items& items, std::span<const double> chosen)
        : items_(items), landmarks_(items_) {
        const c10::NoGradGuard no_grad;
        for (std::int64_t i = 0; i < records.subsets.size(); ++i) {
            members_.push_back(records.subsets.members(i));
        }
        take_statistics();
        hyper_ = chosen.empty() ? choose(records) : hyper_of(chosen);
        pairs_ = PairMap(items_, landmarks_, hyper_.length);
        fit(records);
    }

    void estimate(std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> values, std::span<double> deviations) const override {
        const c10::NoGradGuard no_grad;
        const std::int64_t r = std::ssize(members_);
        const double* const alpha = process_.alpha().const_data_ptr<double>();
        std::vector<double> like(static_cast<std::size_t>(r));
        for (std::size_t q = 0; q < values.size(); ++q) {
            const auto subset =
                subsets.subspan(q * static_cast<std::size_t>(size), static_cast<std::size_t>(size));
            double linear = base_;
            for (const std::int32_t item : subset)
                linear += effects_[static_cast<std::size_t>(item)];
            const SetStatistics own = standardised(landmarks_.statistics(subset));
            double sum = 0.0;
            for (std::size_t i = 0; i < static_cast<std::size_t>(r); ++i) {
                like[i] = (1.0 - hyper_.share) * likeness(own, statistics_[i]);
                sum += alpha[i] * like[i];
            }
            values[q] = linear + sum;
            if (!deviations.empty()) deviations[q] = deviation(subset, like);
        }
    }

    std::string summary() const override {
        return fmt::format(
            "{} records, {} landmarks, length {:g} of the median distance, width {:g}, share of "
            "candidates {:g}, of that to themselves {:g}, noise {:g}",
            members_.size(), landmarks_.count(), hyper_.length, hyper_.width, hyper_.share,
            hyper_.own, hyper_.noise);
    }

    std::vector<double> chosen() const override {
        return {hyper_.length, hyper_.width, hyper_.share, hyper_.own, hyper_.noise};
    }

  private:
    static Hyper hyper_of(std::span<const double> chosen) {
        THRESHER_CHECK(chosen.size() == 5, "a kernel has 5 hyper-parameters, not {}",
                       chosen.size());
        return {chosen[0], chosen[1], chosen[2], chosen[3], chosen[4]};
    }

    /// Given the statistics' part of the kernel with all records [R].
    double deviation(std::span<const std::int32_t> subset, const std::vector<double>& like) const {
        at::Tensor mapped = -centre_;
        pairs_.add(subset, mapped.mutable_data_ptr<double>());
        at::Tensor row = at::mv(mapped_, mapped) * pair_factor();
        double* const entries = row.mutable_data_ptr<double>();
        for (std::size_t i = 0; i < like.size(); ++i) entries[i] += like[i];
        const std::vector<double> shared = shared_.row(subset);
        for (std::size_t i = 0; i < like.size(); ++i) entries[i] += own_factor() * shared[i];
        const double self = pair_factor() * mapped.dot(mapped).item<double>() +
                            own_factor() * shared.back() + 1.0 - hyper_.share;
        return process_.deviation(row, self);
    }

    void take_statistics() {
        for (const auto& subset : members_) statistics_.push_back(landmarks_.statistics(subset));
        const double n = static_cast<double>(statistics_.size());
        for (std::size_t s = 0; s < kSetStatistics.size(); ++s) {
            double sum = 0.0, squares = 0.0;
            for (const SetStatistics& own : statistics_) sum += own[s] / n;
            for (const SetStatistics& own : statistics_) {
                squares += (own[s] - sum) * (own[s] - sum) / n;
            }
            means_[s] = sum;
            // One that hardly varies says nothing.
            deviations_[s] = squares > 1e-12 * (1.0 + sum * sum) ? std::sqrt(squares) : INFINITY;
        }
        for (SetStatistics& own : statistics_) own = standardised(own);
    }

    SetStatistics standardised(SetStatistics own) const {
        for (std::size_t s = 0; s < own.size(); ++s) own[s] = (own[s] - means_[s]) / deviations_[s];
        return own;
    }

    double likeness(const SetStatistics& a, const SetStatistics& b) const {
        return likeness(a, b, hyper_.width);
    }
    static double likeness(const SetStatistics& a, const SetStatistics& b, double width) {
        double square = 0.0;
        for (std::size_t s = 0; s < a.size(); ++s) square += (a[s] - b[s]) * (a[s] - b[s]);
        return std::exp(-0.5 * square / (width * width * static_cast<double>(a.size())));
    }

    at::Tensor likenesses(std::span<const std::size_t> rows, double width) const {
        const auto n = std::ssize(rows);
        at::Tensor kernel = matrix(n, n);
        double* const data = kernel.mutable_data_ptr<double>();
        for (std::int64_t i = 0; i < n; ++i) {
            for (std::int64_t j = 0; j <= i; ++j) {
                data[i * n + j] = data[j * n + i] =
                    likeness(statistics_[rows[static_cast<std::size_t>(i)]],
                             statistics_[rows[static_cast<std::size_t>(j)]], width);
            }
        }
        return kernel;
    }

    /// What records are mapped to, less the mean [landmarks], which is put into `centre`.
    at::Tensor map(const PairMap& pairs, std::span<const std::size_t> rows,
                   at::Tensor& centre) const {
        at::Tensor mapped = matrix(std::ssize(rows), landmarks_.count());
        double* to = mapped.mutable_data_ptr<double>();
        for (const std::size_t row : rows) {
            pairs.add(members_[row], to);
            to += landmarks_.count();
        }
        centre = mapped.mean(0).contiguous();
        return mapped.sub_(centre);
    }

    double pair_factor() const { return hyper_.share * (1.0 - hyper_.own) / pair_scale_; }
    double own_factor() const { return hyper_.share * hyper_.own; }

    static double mean_diagonal(const at::Tensor& kernel) {
        const double mean = kernel.diagonal().mean().item<double>();
        return mean > 0.0 ? mean : 1.0;
    }

    /// One hyper-parameter after the other, twice, by the likelihood of records left out.
    Hyper choose(const FitRecords& records) const {
        const auto r = std::ssize(members_), count = std::min(r, kJudged);
        std::vector<std::size_t> rows;
        std::vector<double> values;
        for (std::int64_t i = 0; i < count; ++i) {
            rows.push_back(static_cast<std::size_t>(i * r / count));
            values.push_back(records.values[rows.back()]);
        }
        const auto of_pairs = [&](double length) {
            at::Tensor centre;
            const at::Tensor mapped = map(PairMap(items_, landmarks_, length), rows, centre);
            const at::Tensor kernel = at::mm(mapped, mapped.t());
            return kernel / mean_diagonal(kernel);
        };
        const SharedItems shared(records.subsets, rows);
        Hyper best;
        double most = -INFINITY;
        at::Tensor pairs = of_pairs(best.length), sets = likenesses(rows, best.width);
        const auto try_out = [&](const Hyper& hyper, const at::Tensor& own_pairs,
                                 const at::Tensor& own_sets) {
            const at::Tensor kernel = hyper.share * (1.0 - hyper.own) * own_pairs +
                                      hyper.share * hyper.own * shared.kernel() +
                                      (1.0 - hyper.share) * own_sets;
            const GaussianProcess process(kernel, values, hyper.noise);
            const double found = process.leave_one_out().log_likelihood;
            if (found <= most) return;
            most = found;
            best = hyper;
            pairs = own_pairs;
            sets = own_sets;
        };
        for (int sweep = 0; sweep < 2; ++sweep) {
            for (const double noise : kNoises) {
                Hyper next = best;
                next.noise = noise;
                try_out(next, pairs, sets);
            }
            for (const double share : kShares) {
                Hyper next = best;
                next.share = share;
                try_out(next, pairs, sets);
            }
            for (const double own : kOwns) {
                Hyper next = best;
                next.own = own;
                try_out(next, pairs, sets);
            }
            for (const double length : kLengths) {
                Hyper next = best;
                next.length = length;
                try_out(next, of_pairs(length), sets);
            }
            for (const double width : kWidths) {
                Hyper next = best;
                next.width = width;
                try_out(next, pairs, likenesses(rows, width));
            }
        }
        return best;
    }

    void fit(const FitRecords& records) {
        std::vector<std::size_t> rows(members_.size());
        for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i;
        mapped_ = map(pairs_, rows, centre_);
        const at::Tensor kernel = at::mm(mapped_, mapped_.t());
        pair_scale_ = mean_diagonal(kernel);
        shared_ = SharedItems(records.subsets, rows);
        process_ = GaussianProcess(pair_factor() * kernel + own_factor() * shared_.kernel() +
                                       (1.0 - hyper_.share) * likenesses(rows, hyper_.width),
                                   records.values, hyper_.noise);
        // The candidates' part adds up over the items of a subset.
        const at::Tensor direction = at::mv(mapped_.t(), process_.alpha()) * pair_factor();
        const at::Tensor effects = at::mv(pairs_.items(), direction).contiguous();
        effects_.assign(effects.const_data_ptr<double>(),
                        effects.const_data_ptr<double>() + items_.rows);
        base_ =
            process_.base() - centre_.dot(direction).item<double>() +
            shared_.add_effects(process_.alpha().const_data_ptr<double>(), own_factor(), effects_);
    }

    Items items_;
    Landmarks landmarks_;
    std::vector<std::vector<std::int32_t>> members_;  ///< [R]
    std::vector<SetStatistics> statistics_;           ///< [R], standardised
    SetStatistics means_{}, deviations_{};
    Hyper hyper_;
    PairMap pairs_;
    SharedItems shared_;
    at::Tensor mapped_, centre_;  ///< [R, landmarks] and [landmarks]
    double pair_scale_ = 1.0, base_ = 0.0;
    std::vector<double> effects_;  ///< [N]
    GaussianProcess process_;
};

}  // namespace

std::unique_ptr<SubsetEstimator> fit_kernel(const FitRecords& records, const Items& items,
                                            const EstimatorOptions& options) {
    return std::make_unique<Kernel>(records, items, options.chosen);
}

}  // namespace thresher
