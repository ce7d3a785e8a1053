#include "src/acquisition/joint/configurations.hpp"

#include <algorithm>
#include <cmath>

#ifndef THRESHER_WEIGHING
#define THRESHER_WEIGHING
namespace thresher {

/// What a gain is computed from: configurations and a row, both in T.
template <class T>
struct Weighing {
    const T* weights;
    const T* posteriors;
    std::size_t configurations;
    const T* values;
    const T* differences;
    std::size_t samples, classes;
    double mean_entropy;
};

}  // namespace thresher
#endif

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/acquisition/joint/configurations.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Half a block at most, so that two vectors cover it or a part of it.
template <class T>
using Lanes = hn::CappedTag<T, Configurations::kBlock / 2>;

/// entropy - q log q, where 0 log 0 is 0 and rounding may have left q a little below 0.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V add_entropy(D tag, V entropy, V q) {
    const auto log_q = hn::IfThenElseZero(hn::Gt(q, hn::Zero(tag)), hn::Log(tag, q));
    return hn::NegMulAdd(q, log_q, entropy);
}

/// H(p_s) of each sample, `values` [C, S]; the same operations on each lane as below.
void sample_entropies(const double* HWY_RESTRICT values, std::size_t samples, std::size_t classes,
                      double* HWY_RESTRICT entropies) {
    const Lanes<double> tag;
    const std::size_t lanes = hn::Lanes(tag);
    HWY_ALIGN double part[Configurations::kBlock] = {};
    for (std::size_t s = 0; s < samples; s += lanes) {
        const std::size_t count = std::min(lanes, samples - s);
        auto entropy = hn::Zero(tag);
        for (std::size_t c = 0; c < classes; ++c) {
            std::copy_n(values + c * samples + s, count, part);
            entropy = add_entropy(tag, entropy, hn::Load(tag, part));
        }
        hn::Store(entropy, tag, part);
        std::copy_n(part, count, entropies + s);
    }
}

/// sum over configurations of weight x (H(q) - mean_entropy), q_c = p_0c + sum_s w_s (p_sc - p_0c).
template <class T>
double information_gain(const Weighing<T>& weighing) {
    constexpr std::size_t kRun = 32;  // vectors added up before the sum goes on in double
    const Lanes<T> tag;
    const std::size_t lanes = hn::Lanes(tag);
    const std::size_t samples = weighing.samples, classes = weighing.classes;
    const T* HWY_RESTRICT weights = weighing.weights;
    const T* HWY_RESTRICT values = weighing.values;
    const T* HWY_RESTRICT differences = weighing.differences;
    const auto mean = hn::Set(tag, static_cast<T>(weighing.mean_entropy));
    double gain = 0.0;
    for (std::size_t begin = 0; begin < weighing.configurations; begin += 2 * lanes * kRun) {
        const std::size_t end = std::min(weighing.configurations, begin + 2 * lanes * kRun);
        auto gain_low = hn::Zero(tag), gain_high = hn::Zero(tag);
        for (std::size_t m = begin; m < end; m += 2 * lanes) {
            const T* HWY_RESTRICT w =
                weighing.posteriors +
                m / Configurations::kBlock * samples * Configurations::kBlock +
                m % Configurations::kBlock;
            auto low = hn::Zero(tag), high = hn::Zero(tag);  // entropies
            std::size_t c = 0;
            for (; c + 4 <= classes; c += 4) {
                const T* HWY_RESTRICT d0 = differences + c * samples;
                const T* HWY_RESTRICT d1 = d0 + samples;
                const T* HWY_RESTRICT d2 = d1 + samples;
                const T* HWY_RESTRICT d3 = d2 + samples;
                auto q00 = hn::Set(tag, values[c * samples]), q01 = q00;
                auto q10 = hn::Set(tag, values[(c + 1) * samples]), q11 = q10;
                auto q20 = hn::Set(tag, values[(c + 2) * samples]), q21 = q20;
                auto q30 = hn::Set(tag, values[(c + 3) * samples]), q31 = q30;
                for (std::size_t s = 1; s < samples; ++s) {
                    const auto w0 = hn::LoadU(tag, w + s * Configurations::kBlock);
                    const auto w1 = hn::LoadU(tag, w + s * Configurations::kBlock + lanes);
                    q00 = hn::MulAdd(w0, hn::Set(tag, d0[s]), q00);
                    q01 = hn::MulAdd(w1, hn::Set(tag, d0[s]), q01);
                    q10 = hn::MulAdd(w0, hn::Set(tag, d1[s]), q10);
                    q11 = hn::MulAdd(w1, hn::Set(tag, d1[s]), q11);
                    q20 = hn::MulAdd(w0, hn::Set(tag, d2[s]), q20);
                    q21 = hn::MulAdd(w1, hn::Set(tag, d2[s]), q21);
                    q30 = hn::MulAdd(w0, hn::Set(tag, d3[s]), q30);
                    q31 = hn::MulAdd(w1, hn::Set(tag, d3[s]), q31);
                }
                low = add_entropy(tag, add_entropy(tag, low, q00), q10);
                high = add_entropy(tag, add_entropy(tag, high, q01), q11);
                low = add_entropy(tag, add_entropy(tag, low, q20), q30);
                high = add_entropy(tag, add_entropy(tag, high, q21), q31);
            }
            for (; c < classes; ++c) {
                const T* HWY_RESTRICT d0 = differences + c * samples;
                auto q0 = hn::Set(tag, values[c * samples]), q1 = q0;
                for (std::size_t s = 1; s < samples; ++s) {
                    const auto difference = hn::Set(tag, d0[s]);
                    const T* HWY_RESTRICT at = w + s * Configurations::kBlock;
                    q0 = hn::MulAdd(hn::LoadU(tag, at), difference, q0);
                    q1 = hn::MulAdd(hn::LoadU(tag, at + lanes), difference, q1);
                }
                low = add_entropy(tag, low, q0);
                high = add_entropy(tag, high, q1);
            }
            gain_low = hn::MulAdd(hn::LoadU(tag, weights + m), hn::Sub(low, mean), gain_low);
            gain_high =
                hn::MulAdd(hn::LoadU(tag, weights + m + lanes), hn::Sub(high, mean), gain_high);
        }
        gain += static_cast<double>(hn::GetLane(hn::SumOfLanes(tag, hn::Add(gain_low, gain_high))));
    }
    return gain;
}

double exact_gain(const Weighing<double>& weighing) { return information_gain(weighing); }

double estimated_gain(const Weighing<float>& weighing) { return information_gain(weighing); }

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(sample_entropies);
HWY_EXPORT(exact_gain);
HWY_EXPORT(estimated_gain);

RowProbabilities::RowProbabilities(std::size_t samples, std::size_t classes)
    : samples_(samples),
      classes_(classes),
      exact_{std::vector<double>(samples * classes), std::vector<double>(samples * classes)},
      rounded_{std::vector<float>(samples * classes), std::vector<float>(samples * classes)} {}

void RowProbabilities::set(std::span<const float> log_probs) {
    for (std::size_t c = 0; c < classes_; ++c) {
        const std::size_t first = c * samples_;
        for (std::size_t s = 0; s < samples_; ++s) {
            const double value = std::exp(double{log_probs[s * classes_ + c]});
            exact_.values[first + s] = value;
            exact_.differences[first + s] = value - exact_.values[first];
            rounded_.values[first + s] = static_cast<float>(value);
            rounded_.differences[first + s] = static_cast<float>(exact_.differences[first + s]);
        }
    }
}

double RowProbabilities::mean_entropy() const {
    std::vector<double> entropies(samples_);
    HWY_DYNAMIC_DISPATCH(sample_entropies)
    (exact_.values.data(), samples_, classes_, entropies.data());
    double difference = 0.0;  // from sample 0, so that samples that agree give exactly its entropy
    for (const double entropy : entropies) difference += entropy - entropies[0];
    return entropies[0] + difference / static_cast<double>(samples_);
}

Configurations::Configurations(std::size_t samples, std::size_t classes, std::int64_t limit,
                               const KeyedRandom& random)
    : samples_(samples), classes_(classes), limit_(limit), random_(random) {
    // Before any pick there is one configuration, in which all samples are as plausible.
    append(1.0, std::vector<double>(samples, 1.0 / static_cast<double>(samples)));
}

void Configurations::clear() {
    size_ = 0;
    weights_.clear();
    posteriors_.clear();
    rounded_weights_.clear();
    rounded_posteriors_.clear();
}

void Configurations::append(double weight, std::span<const double> posterior) {
    if (size_ % kBlock == 0) {
        weights_.resize(size_ + kBlock, 0.0);
        posteriors_.resize((size_ + kBlock) * samples_, 0.0);
        rounded_weights_.resize(weights_.size(), 0.0F);
        rounded_posteriors_.resize(posteriors_.size(), 0.0F);
    }
    weights_[size_] = weight;
    rounded_weights_[size_] = static_cast<float>(weight);
    store(size_++, posterior);
}

void Configurations::store(std::size_t configuration, std::span<const double> posterior) {
    const std::size_t first = configuration / kBlock * samples_ * kBlock + configuration % kBlock;
    for (std::size_t s = 0; s < samples_; ++s) {
        posteriors_[first + s * kBlock] = posterior[s];
        rounded_posteriors_[first + s * kBlock] = static_cast<float>(posterior[s]);
    }
}

double Configurations::posterior(std::size_t configuration, std::size_t sample) const {
    return posteriors_[(configuration / kBlock * samples_ + sample) * kBlock +
                       configuration % kBlock];
}

void Configurations::add(const RowProbabilities& row) {
    if (!exact_) {
        sample_one_more(row, picks_++);
        return;
    }
    ++picks_;
    picked_.push_back(row);
    // A further row multiplies the configurations by C once more when it is scored.
    const auto classes = static_cast<std::int64_t>(classes_);
    if (static_cast<std::int64_t>(size()) <= limit_ / classes / classes) {
        add_exact(row);
    } else {
        exact_ = false;
        sample_all();
    }
}

void Configurations::add_exact(const RowProbabilities& row) {
    const Configurations before = *this;
    clear();
    std::vector<double> after(samples_);
    for (std::size_t m = 0; m < before.size(); ++m) {
        for (std::size_t c = 0; c < classes_; ++c) {
            double probability = 0.0;  // of c, given the configuration so far
            for (std::size_t s = 0; s < samples_; ++s) {
                probability += after[s] = before.posterior(m, s) * row(s, c);
            }
            const double weight = before.weights_[m] * probability;
            if (!(weight > 0.0)) continue;
            for (double& value : after) value /= probability;
            append(weight, after);
        }
    }
}

void Configurations::sample_all() {
    const std::size_t wanted = static_cast<std::size_t>(limit_) / classes_;
    const std::size_t drawn =
        std::max<std::size_t>(1, (wanted + samples_ - 1) / samples_) * samples_;
    clear();
    const std::vector<double> unknown(samples_, 0.0);
    while (size_ < drawn) append(1.0 / static_cast<double>(drawn), unknown);
    log_likelihoods_.assign(drawn * samples_, 0.0);
    for (std::size_t pick = 0; pick < picked_.size(); ++pick) sample_one_more(picked_[pick], pick);
    picked_ = {};
}

void Configurations::sample_one_more(const RowProbabilities& row, std::size_t pick) {
    std::vector<double> after(samples_);
    for (std::size_t m = 0; m < size(); ++m) {
        const std::size_t drawing = m % samples_;  // the sample whose labels these are
        double rest =
            random_.uniform(static_cast<std::int64_t>(m), static_cast<std::uint16_t>(pick));
        std::size_t label = 0;
        for (std::size_t c = 0; c < classes_; ++c) {
            if (row(drawing, c) <= 0.0) continue;
            label = c;
            rest -= row(drawing, c);
            if (rest < 0.0) break;
        }
        double* log_likelihood = log_likelihoods_.data() + m * samples_;
        for (std::size_t s = 0; s < samples_; ++s) log_likelihood[s] += std::log(row(s, label));
        const double largest = *std::max_element(log_likelihood, log_likelihood + samples_);
        double sum = 0.0;
        for (std::size_t s = 0; s < samples_; ++s) {
            sum += after[s] = std::exp(log_likelihood[s] - largest);
        }
        for (double& value : after) value /= sum;
        store(m, after);
    }
}

double Configurations::information_gain(const RowProbabilities& row, double mean_entropy) const {
    const Weighing<double> weighing{weights_.data(),
                                    posteriors_.data(),
                                    size(),
                                    row.exact().values.data(),
                                    row.exact().differences.data(),
                                    samples_,
                                    classes_,
                                    mean_entropy};
    return std::max(0.0, HWY_DYNAMIC_DISPATCH(exact_gain)(weighing));
}

double Configurations::estimated_gain(const RowProbabilities& row, double mean_entropy) const {
    const Weighing<float> weighing{rounded_weights_.data(),
                                   rounded_posteriors_.data(),
                                   size(),
                                   row.rounded().values.data(),
                                   row.rounded().differences.data(),
                                   samples_,
                                   classes_,
                                   mean_entropy};
    return std::max(0.0, HWY_DYNAMIC_DISPATCH(estimated_gain)(weighing));
}

double Configurations::estimate_error() const {
    // In units of 2^-24: each of the q_c is off by S roundings of what it sums, 2 in all over the
    // classes, and -q log q has a slope below 16 where q matters; the rest is below 64.
    return 0x1p-24 * (32.0 * static_cast<double>(samples_) +
                      64.0 * (1.0 + std::log(static_cast<double>(classes_))));
}

}  // namespace thresher
#endif
