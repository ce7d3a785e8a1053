#include "src/training/loss/detection_loss.hpp"

#include <ATen/TensorIterator.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/smooth_l1_loss.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/detection/anchor_matching.hpp"
#include "src/detection/box_code.hpp"
#include "src/models/anchors.hpp"
#include "src/models/tensors.hpp"
#include "src/selection/ordered_key.hpp"

namespace thresher {

namespace {

constexpr double kAlpha = 0.25;         ///< of the focal loss, whose gamma is 2
constexpr std::int64_t kNegatives = 3;  ///< of an ssd, for each anchor that is for an object

/// What the anchors of n images are for.
struct Targets {
    std::vector<std::int32_t> matches;  ///< [n, A]
    std::vector<std::int64_t> counts;   ///< [n], anchors that are for an object
    std::vector<std::int64_t> found;    ///< these anchors, of [n A]
    std::vector<std::int64_t> classes;  ///< [found]
    std::vector<float> codes;           ///< [found, 4]
};

template <class Value>
at::Tensor tensor_of(const std::vector<Value>& values, at::IntArrayRef sizes,
                     const at::Tensor& like) {
    const auto type = c10::CppTypeToScalarType<Value>::value;
    const at::Tensor host =
        at::from_blob(const_cast<Value*>(values.data()), sizes, at::TensorOptions(type));
    return host.to(like.device(), type == at::kFloat ? like.scalar_type() : type, false, true);
}

/// Sums of the rows of [n, A]. In blocks, for the additions of a single long row would be dealt out
/// to threads: so a sum depends neither on their number nor on the other rows.
at::Tensor row_sums(const at::Tensor& values) {
    constexpr std::int64_t kBlock = 256;
    const std::int64_t rows = values.size(0), blocks = (values.size(1) + kBlock - 1) / kBlock;
    return at::constant_pad_nd(values, {0, blocks * kBlock - values.size(1)}, 0.0)
        .view({rows, blocks, kBlock})
        .sum(2)
        .sum(1);
}

/// softplus(x) sigmoid(x)^2 of each number. At the ends of a thread's part LibTorch rounds it in
/// another way than within, where it computes vectors: so, on the host, whole vectors of pieces
/// that it gives to one thread.
at::Tensor focal(const at::Tensor& numbers) {
    constexpr std::int64_t kVectors = 64, kPiece = 16384;
    static_assert(kPiece < at::internal::GRAIN_SIZE && kPiece % kVectors == 0);
    const auto of_each = [](const at::Tensor& some) {
        return at::softplus(some) * some.sigmoid().square();
    };
    if (!numbers.is_cpu()) return of_each(numbers);
    const std::int64_t count = numbers.numel();
    const std::int64_t padding = (kVectors - count % kVectors) % kVectors;
    auto pieces = at::constant_pad_nd(numbers.flatten(), {0, padding}, 0.0).split(kPiece);
    for (at::Tensor& piece : pieces) piece = of_each(piece);
    return at::cat(pieces).narrow(0, 0, count).view_as(numbers);
}

/// Appends the `count` anchors of the largest losses [A], equal ones by place, of those that are
/// background.
void add_hardest(std::span<const float> losses, std::span<const std::int32_t> matches,
                 std::int64_t count, std::vector<std::int64_t>& hardest) {
    std::vector<std::uint64_t> keys;
    keys.reserve(losses.size());
    for (std::size_t i = 0; i < losses.size(); ++i) {
        if (matches[i] == kBackground) {
            keys.push_back(std::uint64_t{~ordered_key(losses[i])} << 32 | i);
        }
    }
    const auto end = keys.begin() + std::min(count, std::ssize(keys));
    if (end != keys.end()) std::nth_element(keys.begin(), end, keys.end());
    std::for_each(keys.begin(), end, [&](std::uint64_t key) {
        hardest.push_back(static_cast<std::int64_t>(key & 0xffffffffU));
    });
}

}  // namespace

struct DetectionLoss::Body {
    bool is_ssd;
    std::int64_t classes;
    std::vector<float> anchors;

    std::int64_t anchor_count() const { return std::ssize(anchors) / 4; }
    std::int64_t columns() const { return classes + (is_ssd ? 1 : 0); }

    void check(const ModelOutputs& outputs, std::span<const LabelledBox> boxes) const;
    Targets find_targets(std::span<const LabelledBox> boxes, std::int64_t images) const;
    at::Tensor ssd_losses(const at::Tensor& logits, const Targets& targets) const;
    at::Tensor focal_losses(const at::Tensor& logits, const Targets& targets) const;
    at::Tensor box_losses(const at::Tensor& codes, const Targets& targets) const;
    double hits(const at::Tensor& logits, const Targets& targets) const;
};

DetectionLoss::DetectionLoss(const ModelSpec& spec) : DetectionLoss(spec, anchor_boxes(spec)) {}

DetectionLoss::DetectionLoss(const ModelSpec& spec, std::vector<float> anchors)
    : body_(new Body{spec.name == "ssd", spec.classes, std::move(anchors)}) {
    THRESHER_CHECK(spec.detector && (spec.name == "ssd" || spec.name == "retinanet"),
                   "{} is no detector that can be trained here; allowed: ssd, retinanet",
                   spec.name);
}

DetectionLoss::~DetectionLoss() = default;

at::Tensor DetectionLoss::operator()(const ModelOutputs& outputs,
                                     std::span<const LabelledBox> boxes, double* hits) const {
    body_->check(outputs, boxes);
    const at::Tensor& logits = outputs.logits;
    const std::int64_t images = logits.size(0);
    const Targets targets = body_->find_targets(boxes, images);
    if (hits != nullptr) *hits = body_->hits(logits, targets);
    const auto of_head = [&](const at::Tensor& head) {
        return body_->is_ssd ? body_->ssd_losses(head, targets)
                             : body_->focal_losses(head, targets);
    };
    const at::Tensor& heads = outputs.head_logits;
    const at::Tensor of_classes =
        heads.defined() ? (of_head(heads[0]) + of_head(heads[1])) / 2 : of_head(logits);
    std::vector<float> divisors;
    for (const std::int64_t count : targets.counts) {
        divisors.push_back(static_cast<float>(std::max<std::int64_t>(count, 1)));
    }
    return row_sums(of_classes + body_->box_losses(outputs.boxes, targets)) /
           tensor_of(divisors, {images}, logits);
}

void DetectionLoss::Body::check(const ModelOutputs& outputs,
                                std::span<const LabelledBox> boxes) const {
    const auto sizes = outputs.logits.sizes(), codes = outputs.boxes.sizes();
    THRESHER_CHECK(sizes.size() == 3 && sizes[1] == anchor_count() && sizes[2] == columns() &&
                       codes == at::IntArrayRef({sizes[0], sizes[1], 4}),
                   "a detector's logits are [{}] and its codes [{}]; allowed: [n, {}, {}] and "
                   "[n, {}, 4]",
                   fmt::join(sizes, ", "), fmt::join(codes, ", "), anchor_count(), columns(),
                   anchor_count());
    const at::Tensor& heads = outputs.head_logits;
    THRESHER_CHECK(
        !heads.defined() || heads.sizes() == at::IntArrayRef({2, sizes[0], sizes[1], sizes[2]}),
        "the outputs of two class heads are [{}]; allowed: [2, {}]", fmt::join(heads.sizes(), ", "),
        fmt::join(sizes, ", "));
    THRESHER_CHECK(sizes[0] > 0 ? std::ssize(boxes) % sizes[0] == 0 : boxes.empty(),
                   "{} boxes are no table of those of {} images", boxes.size(), sizes[0]);
    for (const LabelledBox& box : boxes) {
        THRESHER_CHECK(box.class_index < classes,
                       "a box [{}, {}, {}, {}] is of class {}; allowed: 0 to {}", box.x0, box.y0,
                       box.x1, box.y1, box.class_index, classes - 1);
    }
}

Targets DetectionLoss::Body::find_targets(std::span<const LabelledBox> boxes,
                                          std::int64_t images) const {
    const auto count = static_cast<std::size_t>(anchor_count());
    const std::size_t most = images == 0 ? 0 : boxes.size() / static_cast<std::size_t>(images);
    Targets targets;
    targets.matches.resize(static_cast<std::size_t>(images) * count);
    targets.counts.assign(static_cast<std::size_t>(images), 0);
    parallel_for(images, 1, [&](std::int64_t begin, std::int64_t end) {
        for (auto image = static_cast<std::size_t>(begin); std::cmp_less(image, end); ++image) {
            match_anchors(anchors, boxes.subspan(image * most, most),
                          is_ssd ? kSsdRule : kRetinanetRule,
                          std::span(targets.matches).subspan(image * count, count));
        }
    });
    for (std::size_t i = 0; i < targets.matches.size(); ++i) {
        if (targets.matches[i] < 0) continue;
        const std::size_t image = i / count;
        const LabelledBox& box = boxes[image * most + static_cast<std::size_t>(targets.matches[i])];
        const std::array<float, 4> corners{box.x0, box.y0, box.x1, box.y1};
        const std::span<const float, 4> anchor(anchors.data() + 4 * (i - image * count), 4);
        std::array<float, 4> code{};
        encode_box(anchor, corners, is_ssd ? kSsdCode : kRetinanetCode, code);
        ++targets.counts[image];
        targets.found.push_back(static_cast<std::int64_t>(i));
        targets.classes.push_back(box.class_index);
        targets.codes.insert(targets.codes.end(), code.begin(), code.end());
    }
    return targets;
}

/// Cross-entropy [n, A] of the anchors that count, 0 of the others.
at::Tensor DetectionLoss::Body::ssd_losses(const at::Tensor& logits, const Targets& targets) const {
    const std::int64_t images = logits.size(0);
    const auto count = static_cast<std::size_t>(anchor_count());
    const at::Tensor log_probabilities = at::log_softmax(logits, 2);
    const at::Tensor background = log_probabilities.detach()
                                      .select(2, classes)
                                      .neg()
                                      .to(at::TensorOptions(at::kCPU).dtype(at::kFloat))
                                      .contiguous();
    const std::span<const float> losses(background.const_data_ptr<float>(), targets.matches.size());
    std::vector<std::int64_t> wanted(targets.matches.size(), classes);
    std::vector<float> counts(targets.matches.size(), 0.0F);
    for (std::size_t i = 0; i < targets.found.size(); ++i) {
        const auto anchor = static_cast<std::size_t>(targets.found[i]);
        wanted[anchor] = targets.classes[i];
        counts[anchor] = 1.0F;
    }
    parallel_for(images, 1, [&](std::int64_t begin, std::int64_t end) {
        for (auto image = static_cast<std::size_t>(begin); std::cmp_less(image, end); ++image) {
            std::vector<std::int64_t> hardest;
            add_hardest(losses.subspan(image * count, count),
                        std::span(targets.matches).subspan(image * count, count),
                        std::max<std::int64_t>(kNegatives * targets.counts[image], 1), hardest);
            for (const std::int64_t anchor : hardest) {
                counts[image * count + static_cast<std::size_t>(anchor)] = 1.0F;
            }
        }
    });
    const at::Tensor of_wanted =
        log_probabilities.gather(2, tensor_of(wanted, {images, anchor_count(), 1}, logits));
    return of_wanted.squeeze(2).mul(tensor_of(counts, {images, anchor_count()}, logits)).neg();
}

/// Focal loss [n, A], sums over classes. A class that is there costs alpha (1 - p)^2 (-log p), one
/// that is not (1 - alpha) p^2 (-log(1 - p)): the same of the logit with the other sign.
at::Tensor DetectionLoss::Body::focal_losses(const at::Tensor& logits,
                                             const Targets& targets) const {
    std::vector<std::int64_t> neither, there;
    for (std::size_t i = 0; i < targets.matches.size(); ++i) {
        if (targets.matches[i] == kNeither) neither.push_back(static_cast<std::int64_t>(i));
    }
    for (std::size_t i = 0; i < targets.found.size(); ++i) {
        there.push_back(targets.found[i] * classes + targets.classes[i]);
    }
    const at::Tensor places = tensor_of(there, {std::ssize(there)}, logits);
    at::Tensor sign = at::ones_like(logits, at::MemoryFormat::Contiguous);
    sign.view(-1).index_fill_(0, places, -1.0);
    at::Tensor weight =
        at::full_like(logits, 1.0 - kAlpha, {}, {}, {}, {}, at::MemoryFormat::Contiguous);
    weight.view(-1).index_fill_(0, places, kAlpha);
    weight.view({-1, classes})
        .index_fill_(0, tensor_of(neither, {std::ssize(neither)}, logits), 0.0);
    return (focal(logits * sign) * weight).sum(2);
}

/// The distance of codes [n, A]; 0 of anchors that are for no object.
at::Tensor DetectionLoss::Body::box_losses(const at::Tensor& codes, const Targets& targets) const {
    const std::int64_t found = std::ssize(targets.found);
    const at::Tensor places = tensor_of(targets.found, {found}, codes);
    const at::Tensor own = codes.reshape({-1, 4}).index_select(0, places);
    const at::Tensor wanted = tensor_of(targets.codes, {found, 4}, codes);
    const at::Tensor distances =
        is_ssd ? at::smooth_l1_loss(own, wanted, at::Reduction::None) : (own - wanted).abs();
    return at::zeros({codes.size(0) * codes.size(1)}, codes.options())
        .index_copy(0, places, distances.sum(1))
        .view({codes.size(0), codes.size(1)});
}

double DetectionLoss::Body::hits(const at::Tensor& logits, const Targets& targets) const {
    std::vector<std::int64_t> right(targets.counts.size(), 0);
    const at::Tensor best =
        logits.detach()
            .reshape({-1, columns()})
            .index_select(0, tensor_of(targets.found, {std::ssize(targets.found)}, logits))
            .argmax(1)
            .cpu();
    const std::int64_t* const classes_found = best.const_data_ptr<std::int64_t>();
    for (std::size_t i = 0; i < targets.found.size(); ++i) {
        right[static_cast<std::size_t>(targets.found[i] / anchor_count())] +=
            classes_found[i] == targets.classes[i];
    }
    double sum = 0.0;
    for (std::size_t image = 0; image < right.size(); ++image) {
        const auto count = static_cast<double>(targets.counts[image]);
        sum += count == 0.0 ? 1.0 : static_cast<double>(right[image]) / count;
    }
    return sum;
}

}  // namespace thresher
