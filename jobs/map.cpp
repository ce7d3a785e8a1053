// thresher map: ground truth + detections, as COCO's JSON -> average precision, of COCO's rule or
// of VOC's two.

#include <fmt/format.h>

#include <optional>

#include "io/detections/coco_boxes.hpp"
#include "io/detections/metric_file.hpp"
#include "jobs/job.hpp"
#include "jobs/steps/detection_summary.hpp"
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

}  // namespace

int run_map(Job& job) {
    Options options;
    add_options(job.options(), options);
    job.start();
    const DetectionMetricOptions how = metric_options(options);
    if (!options.output.empty()) {
        job.check_output(options.output);
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
    job.print(fmt::format("{} images, {} objects, {} detections, {} classes\n", boxes->images(),
                          boxes->objects(), boxes->detections_read(), boxes->class_names().size()));
    print_detection_metric(job, metric, how, boxes->class_names());
    nlohmann::json facts = detection_facts(metric, how, boxes->class_names());
    facts.update({{"images", boxes->images()},
                  {"objects", boxes->objects()},
                  {"detections", boxes->detections_read()}});
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
