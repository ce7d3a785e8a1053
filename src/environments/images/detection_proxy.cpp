#include "src/environments/images/detection_proxy.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/smooth_l1_loss.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/base/check.hpp"
#include "src/detection/average_precision.hpp"
#include "src/detection/detected_images.hpp"
#include "src/detection/presence.hpp"
#include "src/environments/images/detection_learner.hpp"
#include "src/random/permutation.hpp"
#include "src/training/evaluation/evaluate_detector.hpp"
#include "src/training/loss/detection_loss.hpp"
#include "src/training/optimizer.hpp"

namespace thresher {
namespace {

/// Draws of Stream::proxy: an order for each epoch of each repeat, and mirrorings.
constexpr std::uint32_t kEpochs = 1U << 16U, kMirrors = 1U << 30U;

void check_options(const DetectionProxyOptions& options) {
    const auto check = [](bool fine, std::string_view what, double value,
                          std::string_view allowed) {
        THRESHER_CHECK_AS(UsageError, fine, "the proxy's {} is {}; allowed: {}", what, value,
                          allowed);
    };
    const auto count = [&](std::string_view what, std::int64_t value) {
        check(value >= 1, what, static_cast<double>(value), "1 and more");
    };
    count("number of steps", options.steps);
    count("batch size", options.batch_size);
    count("number of trainings", options.repeats);
    check(options.learning_rate > 0.0, "learning rate", options.learning_rate, "above 0");
    check(options.weight_decay >= 0.0, "weight decay", options.weight_decay, "0 and more");
    check(options.consistency >= 0.0, "consistency", options.consistency, "0 and more");
    for (const auto& [what, share] : {std::pair{"ramp", options.ramp},
                                      {"threshold", options.threshold},
                                      {"teacher decay", options.teacher_decay}}) {
        check(share >= 0.0 && share <= 1.0, what, share, "0 to 1");
    }
}

bool is_finite(const ModelOutputs& outputs) {
    const auto all_of = [](const at::Tensor& values) {
        return at::isfinite(values).all().item<bool>();
    };
    return all_of(outputs.logits) && all_of(outputs.boxes);
}

}  // namespace

struct DetectionProxy::Body {
    DetectionProxyOptions options;
    ModelSpec spec;
    std::string name;
    std::int64_t labelled, candidates;
    ImageSet known;  ///< labelled set, then candidates, then both mirrored
    ImageSet reward, test;
    std::vector<std::int64_t> mirror;  ///< mirrored_anchors()
    std::unique_ptr<Model> start;
    DetectionLoss loss;
    Detect detect;
    double forward_flops = 0.0;  ///< of one image

    Body(const Model& detector, std::string detector_name, const DetectionParts& parts,
         const DetectionProxyOptions& chosen)
        : options(chosen),
          spec(detector.spec()),
          name(std::move(detector_name)),
          labelled(parts.labelled.info.rows),
          candidates(parts.candidates.info.rows),
          mirror(mirrored_anchors(spec)),
          start(detector.clone()),
          loss(spec),
          detect(spec, detect_options(spec)) {
        const ImageReader reader(detector, options.full);
        known = reader.read(parts.labelled, false);
        known.append(reader.read(parts.candidates, false));
        known.append(reader.read(parts.labelled, true));
        known.append(reader.read(parts.candidates, true));
        reward = reader.read(parts.reward, false);
        test = reader.read(parts.test, false);
        const auto learner = new_learner(0);
        run(*learner, known, {0}, [](const ModelOutputs&, const auto&) {});
        forward_flops = learner->flops();
    }

    std::int64_t images() const { return labelled + candidates; }

    std::vector<std::int64_t> training_rows(std::span<const std::int32_t> subset) const {
        std::vector<std::int64_t> rows(static_cast<std::size_t>(labelled));
        std::iota(rows.begin(), rows.end(), std::int64_t{0});
        for (const std::int32_t candidate : subset) {
            if (candidate >= 0) rows.push_back(labelled + candidate);
        }
        std::sort(rows.begin(), rows.end());
        return rows;
    }

    /// The `count` rows of step `step` in an order of its own for each epoch, each mirrored or not.
    std::vector<std::int64_t> batch_of(const std::vector<std::int64_t>& rows, std::int64_t step,
                                       std::uint32_t stream) const {
        const std::int64_t n = std::ssize(rows);
        const KeyedRandom mirrors(options.seed, Stream::proxy, kMirrors + stream);
        std::vector<std::int64_t> batch;
        for (std::int64_t i = step * options.batch_size; i < (step + 1) * options.batch_size; ++i) {
            const KeyedPermutation order(n, options.seed, Stream::proxy,
                                         stream * kEpochs + static_cast<std::uint32_t>(i / n));
            const std::int64_t row = rows[static_cast<std::size_t>(order(i % n))];
            batch.push_back(row + ((mirrors.bits(i) & 1U) != 0 ? images() : 0));
        }
        return batch;
    }

    at::Tensor supervised_loss(DetectionLearner& learner,
                               const std::vector<std::int64_t>& batch) const {
        const ModelOutputs outputs =
            learner.forward(rows_of(known.features, tensor_of(batch)), true);
        return loss(outputs, known.boxes_of(batch)).mean();
    }

    at::Tensor probabilities(const at::Tensor& logits) const {
        return spec.name == "ssd" ? at::softmax(logits, 2) : at::sigmoid(logits);
    }

    /// How far the learner is from what `teacher` says of the mirrored images of `batch`, over the
    /// anchors for which that finds an object.
    at::Tensor consistency_loss(DetectionLearner& learner, DetectionLearner& teacher,
                                const std::vector<std::int64_t>& batch) const {
        std::vector<std::int64_t> others;
        for (const std::int64_t row : batch) others.push_back((row + images()) % (2 * images()));
        ModelOutputs taught;
        {
            const c10::NoGradGuard no_grad;
            taught = teacher.forward(rows_of(known.features, tensor_of(others)), false);
            const at::Tensor places = tensor_of(mirror);
            taught.logits = at::index_select(taught.logits, 1, places);
            taught.boxes = at::index_select(taught.boxes, 1, places);
            taught.boxes.select(2, 0).neg_();
        }
        return difference(learner.forward(rows_of(known.features, tensor_of(batch)), true), taught,
                          false);
    }

    /// The same of what the learner itself says now, made sure.
    at::Tensor pseudo_label_loss(DetectionLearner& learner,
                                 const std::vector<std::int64_t>& batch) const {
        const ModelOutputs outputs =
            learner.forward(rows_of(known.features, tensor_of(batch)), true);
        return difference(outputs, {outputs.logits.detach(), {}, outputs.boxes.detach()}, true);
    }

    /// Squared distance of probabilities and, of what is not sure, smooth L1 distance of codes,
    /// summed over the anchors that are told to find an object, a mean over these.
    at::Tensor difference(const ModelOutputs& outputs, const ModelOutputs& taught,
                          bool made_sure) const {
        at::Tensor wanted = probabilities(taught.logits);
        const auto [best, best_class] = wanted.narrow(2, 0, spec.classes).max(2);
        const at::Tensor mask = best.ge(options.threshold).to(at::kFloat);
        const double found = std::max(1.0, mask.sum().item<double>());
        if (made_sure) {
            wanted = at::zeros_like(wanted).scatter_(2, best_class.unsqueeze(2), 1.0);
        }
        at::Tensor sum = probabilities(outputs.logits).sub(wanted).square().sum(2).mul(mask).sum();
        if (!made_sure) {
            sum = sum + at::smooth_l1_loss(outputs.boxes, taught.boxes, at::Reduction::None)
                            .sum(2)
                            .mul(mask)
                            .sum();
        }
        return sum.div(found);
    }

    std::unique_ptr<DetectionLearner> new_learner(std::int64_t repeat) const {
        return std::make_unique<DetectionLearner>(
            spec, options.seed + static_cast<std::uint64_t>(repeat), options.full,
            options.warm ? start.get() : nullptr);
    }

    std::unique_ptr<DetectionLearner> train(std::span<const std::int32_t> subset,
                                            std::int64_t repeat) const {
        const c10::AutoGradMode gradients_on(true);
        const std::vector<std::int64_t> rows = training_rows(subset);
        std::vector<std::int64_t> others;
        for (std::int64_t row = 0; row < images(); ++row) {
            if (!std::binary_search(rows.begin(), rows.end(), row)) others.push_back(row);
        }
        const bool semi = options.supervision != Supervision::supervised &&
                          options.consistency > 0.0 && !others.empty();
        auto learner = new_learner(repeat);
        std::unique_ptr<DetectionLearner> teacher;
        if (semi && options.supervision == Supervision::mean_teacher) teacher = new_learner(repeat);
        FlatTensors& parameters = learner->parameters();
        const at::Tensor gradient = at::zeros_like(parameters.values());
        TrainOptions adam;
        adam.optimizer = OptimizerKind::adamw;
        adam.weight_decay = options.weight_decay;
        Optimizer optimizer(adam, parameters.values(), parameters.matrices());
        parameters.bind_gradients(gradient);
        const auto stream = static_cast<std::uint32_t>(2 * repeat);
        for (std::int64_t step = 0; step < options.steps; ++step) {
            {
                const c10::NoGradGuard no_grad;
                gradient.zero_();
            }
            at::Tensor total = supervised_loss(*learner, batch_of(rows, step, stream));
            if (semi) {
                const std::vector<std::int64_t> batch = batch_of(others, step, stream + 1);
                total = total + (teacher ? consistency_loss(*learner, *teacher, batch)
                                         : pseudo_label_loss(*learner, batch))
                                    .mul(consistency_weight(options.consistency, options.ramp, step,
                                                            options.steps));
            }
            total.backward();
            const double left =
                1.0 - static_cast<double>(step) / static_cast<double>(options.steps);
            const c10::NoGradGuard no_grad;
            optimizer.update(parameters.values(), gradient, options.learning_rate * left, step);
            if (teacher) teacher->approach(*learner, 1.0 - options.teacher_decay);
        }
        parameters.bind_gradients(at::Tensor());
        return learner;
    }

    const ImageSet& part(Part which) const {
        return which == Part::reward ? reward : which == Part::test ? test : known;
    }
    /// Rows of part(which).
    std::vector<std::int64_t> rows_in(Part which) const {
        const std::int64_t first = which == Part::candidates ? labelled : 0;
        const std::int64_t count = which == Part::labelled     ? labelled
                                   : which == Part::candidates ? candidates
                                                               : part(which).rows;
        std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
        std::iota(rows.begin(), rows.end(), first);
        return rows;
    }

    /// Calls visit(outputs, rows) for micro-batches of the rows.
    template <class Visit>
    void run(DetectionLearner& learner, const ImageSet& images,
             const std::vector<std::int64_t>& rows, const Visit& visit) const {
        const c10::NoGradGuard no_grad;
        for (std::size_t begin = 0; begin < rows.size(); begin += kProxyMicroBatch) {
            const std::vector<std::int64_t> some(
                rows.begin() + static_cast<std::ptrdiff_t>(begin),
                rows.begin() +
                    static_cast<std::ptrdiff_t>(std::min(begin + kProxyMicroBatch, rows.size())));
            visit(learner.forward(rows_of(images.features, tensor_of(some)), false), some);
        }
    }

    ProxyMetrics judge(DetectionLearner& learner, Part judged_on) const {
        const ImageSet& images = part(judged_on);
        const std::vector<std::int64_t> rows = rows_in(judged_on);
        DetectedImages seen;
        double losses = 0.0;
        bool finite = true;
        run(learner, images, rows, [&](const ModelOutputs& outputs, const auto& some) {
            finite = finite && is_finite(outputs);
            const std::vector<LabelledBox> boxes = images.boxes_of(some);
            losses += loss(outputs, boxes).sum().template item<double>();
            const std::vector<ImageDetections> found = detect(outputs);
            for (std::size_t i = 0; i < some.size(); ++i) {
                const auto most = static_cast<std::size_t>(images.most_boxes);
                seen.add(some[i], std::span(boxes).subspan(i * most, most), found[i]);
            }
        });
        // A learner that diverged finds nothing, which would be worth 0.
        if (!finite || !std::isfinite(losses)) return {std::nan(""), std::nan("")};
        const auto local = make_local_collective();
        const DetectionMetric metric = measure_detections(seen.truth(), seen.detections(),
                                                          spec.classes, pool_metric(), *local);
        return {metric.mean_average_precision, -losses / static_cast<double>(rows.size())};
    }
};

DetectionProxy::DetectionProxy(const Model& detector, const std::string& name,
                               const DetectionParts& parts, const DetectionProxyOptions& options) {
    check_options(options);
    THRESHER_CHECK(detector.spec().detector.has_value(),
                   "the proxy of images with boxes needs a detector built here, but {} is none",
                   detector.spec().name);
    THRESHER_CHECK(detector.device() == "cpu",
                   "a proxy is trained on the CPU, but its detector is on {}", detector.device());
    for (const auto& [what, pool] : {std::pair{"labelled set", &parts.labelled},
                                     {"candidates", &parts.candidates},
                                     {"reward images", &parts.reward},
                                     {"test images", &parts.test}}) {
        THRESHER_CHECK(pool->info.has_boxes, "the {} of an environment have no boxes", what);
        THRESHER_CHECK(pool->info.rows > 0 || pool == &parts.test,
                       "an environment without {} teaches nothing; it needs 1 or more", what);
    }
    body_ = std::make_unique<Body>(detector, name, parts, options);
}

DetectionProxy::~DetectionProxy() = default;

std::int64_t DetectionProxy::candidates() const { return body_->candidates; }
std::int64_t DetectionProxy::repeats() const { return body_->options.repeats; }

const std::array<std::string_view, kProxyMetrics>& DetectionProxy::metric_names() const {
    static constexpr std::array<std::string_view, kProxyMetrics> kNames{"average-precision",
                                                                        "negative-loss"};
    return kNames;
}

void DetectionProxy::retrain(std::span<const std::int32_t> subsets, std::int64_t size,
                             std::int64_t count, Part judged_on, std::span<double> metrics) const {
    THRESHER_CHECK(!body_->rows_in(judged_on).empty(),
                   "the environment has no test images to judge on");
    double* to = metrics.data();
    for (std::int64_t q = 0; q < count; ++q) {
        const auto subset =
            subsets.subspan(static_cast<std::size_t>(q * size), static_cast<std::size_t>(size));
        for (std::int64_t repeat = 0; repeat < repeats(); ++repeat) {
            const auto learner = body_->train(subset, repeat);
            to = std::ranges::copy(body_->judge(*learner, judged_on), to).out;
        }
    }
}

std::vector<float> DetectionProxy::log_probs(std::span<const std::int32_t> subset, Part part,
                                             std::span<const std::int32_t> rows) const {
    if (!subset.empty()) check_subsets(subset, std::ssize(subset));
    std::vector<std::int64_t> wanted = body_->rows_in(part);
    if (!rows.empty()) {
        std::vector<std::int64_t> some;
        for (const std::int32_t row : rows) {
            THRESHER_CHECK(row >= 0 && std::cmp_less(row, wanted.size()),
                           "row {} was to be predicted, of {}", row, wanted.size());
            some.push_back(wanted[static_cast<std::size_t>(row)]);
        }
        wanted = std::move(some);
    }
    const std::int64_t classes = body_->spec.classes;
    const auto width = static_cast<std::size_t>(classes + 1);
    std::vector<float> own(width);
    std::vector<double> sums(wanted.size() * width, 0.0);
    for (std::int64_t repeat = 0; repeat < repeats(); ++repeat) {
        const auto learner = body_->train(subset, repeat);
        auto sum = sums.begin();
        body_->run(*learner, body_->part(part), wanted,
                   [&](const ModelOutputs& outputs, const auto&) {
                       const bool finite = is_finite(outputs);
                       for (const ImageDetections& found : body_->detect(outputs)) {
                           presence(found, classes, own);
                           if (!finite) std::fill(own.begin(), own.end(), std::nanf(""));
                           for (const float value : own) *sum++ += std::exp(double{value});
                       }
                   });
    }
    std::vector<float> log_probs;
    for (const double sum : sums) {
        log_probs.push_back(static_cast<float>(std::log(sum / static_cast<double>(repeats()))));
    }
    return log_probs;
}

double DetectionProxy::flops(std::int64_t, Part judged_on) const {
    const DetectionProxyOptions& options = body_->options;
    const double forward = body_->forward_flops;
    const bool semi = options.supervision != Supervision::supervised && options.consistency > 0.0;
    const double step = static_cast<double>(options.batch_size) * forward *
                        (semi ? options.supervision == Supervision::mean_teacher ? 7.0 : 6.0 : 3.0);
    return static_cast<double>(options.repeats) *
           (static_cast<double>(options.steps) * step +
            forward * static_cast<double>(body_->rows_in(judged_on).size()));
}

std::string DetectionProxy::describe() const {
    const DetectionProxyOptions& options = body_->options;
    std::string text = fmt::format(
        "{}, {} of {} ({}), {} steps of {}, learning rate {}, weight decay {}, {} trainings, seed "
        "{}",
        supervision_name(options.supervision), options.full ? "all" : "heads", body_->spec.name,
        body_->name, options.steps, options.batch_size, options.learning_rate, options.weight_decay,
        options.repeats, options.seed);
    if (options.warm) text += ", warm";
    if (options.supervision != Supervision::supervised) {
        text += fmt::format(", consistency {}, ramp {}, threshold {}", options.consistency,
                            options.ramp, options.threshold);
    }
    if (options.supervision == Supervision::mean_teacher) {
        text += fmt::format(", teacher decay {}", options.teacher_decay);
    }
    return text;
}

}  // namespace thresher
