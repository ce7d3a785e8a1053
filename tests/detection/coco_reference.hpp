#pragma once

// COCO's metric once more, one threshold, size range and detection at a time, as the text of
// pycocotools' evaluateImg and accumulate says it: slow, plain, and written from that text alone.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "src/detection/overlap.hpp"
#include "tests/detection/scenes.hpp"

namespace thresher::test {

class CocoReference {
  public:
    explicit CocoReference(const Scene& scene, int classes) : scene_(scene), classes_(classes) {}

    /// The twelve numbers.
    std::array<double, 12> numbers() const {
        return {mean_precision(0, -1), mean_precision(0, 0),  mean_precision(0, 5),
                mean_precision(1, -1), mean_precision(2, -1), mean_precision(3, -1),
                mean_recall(0, 1),     mean_recall(0, 10),    mean_recall(0, 100),
                mean_recall(1, 100),   mean_recall(2, 100),   mean_recall(3, 100)};
    }

  private:
    enum class Fate { hit, miss, ignored };
    struct Row {
        double score;
        Fate fate;
    };

    static double threshold(int t) { return t == 9 ? 0.95 : t * ((0.95 - 0.5) / 9) + 0.5; }
    static bool in_range(double area, int size) {
        const double low[] = {0, 0, 1024, 9216}, high[] = {1e10, 1024, 9216, 1e10};
        return area >= low[size] && area <= high[size];
    }

    /// evaluateImg
    std::vector<Row> evaluate(std::size_t image, int of, int size, int t, std::size_t most,
                              int& objects) const {
        struct Truth {
            const Box* box;
            bool crowd, ignore, taken;
        };
        std::vector<Truth> truth;
        for (auto i = scene_.offsets[image]; i < scene_.offsets[image + 1]; ++i) {
            const auto at = static_cast<std::size_t>(i);
            if (scene_.truth_classes[at] != of) continue;
            truth.push_back({&scene_.truth_boxes[at], (scene_.flags[at] & kCrowd) != 0,
                             scene_.flags[at] != 0 || !in_range(scene_.areas[at], size), false});
        }
        std::stable_sort(truth.begin(), truth.end(),
                         [](const Truth& a, const Truth& b) { return a.ignore < b.ignore; });
        for (const Truth& one : truth) objects += !one.ignore;
        std::vector<std::size_t> found;
        for (std::size_t i = 0; i < scene_.images.size(); ++i) {
            if (static_cast<std::size_t>(scene_.images[i]) == image && scene_.classes[i] == of) {
                found.push_back(i);
            }
        }
        std::stable_sort(found.begin(), found.end(), [&](std::size_t a, std::size_t b) {
            return scene_.scores[a] > scene_.scores[b];
        });
        if (found.size() > 100) found.resize(100);
        std::vector<Row> rows;
        for (const std::size_t d : found) {
            double best = std::min(threshold(t), 1 - 1e-10);
            int match = -1;
            for (int g = 0; g < static_cast<int>(truth.size()); ++g) {
                const Truth& one = truth[static_cast<std::size_t>(g)];
                if (one.taken && !one.crowd) continue;
                if (match > -1 && !truth[static_cast<std::size_t>(match)].ignore && one.ignore)
                    break;
                const double overlap = coco_overlap(scene_.boxes[d], *one.box, one.crowd);
                if (overlap < best) continue;
                best = overlap;
                match = g;
            }
            Fate fate = in_range(scene_.boxes[d].area, size) ? Fate::miss : Fate::ignored;
            if (match > -1) {
                Truth& one = truth[static_cast<std::size_t>(match)];
                one.taken = true;
                fate = one.ignore ? Fate::ignored : Fate::hit;
            }
            rows.push_back({scene_.scores[d], fate});
        }
        if (rows.size() > most) rows.resize(most);
        return rows;
    }

    /// accumulate: precision at 101 recalls, and recall; objects are 0 where there is none.
    struct Curve {
        std::array<double, 101> precision{};
        double recall = 0.0;
        int objects = 0;
    };
    Curve accumulate(int of, int size, int t, std::size_t most) const {
        std::vector<std::size_t> images(scene_.image_ids.size());
        std::iota(images.begin(), images.end(), std::size_t{0});
        std::sort(images.begin(), images.end(), [&](std::size_t a, std::size_t b) {
            return scene_.image_ids[a] < scene_.image_ids[b];
        });
        Curve curve;
        std::vector<Row> rows;
        for (const std::size_t image : images) {
            const auto more = evaluate(image, of, size, t, most, curve.objects);
            rows.insert(rows.end(), more.begin(), more.end());
        }
        std::stable_sort(rows.begin(), rows.end(),
                         [](const Row& a, const Row& b) { return a.score > b.score; });
        std::vector<double> recall, precision;
        double hits = 0, misses = 0;
        for (const Row& row : rows) {
            hits += row.fate == Fate::hit;
            misses += row.fate == Fate::miss;
            recall.push_back(hits / curve.objects);
            precision.push_back(hits / (misses + hits + std::numeric_limits<double>::epsilon()));
        }
        for (std::size_t i = precision.size(); i-- > 1;) {
            precision[i - 1] = std::max(precision[i - 1], precision[i]);
        }
        if (!recall.empty()) curve.recall = recall.back();
        for (int r = 0; r <= 100; ++r) {
            const double wanted = r == 100 ? 1.0 : r * 0.01;
            const auto at = std::lower_bound(recall.begin(), recall.end(), wanted) - recall.begin();
            if (at < static_cast<std::ptrdiff_t>(recall.size())) {
                curve.precision[static_cast<std::size_t>(r)] =
                    precision[static_cast<std::size_t>(at)];
            }
        }
        return curve;
    }

    /// Over classes with objects and thresholds, or the one threshold.
    template <class Value>
    double mean(int size, int only, std::size_t most, const Value& value) const {
        double sum = 0, count = 0;
        for (int of = 0; of < classes_; ++of) {
            for (int t = 0; t < 10; ++t) {
                if (only >= 0 && t != only) continue;
                const Curve curve = accumulate(of, size, t, most);
                if (curve.objects == 0) continue;
                sum += value(curve);
                ++count;
            }
        }
        return count == 0 ? -1.0 : sum / count;
    }
    double mean_precision(int size, int only) const {
        return mean(size, only, 100, [](const Curve& curve) {
            return std::accumulate(curve.precision.begin(), curve.precision.end(), 0.0) / 101;
        });
    }
    double mean_recall(int size, std::size_t most) const {
        return mean(size, -1, most, [](const Curve& curve) { return curve.recall; });
    }

    const Scene& scene_;
    int classes_;
};

}  // namespace thresher::test
