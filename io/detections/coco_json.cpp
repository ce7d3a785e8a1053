#include "io/detections/coco_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "io/detections/coco_records.hpp"
#include "io/detections/results_writer.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

/// What a record is called in messages.
std::string place_of(std::string_view list, std::int64_t position, const CocoRecord& record) {
    return record.id ? fmt::format("{} {} (id {})", list, position, *record.id)
                     : fmt::format("{} {}", list, position);
}

/// Which of the fields is missing, or "".
std::string missing(std::initializer_list<std::pair<const char*, bool>> fields) {
    for (const auto& [name, is_there] : fields) {
        if (!is_there) return name;
    }
    return "";
}

std::string missing_box(const CocoRecord& record) {
    return record.box.size() == 4 ? "" : "\"bbox\" [x, y, width, height]";
}

CocoBox box_of(const CocoRecord& record) {
    return {record.box[0], record.box[1], record.box[2], record.box[3]};
}

/// Fills the lists of `into` with what has all it needs.
class InstanceBuilder {
  public:
    InstanceBuilder(CocoInstances& into, ProblemList& problems)
        : into_(into), problems_(problems) {}

    void add(std::string_view list, std::int64_t position, CocoRecord& record) {
        std::string lacks;
        if (list == "images") {
            lacks = missing({{"a whole number \"id\"", record.id.has_value()}});
            if (lacks.empty()) add_image(record);
        } else if (list == "categories") {
            lacks = missing({{"a whole number \"id\"", record.id.has_value()}});
            if (lacks.empty()) {
                into_.categories.push_back(
                    {*record.id, record.name.value_or(fmt::format("{}", *record.id))});
            }
        } else {
            lacks = missing({{"a whole number \"id\"", record.id.has_value()},
                             {"a whole number \"image_id\"", record.image_id.has_value()},
                             {"a whole number \"category_id\"", record.category_id.has_value()}});
            if (lacks.empty()) lacks = missing_box(record);
            if (lacks.empty()) add_annotation(record);
        }
        if (!lacks.empty()) {
            problems_.add(fmt::format("{} lacks {}", place_of(list, position, record), lacks));
        }
    }

  private:
    void add_image(CocoRecord& record) {
        const auto pixels = [](const std::optional<double>& size) {
            const double value = size.value_or(0.0);
            return value > 0.0 && value < 1e9 ? static_cast<std::int64_t>(value) : 0;
        };
        into_.images.push_back({*record.id, std::move(record.file_name).value_or(""),
                                pixels(record.width), pixels(record.height)});
    }

    void add_annotation(const CocoRecord& record) {
        CocoAnnotation annotation;
        annotation.id = *record.id;
        annotation.image_id = *record.image_id;
        annotation.category_id = *record.category_id;
        annotation.box = box_of(record);
        annotation.area = record.area.value_or(annotation.box.width * annotation.box.height);
        annotation.crowd = record.crowd.value_or(0.0) != 0.0;
        annotation.ignore = record.ignore.value_or(0.0) != 0.0;
        into_.annotations.push_back(annotation);
    }

    CocoInstances& into_;
    ProblemList& problems_;
};

CocoInstances read_instances(JsonBytes bytes, const std::string& name, ProblemList& problems) {
    CocoInstances instances;
    InstanceBuilder builder(instances, problems);
    const std::vector<std::string> lists{"images", "annotations", "categories"};
    const auto found = read_coco_records(
        bytes, name, lists, [&](std::string_view list, std::int64_t position, CocoRecord& record) {
            builder.add(list, position, record);
        });
    for (const std::string& list : lists) {
        const auto times = std::count(found.begin(), found.end(), list);
        if (times == 0) problems.add(fmt::format("there is no list \"{}\"", list));
        if (times > 1) problems.add(fmt::format("the list \"{}\" is there {} times", list, times));
    }
    list_instance_problems(instances, problems);
    return instances;
}

/// The ids of a list in order; those that are there twice become problems.
template <class List>
std::vector<std::int64_t> ids_of(const List& list, const char* what, ProblemList& problems) {
    std::vector<std::int64_t> ids;
    ids.reserve(list.size());
    for (const auto& entry : list) ids.push_back(entry.id);
    std::sort(ids.begin(), ids.end());
    for (std::size_t begin = 0; begin < ids.size();) {
        std::size_t end = begin + 1;
        while (end < ids.size() && ids[end] == ids[begin]) ++end;
        if (end - begin > 1) {
            problems.add(fmt::format("the {} id {} is there {} times; ids must be unique", what,
                                     ids[begin], end - begin));
        }
        begin = end;
    }
    return ids;
}

void read_results(JsonBytes bytes, const std::string& name, ProblemList& problems,
                  const DetectionSink& sink) {
    const auto found = read_coco_records(
        bytes, name, {}, [&](std::string_view list, std::int64_t position, CocoRecord& record) {
            std::string wrong =
                missing({{"a whole number \"image_id\"", record.image_id.has_value()},
                         {"a whole number \"category_id\"", record.category_id.has_value()},
                         {"a number \"score\"", record.score.has_value()}});
            if (wrong.empty()) wrong = missing_box(record);
            if (!wrong.empty()) {
                wrong = "lacks " + wrong;
            } else {
                wrong = box_problem(box_of(record));
            }
            if (!wrong.empty()) {
                return problems.add(fmt::format("{} {} {}", list, position, wrong));
            }
            sink(position, {*record.image_id, *record.category_id, box_of(record), *record.score});
        });
    THRESHER_CHECK_AS(FileError, !found.empty(),
                      "{}: holds no list; COCO results are a list [ of detections", name);
}

}  // namespace

CocoInstances read_coco_instances(const std::string& path, ProblemList& problems) {
    return read_instances(JsonBytes::of_file(path), path, problems);
}

CocoInstances parse_coco_instances(std::string_view text, const std::string& name,
                                   ProblemList& problems) {
    return read_instances(JsonBytes::of_text(text), name, problems);
}

void list_instance_problems(const CocoInstances& instances, ProblemList& problems) {
    const auto images = ids_of(instances.images, "image", problems);
    const auto categories = ids_of(instances.categories, "category", problems);
    static_cast<void>(ids_of(instances.annotations, "annotation", problems));
    const auto knows = [](const std::vector<std::int64_t>& ids, std::int64_t id) {
        return std::binary_search(ids.begin(), ids.end(), id);
    };
    for (const CocoAnnotation& annotation : instances.annotations) {
        if (!knows(images, annotation.image_id)) {
            problems.add(fmt::format("annotation {} is of image {}, which is not among the images",
                                     annotation.id, annotation.image_id));
        }
        if (!knows(categories, annotation.category_id)) {
            problems.add(
                fmt::format("annotation {} is of category {}, which is not among the categories",
                            annotation.id, annotation.category_id));
        }
    }
}

std::string box_problem(const CocoBox& box) {
    const bool is_finite = std::isfinite(box.x) && std::isfinite(box.y) &&
                           std::isfinite(box.width) && std::isfinite(box.height);
    const char* what = !is_finite                            ? "is not finite"
                       : box.width < 0.0 || box.height < 0.0 ? "has a negative size"
                                                             : nullptr;
    if (what == nullptr) return "";
    return fmt::format("has the box [{}, {}, {}, {}], which {}", box.x, box.y, box.width,
                       box.height, what);
}

void list_box_problems(const CocoInstances& instances, ProblemList& problems) {
    for (const CocoAnnotation& annotation : instances.annotations) {
        const std::string problem = box_problem(annotation.box);
        if (!problem.empty()) {
            problems.add(fmt::format("annotation {} {}", annotation.id, problem));
        } else if (!(annotation.area >= 0.0)) {
            problems.add(fmt::format("annotation {} has the area {}; allowed: 0 or more",
                                     annotation.id, annotation.area));
        }
    }
}

void read_coco_results(const std::string& path, ProblemList& problems, const DetectionSink& sink) {
    read_results(JsonBytes::of_file(path), path, problems, sink);
}

void parse_coco_results(std::string_view text, const std::string& name, ProblemList& problems,
                        const DetectionSink& sink) {
    read_results(JsonBytes::of_text(text), name, problems, sink);
}

void write_coco_results(const std::string& path, std::span<const CocoDetection> detections,
                        Overwrite overwrite) {
    CocoResultsWriter writer(path, overwrite);
    for (const CocoDetection& detection : detections) writer.add(detection);
    writer.commit();
}

}  // namespace thresher::io
