#pragma once

// The labels that the picked rows may have together. Samples (members, dropout passes) predict
// labels independently of each other given the sample, so a configuration y_1..y_b of b labels says
// which samples are plausible, w_s = p(sample s | y_1..y_b), and that is all a further row needs.

#include <cstdint>
#include <span>
#include <vector>

#include "src/random/philox.hpp"

namespace thresher {

/// The probabilities of one row, [S, C], ready to be weighed: those of sample 0, and what the
/// others differ from them, so that samples that agree give exactly what one of them gives. In
/// double, and rounded to float for estimates.
class RowProbabilities {
  public:
    RowProbabilities(std::size_t samples, std::size_t classes);

    /// Takes the row's log-probabilities [S, C]. Local.
    void set(std::span<const float> log_probs);

    /// mean over s of H(p_s), in nats.
    double mean_entropy() const;

    double operator()(std::size_t sample, std::size_t c) const {
        return exact_.values[c * samples_ + sample];
    }
    std::size_t samples() const { return samples_; }
    std::size_t classes() const { return classes_; }

    template <class T>
    struct Arrays {
        std::vector<T> values;       ///< [C, S]
        std::vector<T> differences;  ///< [C, S], p_s - p_0
    };
    const Arrays<double>& exact() const { return exact_; }
    const Arrays<float>& rounded() const { return rounded_; }

  private:
    std::size_t samples_, classes_;
    Arrays<double> exact_;
    Arrays<float> rounded_;
};

class Configurations {
  public:
    /// All configurations of positive probability are kept while one more row's labels make no more
    /// than `limit` of them; from then on limit / C drawn ones (rounded up to a multiple of S, so
    /// that each sample draws as many), of which one more row's labels make as many again.
    Configurations(std::size_t samples, std::size_t classes, std::int64_t limit,
                   const KeyedRandom& random);

    bool exact() const { return exact_; }
    std::size_t size() const { return size_; }

    /// One more picked row. Local; ranks that add the same rows hold the same configurations.
    void add(const RowProbabilities& row);

    /// I(y; sample | y_1..y_b) = sum over configurations of their probability x (H(y | y_1..y_b) -
    /// mean over s of H(p_s)), never below 0, exact while exact(). This is what the row adds to the
    /// BatchBALD score I(y_1..y_b; sample). `mean_entropy` is row.mean_entropy(). Local.
    double information_gain(const RowProbabilities& row, double mean_entropy) const;

    /// The same in float, several times as fast, and off by estimate_error() at most. Local.
    double estimated_gain(const RowProbabilities& row, double mean_entropy) const;
    double estimate_error() const;

    static constexpr std::size_t kBlock = 32;  ///< configurations that are stored side by side

  private:
    void add_exact(const RowProbabilities& row);
    void sample_all();
    void sample_one_more(const RowProbabilities& row, std::size_t pick);
    void clear();
    void append(double weight, std::span<const double> posterior);
    void store(std::size_t configuration, std::span<const double> posterior);
    double posterior(std::size_t configuration, std::size_t sample) const;

    std::size_t samples_, classes_;
    std::int64_t limit_;
    KeyedRandom random_;
    bool exact_ = true;
    std::size_t picks_ = 0;
    std::vector<RowProbabilities> picked_;  ///< while exact
    std::size_t size_ = 0;  ///< M; what follows has room for whole blocks, of weight 0 beyond M
    std::vector<double> weights_;     ///< [M], probability of each configuration
    std::vector<double> posteriors_;  ///< [M / kBlock, S, kBlock], p(s | configuration)
    std::vector<float> rounded_weights_, rounded_posteriors_;  ///< the same, rounded
    std::vector<double> log_likelihoods_;                      ///< [M, S] of sampled configurations
};

}  // namespace thresher
