// thresher map: ground truth + detections, as COCO's JSON -> average precision, of COCO's rule or
// of VOC's two.

#include <fmt/format.h>

#include <optional>

#include "io/detections/coco_boxes.hpp"
#include "io/detections/metric_file.hpp"
#include "jobs/job.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/detection/average_precision.hpp"

namespace thresher::jobs {

namespace {

struct Options {
    std::string ground_truth, detections, metric = "coco", output;
    double iou = 0.5, pixel = 1.0;
};

void add_options(CLI::App& app, Options& options) {
    app.add_option("--ground-truth", options.ground_truth, "COCO instances, a JSON file")
        ->required();
    app.add_option("--detections", options.detections, "COCO results, a JSON file")->required();
    app.add_option("--metric", options.metric,
                   "coco; voc07, at 11 recalls; or voc10, the area under the curve")
        ->check(CLI::IsMember({"coco", "voc07", "voc10"}));
    app.add_option("--iou", options.iou, "voc07, voc10: overlap from which an object is found");
    app.add_option("--pixel", options.pixel,
                   "voc07, voc10: what a side is longer than the file says; 1 as in the "
                   "development kit, 0 where boxes end at their edges");
    app.add_option("-o,--output", options.output,
                   "File of the numbers by class, and the curves of precision over recall");
}

DetectionMetricOptions metric_options(const Options& options) {
    DetectionMetricOptions metric;
    metric.rule = detection_rule(options.metric);
    const Options otherwise;
    THRESHER_CHECK_AS(
        UsageError,
        metric.rule != DetectionRule::coco ||
            (options.iou == otherwise.iou && options.pixel == otherwise.pixel),
        "--iou and --pixel are for voc07 and voc10; the metric coco has ten overlaps, "
        "and boxes that end at their edges");
    THRESHER_CHECK_AS(UsageError, options.iou > 0.0 && options.iou <= 1.0,
                      "--iou is {}; allowed: above 0, to 1", options.iou);
    THRESHER_CHECK_AS(UsageError, options.pixel >= 0.0 && options.pixel <= 1.0,
                      "--pixel is {}; allowed: 0 to 1", options.pixel);
    metric.voc_threshold = options.iou;
    metric.voc_pixel = options.pixel;
    metric.curves = !options.output.empty();
    return metric;
}

/// This rank's share of what both files hold. Throws FileError with all that is wrong with one.
io::CocoBoxes read_boxes(const Options& options, const Collective& collective) {
    io::ProblemList problems;
    const auto instances = io::read_coco_instances(options.ground_truth, problems);
    io::list_box_problems(instances, problems);
    problems.report(options.ground_truth);
    const auto set_aside =
        options.metric == "coco" ? io::SetAside::crowds : io::SetAside::crowds_and_ignored;
    io::CocoBoxes boxes(instances, set_aside, collective.rank(), collective.size());
    io::ProblemList of_detections;
    boxes.read_detections(options.detections, of_detections);
    of_detections.report(options.detections);
    return boxes;
}

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

nlohmann::json facts_of(const DetectionMetric& metric, const io::CocoBoxes& boxes,
                        const Options& options) {
    const bool is_coco = options.metric == "coco";
    nlohmann::json facts{{"metric", options.metric},
                         {"mean_average_precision", metric.mean_average_precision},
                         {"images", boxes.images()},
                         {"objects", boxes.objects()},
                         {"detections", boxes.detections_read()},
                         {"classes", nlohmann::json::array()}};
    for (std::size_t i = 0; is_coco && i < kCocoNumbers.size(); ++i) {
        facts[std::string(kCocoNumbers[i])] = metric.coco[i];
    }
    for (std::size_t c = 0; c < metric.classes.size(); ++c) {
        const ClassPrecision& of = metric.classes[c];
        nlohmann::json line{{"name", boxes.class_names()[c]},
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

}  // namespace

int run_map(Job& job) {
    Options options;
    add_options(job.options(), options);
    job.start();
    const DetectionMetricOptions how = metric_options(options);
    if (!options.output.empty()) {
        job.check_output(options.output, {options.ground_truth, options.detections});
    }
    std::optional<io::CocoBoxes> boxes;
    {
        const auto timer = job.phases().time("read");
        agree(job.collective(), [&] { boxes = read_boxes(options, job.collective()); });
    }
    DetectionMetric metric;
    {
        const auto timer = job.phases().time("evaluate");
        metric = measure_detections(boxes->truth(), boxes->detections(),
                                    std::ssize(boxes->class_names()), how, job.collective());
    }
    if (!options.output.empty()) {
        const auto timer = job.phases().time("write");
        agree(job.collective(), [&] {
            if (!job.is_root()) return;
            io::write_detection_metric(options.output, metric, boxes->class_names(), options.metric,
                                       job.provenance(options.detections), job.overwrite());
        });
    }
    const bool is_coco = how.rule == DetectionRule::coco;
    job.print(fmt::format("{} images, {} objects, {} detections, {} classes\n", boxes->images(),
                          boxes->objects(), boxes->detections_read(), boxes->class_names().size()));
    if (is_coco) {
        print_coco(job, metric.coco);
    } else {
        job.print(fmt::format("mAP {} at an overlap of {:g}, {}",
                              in_words(metric.mean_average_precision), options.iou,
                              options.metric));
    }
    job.print("");
    print_classes(job, metric, boxes->class_names(), is_coco);
    job.finish(facts_of(metric, *boxes, options));
    return 0;
}

}  // namespace thresher::jobs
