#include "src/environments/points/learner.hpp"

#include <algorithm>
#include <cmath>

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/environments/points/learner.cpp"
#include "src/acquisition/targets.hpp"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "src/environments/points/network-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

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
        return static_cast<float>(
            consistency_weight(options_.consistency, options_.ramp, step, options_.steps));
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
            V broken = hn::Zero(d);  // 0, or not a number where a logit is none or infinite
            for (std::size_t c = 0; c < classes; ++c) {
                const V other = hn::Load(d, row + c * kLanes);
                broken = hn::MulAdd(other, hn::Zero(d), broken);
                if (c < target) correct = hn::And(correct, hn::Gt(wanted, other));
                if (c > target) correct = hn::And(correct, hn::Ge(wanted, other));
            }
            hn::Store(hn::Add(hn::IfThenElseZero(correct, hn::Set(d, 1.0F)), broken), d, right);
            V largest = hn::Zero(d);
            const V sum = softmax_row(row, classes, largest);
            hn::Store(hn::Add(hn::Sub(wanted, largest), broken), d, shifted);
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

double forward_flops(const LearnerOptions& options, std::int64_t dimensions, std::int64_t classes) {
    return 2.0 * static_cast<double>(parameters(options, dimensions, classes));
}

double training_flops(const LearnerTask& task, std::int64_t picked) {
    const double forward = forward_flops(task.options, task.dimensions, task.classes);
    // Backward: as many for the weights, and the gradient of the hidden layer.
    const double both =
        2.0 * forward + 2.0 * static_cast<double>(task.options.hidden * task.classes);
    const auto unlabelled = static_cast<double>(task.candidates.rows);
    double step = both * static_cast<double>(task.labelled.rows + picked);
    if (task.options.supervision != Supervision::supervised) step += both * unlabelled;
    if (task.options.supervision == Supervision::mean_teacher) step += forward * unlabelled;
    return step * static_cast<double>(task.options.steps);
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
