#include "src/environments/learner.hpp"

#include <algorithm>
#include <cmath>

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/environments/learner.cpp"
#include "src/acquisition/targets.hpp"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "src/acquisition/lanes-inl.hpp"
#include "src/environments/products-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

using Buffer = hwy::AlignedFreeUniquePtr<float[]>;

Buffer make_buffer(std::size_t vectors) {
    const std::size_t count = std::max<std::size_t>(1, vectors) * kLanes;
    Buffer buffer = hwy::AllocateAligned<float>(count);
    std::fill(buffer.get(), buffer.get() + count, 0.0F);
    return buffer;
}

/// Probabilities of one row of `classes` vectors, from logits, in place; returns the sum of
/// exponentials that they were divided by and leaves the largest logit in `largest`.
HWY_INLINE V softmax_row(float* HWY_RESTRICT row, std::size_t classes, V& largest) {
    const D d;
    largest = hn::Load(d, row);
    for (std::size_t c = 1; c < classes; ++c)
        largest = hn::Max(largest, hn::Load(d, row + c * kLanes));
    V sum = hn::Zero(d);
    for (std::size_t c = 0; c < classes; c += 4) {
        const auto at = [&](std::size_t i) { return row + std::min(c + i, classes - 1) * kLanes; };
        const auto shifted = [&](std::size_t i) { return hn::Sub(hn::Load(d, at(i)), largest); };
        const Floats e =
            exp(clamp_below(Floats{shifted(0), shifted(1), shifted(2), shifted(3)}, kLowestFloat));
        const V values[4] = {e.v0, e.v1, e.v2, e.v3};
        for (std::size_t i = 0; i < 4 && c + i < classes; ++i) {
            hn::Store(values[i], d, at(i));
            sum = hn::Add(sum, values[i]);
        }
    }
    const V inverse = hn::Div(hn::Set(d, 1.0F), sum);
    for (std::size_t c = 0; c < classes; ++c) {
        hn::Store(hn::Mul(hn::Load(d, row + c * kLanes), inverse), d, row + c * kLanes);
    }
    return sum;
}

/// The network of a group: one or two layers, weights [in + 1, out] in vectors of a lane a subset.
class Group {
  public:
    explicit Group(const LearnerTask& task)
        : d1_(static_cast<std::size_t>(task.dimensions) + 1),
          hidden_(static_cast<std::size_t>(task.options.hidden)),
          classes_(static_cast<std::size_t>(task.classes)),
          count_(hidden_ == 0 ? d1_ * classes_ : d1_ * hidden_ + (hidden_ + 1) * classes_) {}

    std::size_t count() const { return count_; }
    std::size_t classes() const { return classes_; }
    std::size_t hidden_values() const { return hidden_ == 0 ? 0 : hidden_ + 1; }
    std::size_t inputs() const { return d1_; }

    /// Logits [rows, classes] and, with a hidden layer, its activations [rows, hidden + 1] of
    /// inputs that are the same in all lanes, or of each lane's own.
    template <bool kShared>
    void forward(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x, std::size_t rows,
                 float* HWY_RESTRICT hidden, float* HWY_RESTRICT logits) const {
        const std::size_t step = kShared ? 1 : kLanes;
        if (hidden_ == 0) {
            multiply<kShared>({x, d1_ * step, step}, {weights, classes_ * kLanes, kLanes},
                              {logits, classes_ * kLanes}, rows, classes_, d1_, false);
            return;
        }
        const std::size_t width = hidden_ + 1;
        multiply<kShared>({x, d1_ * step, step}, {weights, hidden_ * kLanes, kLanes},
                          {hidden, width * kLanes}, rows, hidden_, d1_, false);
        const D d;
        for (std::size_t i = 0; i < rows; ++i) {
            float* HWY_RESTRICT row = hidden + i * width * kLanes;
            for (std::size_t h = 0; h < hidden_; ++h) {
                hn::Store(hn::Max(hn::Load(d, row + h * kLanes), hn::Zero(d)), d, row + h * kLanes);
            }
            hn::Store(hn::Set(d, 1.0F), d, row + hidden_ * kLanes);
        }
        multiply<false>({hidden, width * kLanes, kLanes},
                        {weights + d1_ * hidden_ * kLanes, classes_ * kLanes, kLanes},
                        {logits, classes_ * kLanes}, rows, classes_, width, false);
    }

    /// Adds to `gradient` what the derivatives by the logits [rows, classes] make of it.
    template <bool kShared>
    void backward(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x, std::size_t rows,
                  const float* HWY_RESTRICT hidden, const float* HWY_RESTRICT residuals,
                  float* HWY_RESTRICT scratch, float* HWY_RESTRICT gradient) const {
        const std::size_t step = kShared ? 1 : kLanes;
        if (hidden_ == 0) {
            multiply<kShared>({x, step, d1_ * step}, {residuals, classes_ * kLanes, kLanes},
                              {gradient, classes_ * kLanes}, d1_, classes_, rows, true);
            return;
        }
        const std::size_t width = hidden_ + 1;
        const std::size_t second = d1_ * hidden_ * kLanes;
        multiply<false>({hidden, kLanes, width * kLanes}, {residuals, classes_ * kLanes, kLanes},
                        {gradient + second, classes_ * kLanes}, width, classes_, rows, true);
        multiply<false>({residuals, classes_ * kLanes, kLanes},
                        {weights + second, kLanes, classes_ * kLanes}, {scratch, hidden_ * kLanes},
                        rows, hidden_, classes_, false);
        const D d;
        for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t h = 0; h < hidden_; ++h) {
                float* HWY_RESTRICT at = scratch + (i * hidden_ + h) * kLanes;
                const auto active =
                    hn::Gt(hn::Load(d, hidden + (i * width + h) * kLanes), hn::Zero(d));
                hn::Store(hn::IfThenElseZero(active, hn::Load(d, at)), d, at);
            }
        }
        multiply<kShared>({x, step, d1_ * step}, {scratch, hidden_ * kLanes, kLanes},
                          {gradient, hidden_ * kLanes}, d1_, hidden_, rows, true);
    }

    /// Adds decay x weight to the gradient, except for the biases.
    void decay(const float* HWY_RESTRICT weights, float rate, float* HWY_RESTRICT gradient) const {
        const auto layer = [&](std::size_t first, std::size_t vectors) {
            const D d;
            const V factor = hn::Set(d, rate);
            for (std::size_t i = first; i < first + vectors; ++i) {
                float* HWY_RESTRICT at = gradient + i * kLanes;
                hn::Store(hn::MulAdd(factor, hn::Load(d, weights + i * kLanes), hn::Load(d, at)), d,
                          at);
            }
        };
        if (hidden_ == 0) return layer(0, (d1_ - 1) * classes_);
        layer(0, (d1_ - 1) * hidden_);
        layer(d1_ * hidden_, hidden_ * classes_);
    }

  private:
    std::size_t d1_, hidden_, classes_, count_;
};

/// Rows that are trained on: inputs, one-hot targets and weights by lane, and room for what the
/// network makes of them.
struct Rows {
    std::size_t rows = 0;
    const float* shared = nullptr;  ///< [rows, d + 1], or null where each lane has its own
    Buffer own;                     ///< [rows, d + 1]
    Buffer targets;                 ///< [rows, classes]
    Buffer weights;                 ///< [rows]
    Buffer hidden, logits, scratch;

    void make_room(const Group& group) {
        targets = make_buffer(rows * group.classes());
        weights = make_buffer(rows);
        hidden = make_buffer(rows * group.hidden_values());
        scratch = make_buffer(rows * group.hidden_values());
        logits = make_buffer(rows * group.classes());
    }
};

class Training {
  public:
    Training(const LearnerTask& task, const std::int32_t* subsets, std::size_t lanes,
             std::size_t size, float* weights)
        : task_(task),
          options_(task.options),
          group_(task),
          weights_(weights),
          gradient_(make_buffer(group_.count())),
          first_(make_buffer(group_.count())),
          second_(make_buffer(group_.count())) {
        for (std::size_t i = 0; i < group_.count(); ++i) {
            std::fill(weights_ + i * kLanes, weights_ + (i + 1) * kLanes, task.initial[i]);
        }
        take_rows(subsets, lanes, size);
    }

    void run() {
        for (std::int64_t step = 0; step < options_.steps; ++step) {
            std::fill(gradient_.get(), gradient_.get() + group_.count() * kLanes, 0.0F);
            learn<true>(labelled_);
            learn<false>(picked_);
            if (options_.supervision == Supervision::pseudo_label) learn_what_is_sure(step);
            if (options_.supervision == Supervision::mean_teacher) agree_with_teacher(step);
            group_.decay(weights_, static_cast<float>(options_.weight_decay), gradient_.get());
            update(step);
            if (teacher_) follow(step);
        }
        if (teacher_) std::copy(teacher_.get(), teacher_.get() + group_.count() * kLanes, weights_);
    }

  private:
    void take_rows(const std::int32_t* subsets, std::size_t lanes, std::size_t size) {
        const std::size_t d1 = group_.inputs(), classes = group_.classes();
        labelled_.rows = static_cast<std::size_t>(task_.labelled.rows);
        labelled_.shared = task_.labelled.values.data();
        picked_.rows = size;
        picked_.own = make_buffer(size * d1);
        for (Rows* rows : {&labelled_, &picked_}) rows->make_room(group_);
        const bool unlabelled = options_.supervision != Supervision::supervised;
        if (unlabelled) {
            others_.rows = static_cast<std::size_t>(task_.candidates.rows);
            others_.shared = task_.candidates.values.data();
            others_.make_room(group_);
        }
        if (options_.supervision == Supervision::mean_teacher) {
            teacher_ = make_buffer(group_.count());
            std::copy(weights_, weights_ + group_.count() * kLanes, teacher_.get());
            teacher_logits_ = make_buffer(others_.rows * classes);
        }
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            // Lanes without a subset repeat the last one.
            const std::int32_t* subset = subsets + std::min(lane, lanes - 1) * size;
            const auto count =
                size - static_cast<std::size_t>(std::count(subset, subset + size, -1));
            const float weight = 1.0F / static_cast<float>(labelled_.rows + count);
            for (std::size_t i = 0; i < labelled_.rows; ++i) {
                const auto target = static_cast<std::size_t>(task_.labelled.targets[i]);
                labelled_.targets[(i * classes + target) * kLanes + lane] = 1.0F;
                labelled_.weights[i * kLanes + lane] = weight;
            }
            if (unlabelled) {
                const float share = 1.0F / static_cast<float>(others_.rows);
                for (std::size_t i = 0; i < others_.rows; ++i)
                    others_.weights[i * kLanes + lane] = share;
            }
            for (std::size_t i = 0; i < size; ++i) {
                if (subset[i] < 0) continue;
                const auto row = static_cast<std::size_t>(subset[i]);
                for (std::size_t j = 0; j < d1; ++j) {
                    picked_.own[(i * d1 + j) * kLanes + lane] =
                        task_.candidates.values[row * d1 + j];
                }
                const auto target = static_cast<std::size_t>(task_.candidates.targets[row]);
                picked_.targets[(i * classes + target) * kLanes + lane] = 1.0F;
                picked_.weights[i * kLanes + lane] = weight;
                if (unlabelled) others_.weights[row * kLanes + lane] = 0.0F;
            }
        }
    }

    template <bool kShared>
    void learn(Rows& rows) {
        const D d;
        const float* const x = kShared ? rows.shared : rows.own.get();
        group_.forward<kShared>(weights_, x, rows.rows, rows.hidden.get(), rows.logits.get());
        const std::size_t classes = group_.classes();
        V largest = hn::Zero(d);
        for (std::size_t i = 0; i < rows.rows; ++i) {
            float* HWY_RESTRICT row = rows.logits.get() + i * classes * kLanes;
            softmax_row(row, classes, largest);
            const V weight = hn::Load(d, rows.weights.get() + i * kLanes);
            const float* HWY_RESTRICT target = rows.targets.get() + i * classes * kLanes;
            for (std::size_t c = 0; c < classes * kLanes; c += kLanes) {
                hn::Store(hn::Mul(weight, hn::Sub(hn::Load(d, row + c), hn::Load(d, target + c))),
                          d, row + c);
            }
        }
        group_.backward<kShared>(weights_, x, rows.rows, rows.hidden.get(), rows.logits.get(),
                                 rows.scratch.get(), gradient_.get());
    }

    /// w(t) of the candidates at a step.
    float consistency(std::int64_t step) const {
        const double over = options_.ramp * static_cast<double>(options_.steps);
        const double t = over <= 0.0 ? 1.0 : std::min(1.0, static_cast<double>(step) / over);
        return static_cast<float>(options_.consistency * std::exp(-5.0 * (1.0 - t) * (1.0 - t)));
    }

    void learn_what_is_sure(std::int64_t step) {
        const D d;
        const std::size_t classes = group_.classes();
        const V scale = hn::Set(d, consistency(step));
        const V threshold = hn::Set(d, static_cast<float>(options_.threshold));
        group_.forward<true>(weights_, others_.shared, others_.rows, others_.hidden.get(),
                             others_.logits.get());
        V largest = hn::Zero(d);
        for (std::size_t i = 0; i < others_.rows; ++i) {
            float* HWY_RESTRICT row = others_.logits.get() + i * classes * kLanes;
            softmax_row(row, classes, largest);
            V best = hn::Load(d, row);
            for (std::size_t c = 1; c < classes; ++c)
                best = hn::Max(best, hn::Load(d, row + c * kLanes));
            const V weight =
                hn::IfThenElseZero(hn::Ge(best, threshold),
                                   hn::Mul(scale, hn::Load(d, others_.weights.get() + i * kLanes)));
            for (std::size_t c = 0; c < classes * kLanes; c += kLanes) {
                const V p = hn::Load(d, row + c);
                const V target = hn::IfThenElseZero(hn::Eq(p, best), hn::Set(d, 1.0F));
                hn::Store(hn::Mul(weight, hn::Sub(p, target)), d, row + c);
            }
        }
        group_.backward<true>(weights_, others_.shared, others_.rows, others_.hidden.get(),
                              others_.logits.get(), others_.scratch.get(), gradient_.get());
    }

    /// The squared distance of the probabilities that learner and teacher give to a candidate under
    /// different noise: 2 p (e - <p, e>) by the logits, with e = p - q.
    void agree_with_teacher(std::int64_t step) {
        const D d;
        const std::size_t classes = group_.classes(), copies = task_.noisy.size();
        const auto turn = static_cast<std::size_t>(step);
        const float* const seen = task_.noisy[turn % copies].data();
        const float* const taught = task_.noisy[(turn + copies / 2) % copies].data();
        group_.forward<true>(teacher_.get(), taught, others_.rows, others_.hidden.get(),
                             teacher_logits_.get());
        group_.forward<true>(weights_, seen, others_.rows, others_.hidden.get(),
                             others_.logits.get());
        const V scale = hn::Set(d, 2.0F * consistency(step));
        V largest = hn::Zero(d);
        for (std::size_t i = 0; i < others_.rows; ++i) {
            float* HWY_RESTRICT p = others_.logits.get() + i * classes * kLanes;
            float* HWY_RESTRICT q = teacher_logits_.get() + i * classes * kLanes;
            softmax_row(p, classes, largest);
            softmax_row(q, classes, largest);
            V mean = hn::Zero(d);
            for (std::size_t c = 0; c < classes * kLanes; c += kLanes) {
                const V e = hn::Sub(hn::Load(d, p + c), hn::Load(d, q + c));
                mean = hn::MulAdd(hn::Load(d, p + c), e, mean);
            }
            const V weight = hn::Mul(scale, hn::Load(d, others_.weights.get() + i * kLanes));
            for (std::size_t c = 0; c < classes * kLanes; c += kLanes) {
                const V value = hn::Load(d, p + c);
                const V e = hn::Sub(value, hn::Load(d, q + c));
                hn::Store(hn::Mul(hn::Mul(weight, value), hn::Sub(e, mean)), d, p + c);
            }
        }
        group_.backward<true>(weights_, seen, others_.rows, others_.hidden.get(),
                              others_.logits.get(), others_.scratch.get(), gradient_.get());
    }

    /// Adam (Kingma and Ba 2015).
    void update(std::int64_t step) {
        const D d;
        constexpr double kFirst = 0.9, kSecond = 0.999;
        const double t = static_cast<double>(step) + 1.0;
        const double left = 1.0 - static_cast<double>(step) / static_cast<double>(options_.steps);
        const double rate = options_.learning_rate * left / (1.0 - std::pow(kFirst, t));
        const V a = hn::Set(d, static_cast<float>(rate));
        const V b = hn::Set(d, static_cast<float>(1.0 / (1.0 - std::pow(kSecond, t))));
        const V keep1 = hn::Set(d, static_cast<float>(kFirst));
        const V take1 = hn::Set(d, static_cast<float>(1.0 - kFirst));
        const V keep2 = hn::Set(d, static_cast<float>(kSecond));
        const V take2 = hn::Set(d, static_cast<float>(1.0 - kSecond));
        const V small = hn::Set(d, 1e-8F);
        for (std::size_t i = 0; i < group_.count() * kLanes; i += kLanes) {
            const V g = hn::Load(d, gradient_.get() + i);
            const V m = hn::MulAdd(keep1, hn::Load(d, first_.get() + i), hn::Mul(take1, g));
            const V v =
                hn::MulAdd(keep2, hn::Load(d, second_.get() + i), hn::Mul(take2, hn::Mul(g, g)));
            hn::Store(m, d, first_.get() + i);
            hn::Store(v, d, second_.get() + i);
            const V by = hn::Div(hn::Mul(a, m), hn::Add(hn::Sqrt(hn::Mul(b, v)), small));
            hn::Store(hn::Sub(hn::Load(d, weights_ + i), by), d, weights_ + i);
        }
    }

    void follow(std::int64_t step) {
        const D d;
        // As the mean of all weights so far until there are enough of them.
        const double decay =
            std::min(options_.teacher_decay, 1.0 - 1.0 / (static_cast<double>(step) + 1.0));
        const V take = hn::Set(d, static_cast<float>(1.0 - decay));
        for (std::size_t i = 0; i < group_.count() * kLanes; i += kLanes) {
            const V teacher = hn::Load(d, teacher_.get() + i);
            hn::Store(hn::MulAdd(take, hn::Sub(hn::Load(d, weights_ + i), teacher), teacher), d,
                      teacher_.get() + i);
        }
    }

    const LearnerTask& task_;
    const LearnerOptions& options_;
    Group group_;
    float* weights_;
    Buffer gradient_, first_, second_, teacher_, teacher_logits_;
    Rows labelled_, picked_, others_;
};

std::size_t lanes() { return kLanes; }

void train(const LearnerTask& task, const std::int32_t* subsets, std::size_t count,
           std::size_t size, float* weights) {
    const Group group(task);
    const Buffer aligned = make_buffer(group.count());
    Training(task, subsets, count, size, aligned.get()).run();
    std::copy(aligned.get(), aligned.get() + group.count() * kLanes, weights);
}

/// Calls body(first row, rows, logits) for the points in runs that stay in cache.
template <class Body>
void for_logits(const LearnerTask& task, const float* weights, const Inputs& points,
                const Body& body) {
    constexpr std::size_t kRun = 24;
    const Group group(task);
    const Buffer aligned = make_buffer(group.count());
    std::copy(weights, weights + group.count() * kLanes, aligned.get());
    const Buffer hidden = make_buffer(kRun * group.hidden_values());
    const Buffer logits = make_buffer(kRun * group.classes());
    const auto all = static_cast<std::size_t>(points.rows);
    for (std::size_t begin = 0; begin < all; begin += kRun) {
        const std::size_t rows = std::min(kRun, all - begin);
        group.forward<true>(aligned.get(), points.values.data() + begin * group.inputs(), rows,
                            hidden.get(), logits.get());
        body(begin, rows, logits.get());
    }
}

void judge(const LearnerTask& task, const float* weights, const Inputs& points, double* accuracy,
           double* log_likelihood) {
    const D d;
    const auto classes = static_cast<std::size_t>(task.classes);
    std::fill(accuracy, accuracy + kLanes, 0.0);
    std::fill(log_likelihood, log_likelihood + kLanes, 0.0);
    HWY_ALIGN float right[kLanes], shifted[kLanes], sums[kLanes];
    for_logits(task, weights, points, [&](std::size_t begin, std::size_t rows, float* logits) {
        for (std::size_t i = 0; i < rows; ++i) {
            float* HWY_RESTRICT row = logits + i * classes * kLanes;
            const auto target = static_cast<std::size_t>(points.targets[begin + i]);
            const V wanted = hn::Load(d, row + target * kLanes);
            // Correct: above every class before the target, and not below any behind it.
            auto correct = hn::Ge(wanted, wanted);
            for (std::size_t c = 0; c < classes; ++c) {
                const V other = hn::Load(d, row + c * kLanes);
                if (c < target) correct = hn::And(correct, hn::Gt(wanted, other));
                if (c > target) correct = hn::And(correct, hn::Ge(wanted, other));
            }
            hn::Store(hn::IfThenElseZero(correct, hn::Set(d, 1.0F)), d, right);
            V largest = hn::Zero(d);
            const V sum = softmax_row(row, classes, largest);
            hn::Store(hn::Sub(wanted, largest), d, shifted);
            hn::Store(sum, d, sums);
            for (std::size_t lane = 0; lane < kLanes; ++lane) {
                accuracy[lane] += double{right[lane]};
                log_likelihood[lane] += double{shifted[lane]} - std::log(double{sums[lane]});
            }
        }
    });
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
        accuracy[lane] /= static_cast<double>(points.rows);
        log_likelihood[lane] /= static_cast<double>(points.rows);
    }
}

void predict(const LearnerTask& task, const float* weights, std::size_t lane, const Inputs& points,
             float* log_probs) {
    const auto classes = static_cast<std::size_t>(task.classes);
    for_logits(task, weights, points, [&](std::size_t begin, std::size_t rows, float* logits) {
        for (std::size_t i = 0; i < rows; ++i) {
            const float* HWY_RESTRICT row = logits + i * classes * kLanes + lane;
            double largest = double{row[0]}, sum = 0.0;
            for (std::size_t c = 1; c < classes; ++c) {
                largest = std::max(largest, double{row[c * kLanes]});
            }
            for (std::size_t c = 0; c < classes; ++c)
                sum += std::exp(double{row[c * kLanes]} - largest);
            for (std::size_t c = 0; c < classes; ++c) {
                log_probs[(begin + i) * classes + c] =
                    static_cast<float>(double{row[c * kLanes]} - largest - std::log(sum));
            }
        }
    });
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(lanes);
HWY_EXPORT(train);
HWY_EXPORT(judge);
HWY_EXPORT(predict);

std::int64_t parameters(const LearnerOptions& options, std::int64_t dimensions,
                        std::int64_t classes) {
    const std::int64_t hidden = options.hidden;
    return hidden == 0 ? (dimensions + 1) * classes
                       : (dimensions + 1) * hidden + (hidden + 1) * classes;
}

std::int64_t learner_lanes() { return static_cast<std::int64_t>(HWY_DYNAMIC_DISPATCH(lanes)()); }

void train_group(const LearnerTask& task, std::span<const std::int32_t> subsets, std::int64_t size,
                 std::span<float> weights) {
    const auto width = static_cast<std::size_t>(size);
    // No subset at all: the labelled set alone.
    const std::size_t count = width == 0 ? 1 : subsets.size() / width;
    HWY_DYNAMIC_DISPATCH(train)(task, subsets.data(), count, width, weights.data());
}

void judge_group(const LearnerTask& task, std::span<const float> weights, const Inputs& points,
                 std::span<double> accuracy, std::span<double> log_likelihood) {
    HWY_DYNAMIC_DISPATCH(judge)
    (task, weights.data(), points, accuracy.data(), log_likelihood.data());
}

void predict_lane(const LearnerTask& task, std::span<const float> weights, std::int64_t lane,
                  const Inputs& points, std::span<float> log_probs) {
    HWY_DYNAMIC_DISPATCH(predict)
    (task, weights.data(), static_cast<std::size_t>(lane), points, log_probs.data());
}

}  // namespace thresher
#endif
