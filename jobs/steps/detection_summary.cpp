#include "jobs/steps/detection_summary.hpp"

#include <fmt/format.h>

namespace thresher::jobs {
namespace {

/// The twelve lines that users of pycocotools know.
void print_coco(const Job& job, const std::array<double, 12>& numbers) {
    const auto line = [&](std::size_t i, const char* iou, const char* area, int most) {
        job.print(fmt::format(" {:<18} {} @[ IoU={:<9} | area={:>6} | maxDets={:>3} ] = {:0.3f}",
                              i < 6 ? "Average Precision" : "Average Recall",
                              i < 6 ? "(AP)" : "(AR)", iou, area, most, numbers[i]));
    };
    const char* const all = "0.50:0.95";
    line(0, all, "all", 100);
    line(1, "0.50", "all", 100);
    line(2, "0.75", "all", 100);
    line(3, all, "small", 100);
    line(4, all, "medium", 100);
    line(5, all, "large", 100);
    line(6, all, "all", 1);
    line(7, all, "all", 10);
    line(8, all, "all", 100);
    line(9, all, "small", 100);
    line(10, all, "medium", 100);
    line(11, all, "large", 100);
}

/// A number, or a dash where the class has no object.
std::string in_words(double number) {
    return number == kNoObjects ? "-" : fmt::format("{:.4f}", number);
}

void print_classes(const Job& job, const DetectionMetric& metric,
                   const std::vector<std::string>& names, bool is_coco) {
    job.print(fmt::format("{:<20} {:>9} {:>11} {:>9} {:>9}{}", "class", "objects", "detections",
                          "AP", is_coco ? "AP50" : "recall",
                          is_coco ? fmt::format(" {:>9} {:>9}", "AP75", "recall") : ""));
    for (std::size_t c = 0; c < names.size(); ++c) {
        const ClassPrecision& of = metric.classes[c];
        job.print(fmt::format(
            "{:<20} {:>9} {:>11} {:>9} {:>9}{}", names[c], of.objects, of.detections,
            in_words(of.average_precision), in_words(is_coco ? of.at_50 : of.recall),
            is_coco ? fmt::format(" {:>9} {:>9}", in_words(of.at_75), in_words(of.recall)) : ""));
    }
}

}  // namespace

void print_detection_metric(const Job& job, const DetectionMetric& metric,
                            const DetectionMetricOptions& options,
                            const std::vector<std::string>& class_names) {
    const bool is_coco = options.rule == DetectionRule::coco;
    if (is_coco) {
        print_coco(job, metric.coco);
    } else {
        job.print(fmt::format("mAP {} at an overlap of {:g}, {}",
                              in_words(metric.mean_average_precision), options.voc_threshold,
                              detection_rule_name(options.rule)));
    }
    job.print("");
    print_classes(job, metric, class_names, is_coco);
}

nlohmann::json detection_facts(const DetectionMetric& metric, const DetectionMetricOptions& options,
                               const std::vector<std::string>& class_names) {
    const bool is_coco = options.rule == DetectionRule::coco;
    nlohmann::json facts{{"metric", detection_rule_name(options.rule)},
                         {"mean_average_precision", metric.mean_average_precision},
                         {"classes", nlohmann::json::array()}};
    for (std::size_t i = 0; is_coco && i < kCocoNumbers.size(); ++i) {
        facts[std::string(kCocoNumbers[i])] = metric.coco[i];
    }
    for (std::size_t c = 0; c < metric.classes.size(); ++c) {
        const ClassPrecision& of = metric.classes[c];
        nlohmann::json line{{"name", class_names[c]},
                            {"objects", of.objects},
                            {"detections", of.detections},
                            {"average_precision", of.average_precision},
                            {"recall", of.recall}};
        if (is_coco) {
            line["AP50"] = of.at_50;
            line["AP75"] = of.at_75;
        }
        facts["classes"].push_back(line);
    }
    return facts;
}

}  // namespace thresher::jobs
