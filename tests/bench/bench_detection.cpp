// bench_detection --ground-truth FILE.json --detections FILE.json [--repeats R] [--threads T]
// bench_detection --boxes N --groups G --data FILE [--iou X] [--repeats R] [--threads T]
//
// The first form: processor seconds of reading COCO's two files and of COCO's twelve numbers, the
// best of R each. The second: of non-maximum suppression; FILE holds the corners [N, 4] and scores
// [N] as floats, and the groups [N] as whole floats. One JSON line.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "io/detections/coco_boxes.hpp"
#include "src/base/thread_team.hpp"
#include "src/detection/average_precision.hpp"
#include "src/detection/nms.hpp"
#include "tests/bench/bench.hpp"

using namespace thresher;

namespace {

nlohmann::json metric(const std::string& ground_truth, const std::string& detections, int repeats) {
    const auto alone = make_local_collective();
    bench::Best read, evaluate;
    nlohmann::json line{{"benchmark", "detection"}};
    for (int repeat = 0; repeat < repeats; ++repeat) {
        std::optional<io::CocoBoxes> boxes;
        read.add(bench::cpu_seconds([&] {
            io::ProblemList problems;
            const auto instances = io::read_coco_instances(ground_truth, problems);
            boxes.emplace(instances, io::SetAside::crowds, 0, 1);
            boxes->read_detections(detections, problems);
            problems.report("bench");
        }));
        DetectionMetric found;
        const auto classes = std::ssize(boxes->class_names());
        evaluate.add(bench::cpu_seconds([&] {
            found = measure_detections(boxes->truth(), boxes->detections(), classes, {}, *alone);
        }));
        line["images"] = boxes->images();
        line["objects"] = boxes->objects();
        line["detections"] = boxes->detections_read();
        line["numbers"] = found.coco;
    }
    line["read_s"] = read.value;
    line["evaluate_s"] = evaluate.value;
    return line;
}

nlohmann::json suppression(std::size_t boxes, std::int64_t groups, const std::string& data,
                           double threshold, int repeats) {
    const std::vector<float> values = bench::read_floats(data);
    THRESHER_CHECK(values.size() == 6 * boxes, "{} holds {} floats for {} boxes", data,
                   values.size(), boxes);
    const auto all = std::span(values);
    std::vector<std::int64_t> of(boxes), kept;
    for (std::size_t i = 0; i < boxes; ++i) of[i] = static_cast<std::int64_t>(all[5 * boxes + i]);
    bench::Best best;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        best.add(bench::cpu_seconds([&] {
            kept = batched_nms(all.first(4 * boxes), all.subspan(4 * boxes, boxes), of, threshold);
        }));
    }
    return {{"benchmark", "nms"}, {"boxes", boxes}, {"groups", groups},
            {"iou", threshold},   {"kept", kept},   {"nms_s", best.value}};
}

}  // namespace

int main(int argc, char** argv) {
    const auto option = [&](const char* name, const char* otherwise) {
        return bench::option(argc, argv, name, otherwise);
    };
    const int repeats = std::stoi(option("--repeats", "5"));
    const int threads = std::stoi(option("--threads", "1"));
    use_threads(threads);
    const auto boxes = std::stoull(option("--boxes", "0"));
    nlohmann::json line =
        boxes > 0 ? suppression(boxes, std::stoll(option("--groups", "1")), option("--data", ""),
                                std::stod(option("--iou", "0.5")), repeats)
                  : metric(option("--ground-truth", ""), option("--detections", ""), repeats);
    line["threads"] = threads;
    fmt::print("{}\n", line.dump());
}
