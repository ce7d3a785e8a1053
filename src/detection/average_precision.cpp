#include "src/detection/average_precision.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/detection/matching.hpp"
#include "src/detection/precision.hpp"

namespace thresher {

namespace {

constexpr std::size_t kSizes = 4, kThresholds = kCocoThresholds;
constexpr std::array<std::int32_t, 3> kMostOfImage{1, 10, kMostDetections};

/// What the rank that has all detections of a class says of it. Averages over recall, and the share
/// of objects that were found, by threshold; -1 where there is no object.
struct ClassNumbers {
    std::int64_t class_index = 0, detections = 0;
    std::array<std::array<double, kThresholds>, kSizes> precision{};  ///< by object size
    std::array<std::array<double, kThresholds>, kSizes> recall{};     ///< by object size
    std::array<std::array<double, kThresholds>, 2> recall_of_few{};   ///< 1 and 10 an image
};

/// Hits of one class and size range, for each threshold.
struct Hits {
    std::array<std::vector<std::int64_t>, kThresholds> counted;  ///< see precision.hpp
    std::vector<double> scores;                                  ///< at the lowest threshold
    std::array<std::array<std::int64_t, kThresholds>, 2> of_few{};

    Hits(std::span<const MatchedDetection> sorted, std::size_t size) {
        std::int64_t everywhere = 0;  // false alarms under all thresholds
        std::array<std::int64_t, kThresholds> extra{};
        for (const MatchedDetection& detection : sorted) {
            const unsigned hit = detection.hit[size], ignored = detection.ignored[size];
            if ((hit | ignored) == 0) {
                ++everywhere;
                continue;
            }
            if (hit == 0 && ignored == kAll) continue;
            for (std::size_t t = 0; t < kThresholds; ++t) {
                extra[t] += (ignored >> t & 1U) == 0;
                if ((hit >> t & 1U) != 0) add(t, everywhere + extra[t], detection);
            }
        }
    }

  private:
    static constexpr unsigned kAll = (1U << kThresholds) - 1;

    void add(std::size_t threshold, std::int64_t count, const MatchedDetection& detection) {
        counted[threshold].push_back(count);
        if (threshold == 0) scores.push_back(detection.score);
        for (std::size_t i = 0; i < of_few.size(); ++i) {
            of_few[i][threshold] += detection.position < kMostOfImage[i];
        }
    }
};

double average(DetectionRule rule, std::span<const std::int64_t> counted, std::int64_t objects) {
    switch (rule) {
        case DetectionRule::coco:
            return coco_average_precision(counted, objects);
        case DetectionRule::voc07:
            return voc07_average_precision(counted, objects);
        case DetectionRule::voc10:
            return voc10_average_precision(counted, objects);
    }
    fail("the rule of a detection metric is {}", static_cast<int>(rule));
}

/// The detections of one class, in order, become its numbers, and its curve where `curve` is given.
ClassNumbers numbers_of(std::int64_t class_index, std::span<const MatchedDetection> sorted,
                        std::span<const std::int64_t> objects, DetectionRule rule,
                        std::vector<PrecisionPoint>* curve) {
    ClassNumbers numbers;
    numbers.class_index = class_index;
    numbers.detections = std::ssize(sorted);
    for (auto& of_size : numbers.precision) of_size.fill(kNoObjects);
    for (auto& of_size : numbers.recall) of_size.fill(kNoObjects);
    for (auto& of_few : numbers.recall_of_few) of_few.fill(kNoObjects);
    const std::size_t sizes = rule == DetectionRule::coco ? kSizes : 1;
    const std::size_t thresholds = rule == DetectionRule::coco ? kThresholds : 1;
    for (std::size_t size = 0; size < sizes; ++size) {
        if (objects[size] == 0) continue;
        const Hits hits(sorted, size);
        const auto share = [&](std::int64_t found) {
            return static_cast<double>(found) / static_cast<double>(objects[size]);
        };
        for (std::size_t t = 0; t < thresholds; ++t) {
            numbers.precision[size][t] = average(rule, hits.counted[t], objects[size]);
            numbers.recall[size][t] = share(std::ssize(hits.counted[t]));
            if (size > 0) continue;
            for (std::size_t i = 0; i < hits.of_few.size(); ++i) {
                numbers.recall_of_few[i][t] = share(hits.of_few[i][t]);
            }
        }
        if (size > 0 || curve == nullptr) continue;
        for (std::size_t k = 0; k < hits.counted[0].size(); ++k) {
            const auto found = static_cast<std::int64_t>(k + 1);
            curve->push_back({class_index, share(found),
                              static_cast<double>(found) / static_cast<double>(hits.counted[0][k]),
                              hits.scores[k]});
        }
    }
    return numbers;
}

/// Detections by class, and where each class's begin.
struct ByClass {
    std::vector<MatchedDetection> detections;
    std::vector<std::size_t> begins;

    ByClass(std::vector<MatchedDetection> mixed, std::int64_t classes)
        : detections(mixed.size()), begins(static_cast<std::size_t>(classes) + 1, 0) {
        for (const auto& one : mixed) ++begins[static_cast<std::size_t>(one.class_index) + 1];
        std::partial_sum(begins.begin(), begins.end(), begins.begin());
        std::vector<std::size_t> next(begins.begin(), begins.end() - 1);
        for (const auto& one : mixed) {
            detections[next[static_cast<std::size_t>(one.class_index)]++] = one;
        }
    }

    std::span<MatchedDetection> of(std::size_t class_index) {
        return std::span(detections)
            .subspan(begins[class_index], begins[class_index + 1] - begins[class_index]);
    }
};

/// Class c of all ranks at rank c mod P.
std::vector<MatchedDetection> bring_together(std::vector<MatchedDetection> own,
                                             Collective& collective) {
    const auto ranks = static_cast<std::size_t>(collective.size());
    if (ranks == 1) return own;
    const auto owner = [&](const MatchedDetection& one) {
        return static_cast<std::size_t>(one.class_index) % ranks;
    };
    std::vector<std::int64_t> counts(ranks, 0);
    for (const auto& one : own) ++counts[owner(one)];
    std::vector<std::int64_t> next(ranks, 0);
    std::partial_sum(counts.begin(), counts.end() - 1, next.begin() + 1);
    std::vector<MatchedDetection> outgoing(own.size());
    for (const auto& one : own) outgoing[static_cast<std::size_t>(next[owner(one)]++)] = one;
    own = {};
    return collective
        .all_to_all_v(std::span<const MatchedDetection>(outgoing),
                      std::span<const std::int64_t>(counts))
        .values;
}

double mean(std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// The mean of value(numbers of a class) over the classes that have objects.
template <class Value>
double mean_over_classes(std::span<const ClassNumbers> classes, const Value& value) {
    double sum = 0.0;
    std::int64_t count = 0;
    for (const ClassNumbers& numbers : classes) {
        const double of_class = value(numbers);
        if (of_class == kNoObjects) continue;
        sum += of_class;
        ++count;
    }
    return count == 0 ? kNoObjects : sum / static_cast<double>(count);
}

std::array<double, 12> coco_numbers(std::span<const ClassNumbers> classes) {
    constexpr std::size_t kAt75 = 5;
    std::array<double, 12> numbers{};
    const auto over_classes = [&](std::size_t i, const auto& value) {
        numbers[i] = mean_over_classes(classes, value);
    };
    over_classes(1, [](const ClassNumbers& of) { return of.precision[0][0]; });
    over_classes(2, [](const ClassNumbers& of) { return of.precision[0][kAt75]; });
    over_classes(6, [](const ClassNumbers& of) { return mean(of.recall_of_few[0]); });
    over_classes(7, [](const ClassNumbers& of) { return mean(of.recall_of_few[1]); });
    for (std::size_t size = 0; size < kSizes; ++size) {
        const std::size_t ap = size == 0 ? 0 : 2 + size, ar = 8 + size;
        over_classes(ap, [&](const ClassNumbers& of) { return mean(of.precision[size]); });
        over_classes(ar, [&](const ClassNumbers& of) { return mean(of.recall[size]); });
    }
    return numbers;
}

ClassPrecision class_precision(const ClassNumbers& numbers, std::int64_t objects,
                               DetectionRule rule) {
    constexpr std::size_t kAt75 = 5;
    const auto& precision = numbers.precision[0];
    if (rule != DetectionRule::coco) {
        return {objects,      numbers.detections, precision[0],
                precision[0], kNoObjects,         numbers.recall[0][0]};
    }
    return {objects,      numbers.detections, mean(precision),
            precision[0], precision[kAt75],   mean(numbers.recall[0])};
}

DetectionMetric metric_of(std::span<const ClassNumbers> classes,
                          std::span<const std::int64_t> objects, DetectionRule rule) {
    DetectionMetric metric;
    for (std::size_t c = 0; c < classes.size(); ++c) {
        metric.classes.push_back(class_precision(classes[c], objects[c * kSizes], rule));
    }
    if (rule == DetectionRule::coco) {
        metric.coco = coco_numbers(classes);
        metric.mean_average_precision = metric.coco[0];
    } else {
        metric.coco.fill(kNoObjects);
        metric.mean_average_precision =
            mean_over_classes(classes, [](const ClassNumbers& of) { return of.precision[0][0]; });
    }
    return metric;
}

Matches match(const TruthBoxes& truth, const Detections& detections, std::int64_t classes,
              const DetectionMetricOptions& options) {
    if (options.rule == DetectionRule::coco) return match_coco(truth, detections, classes);
    return match_voc(truth, detections, classes, options.voc_threshold, options.voc_pixel);
}

}  // namespace

DetectionRule detection_rule(std::string_view name) {
    if (name == "coco") return DetectionRule::coco;
    if (name == "voc07") return DetectionRule::voc07;
    if (name == "voc10") return DetectionRule::voc10;
    fail<UsageError>("\"{}\" is no metric of detections; allowed: coco, voc07, voc10", name);
}

std::string_view detection_rule_name(DetectionRule rule) {
    switch (rule) {
        case DetectionRule::coco:
            return "coco";
        case DetectionRule::voc07:
            return "voc07";
        case DetectionRule::voc10:
            return "voc10";
    }
    return "";
}

DetectionMetric measure_detections(const TruthBoxes& truth, const Detections& detections,
                                   std::int64_t classes, const DetectionMetricOptions& options,
                                   Collective& collective) {
    Matches matches;
    agree(collective, [&] { matches = match(truth, detections, classes, options); });
    collective.all_reduce_sum(std::span(matches.objects));
    ByClass by_class(bring_together(std::move(matches.detections), collective), classes);

    const std::int64_t first = collective.rank(), ranks = collective.size();
    const std::int64_t owned = classes > first ? (classes - first + ranks - 1) / ranks : 0;
    std::vector<ClassNumbers> own(static_cast<std::size_t>(owned));
    std::vector<std::vector<PrecisionPoint>> own_curves(own.size());
    parallel_for(owned, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const auto c = static_cast<std::size_t>(first + i * ranks);
            const auto of_class = by_class.of(c);
            std::sort(of_class.begin(), of_class.end(),
                      [](const auto& a, const auto& b) { return a.before(b); });
            own[at] = numbers_of(static_cast<std::int64_t>(c), of_class,
                                 std::span(matches.objects).subspan(c * kSizes, kSizes),
                                 options.rule, options.curves ? &own_curves[at] : nullptr);
        }
    });

    const auto by_index = [](const auto& a, const auto& b) {
        return a.class_index < b.class_index;
    };
    auto all = collective.all_gather_v(std::span<const ClassNumbers>(own)).values;
    std::sort(all.begin(), all.end(), by_index);
    DetectionMetric metric = metric_of(all, matches.objects, options.rule);
    if (options.curves) {
        std::vector<PrecisionPoint> points;
        for (const auto& curve : own_curves)
            points.insert(points.end(), curve.begin(), curve.end());
        metric.curves = collective.all_gather_v(std::span<const PrecisionPoint>(points)).values;
        std::stable_sort(metric.curves.begin(), metric.curves.end(), by_index);
    }
    return metric;
}

}  // namespace thresher
