#include "jobs/steps/detections_file.hpp"

#include <fmt/format.h>

#include <map>
#include <numeric>
#include <optional>

#include "io/detections/results_writer.hpp"
#include "io/problem_list.hpp"
#include "src/base/agreement.hpp"

namespace thresher::jobs {

std::vector<std::int64_t> category_ids(const std::string& instances,
                                       const std::vector<std::string>& class_names) {
    std::vector<std::int64_t> ids(class_names.size());
    std::iota(ids.begin(), ids.end(), 0);
    if (instances.empty()) return ids;
    io::ProblemList problems;
    std::map<std::string, std::int64_t> by_name;
    for (const auto& category : io::read_coco_instances(instances, problems).categories) {
        if (!by_name.emplace(category.name, category.id).second) {
            problems.add(fmt::format("two categories are called {}", category.name));
        }
    }
    for (std::size_t c = 0; c < class_names.size(); ++c) {
        const auto found = by_name.find(class_names[c]);
        if (found != by_name.end()) {
            ids[c] = found->second;
        } else {
            problems.add(fmt::format("no category is called {}, as class {} of the model is",
                                     class_names[c], c));
        }
    }
    problems.report(instances);
    return ids;
}

void write_detections(Job& job, const std::string& path, const DetectedImages& own,
                      const std::vector<std::int64_t>& category_ids) {
    const auto timer = job.phases().time("write");
    std::optional<io::CocoResultsWriter> writer;
    agree(job.collective(), [&] {
        if (job.is_root()) writer.emplace(path, job.overwrite());
    });
    stream_to_root(own, job.collective(), [&](std::span<const FoundObject> piece) {
        for (const FoundObject& found : piece) {
            const Box& box = found.box;
            writer->add({found.image_id,
                         category_ids[static_cast<std::size_t>(found.class_index)],
                         {box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0},
                         found.score});
        }
    });
    agree(job.collective(), [&] {
        if (job.is_root()) writer->commit();
    });
}

}  // namespace thresher::jobs
