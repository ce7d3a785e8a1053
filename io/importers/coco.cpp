// COCO: images and their boxes as one JSON file, instances*.json, streamed.

#include <filesystem>
#include <unordered_map>
#include <unordered_set>

#include "io/detections/coco_records.hpp"
#include "io/importers/box_import.hpp"
#include "io/importers/formats.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

/// The file of the boxes among the files.
std::string find_annotations(const SourceFiles& files, const std::string& wanted) {
    if (files.has(wanted)) return wanted;
    std::vector<std::string> found, readable;
    for (const std::string& name : files.names()) {
        const std::string file = fs::path(name).filename().string();
        if (!file.ends_with(".json")) continue;
        readable.push_back(name);
        if (file.starts_with("instances")) found.push_back(name);
    }
    if (!wanted.empty()) found = files.ending_with(wanted);
    THRESHER_CHECK_AS(FileError, !found.empty(), "{}: holds no {}; of .json files there are: {}",
                      files.path(),
                      wanted.empty() ? "instances*.json, name the file of the boxes with "
                                       "--annotations"
                                     : wanted + " (--annotations)",
                      readable.empty() ? "none" : fmt::format("{}", fmt::join(readable, ", ")));
    THRESHER_CHECK_AS(FileError, found.size() == 1,
                      "{}: holds several files of boxes ({}); choose one with --annotations",
                      files.path(), fmt::join(found, ", "));
    return found[0];
}

/// An annotation until the images and the categories are known.
struct CocoMark {
    std::int64_t position, id, image_id, category_id;
    double x, y, width, height, area;
    std::uint8_t flags;
    const char* problem;  ///< null where it can be used
};

class CocoList {
  public:
    CocoList(const SourceFiles& files, const ImportOptions& options)
        : files_(files), classes_(options) {}

    MarkedList read(const std::string& name) {
        const SourceFiles::Part part = files_.part(name);
        JsonBytes bytes = JsonBytes::of_file(part.path, part.offset, part.size);
        const auto lists = read_coco_records(
            bytes, files_.path() + ": " + name, {"images", "categories", "annotations"},
            [&](std::string_view list, std::int64_t position, CocoRecord& record) {
                if (list == "images") {
                    add_image(position, record);
                } else if (list == "categories") {
                    add_category(position, record);
                } else {
                    add_mark(position, record);
                }
            });
        THRESHER_CHECK_AS(
            FileError, lists.size() == 3,
            "{}: {} is no COCO instances file: expected the lists images, categories and "
            "annotations, it has {}",
            files_.path(), name,
            lists.empty() ? "none" : fmt::format("{}", fmt::join(lists, ", ")));
        find_files();
        name_classes();
        for (const CocoMark& mark : marks_) place(mark);
        classes_.check_map();
        if (classes_.left_out() > 0) {
            list_.notes.push_back(
                fmt::format("{} boxes were left out by --class-map", classes_.left_out()));
        }
        list_.class_names = classes_.names();
        list_.areas = list_.ids = true;
        return std::move(list_);
    }

  private:
    void refuse(std::int64_t position, std::string reason) {
        list_.bad_images.push_back({position, std::move(reason)});
    }

    void add_image(std::int64_t position, const CocoRecord& record) {
        if (!record.id || *record.id < 0 || !record.file_name) {
            return refuse(position,
                          fmt::format("images[{}] lacks its id or its file_name", position));
        }
        if (!ids_.insert(*record.id).second) {
            return refuse(position, fmt::format("images[{}]: the id {} is there twice", position,
                                                *record.id));
        }
        const auto side = [](const std::optional<double>& value) {
            return value && *value > 0.0 && *value < 1e9 ? static_cast<std::int64_t>(*value) : 0;
        };
        list_.images.push_back(
            {position, *record.file_name, *record.id, side(record.width), side(record.height), {}});
    }

    /// Replaces the names of the images by their files.
    void find_files() {
        std::vector<std::string> names;
        for (const MarkedImage& image : list_.images) names.push_back(image.file);
        const auto found = files_.meant_by(names);
        std::vector<MarkedImage> images;
        for (std::size_t i = 0; i < names.size(); ++i) {
            MarkedImage& image = list_.images[i];
            if (found[i].size() != 1) {
                refuse(image.position,
                       found[i].empty() ? names[i] + ": the image is missing"
                                        : fmt::format("{}: the image is there more than once ({})",
                                                      names[i], fmt::join(found[i], ", ")));
                continue;
            }
            image_of_[image.id] = images.size();
            image.file = found[i][0];
            images.push_back(std::move(image));
        }
        list_.images = std::move(images);
    }

    void add_category(std::int64_t position, const CocoRecord& record) {
        THRESHER_CHECK_AS(FileError, record.id && record.name && !record.name->empty(),
                          "{}: categories[{}] lacks its id or its name", files_.path(), position);
        const bool is_new = categories_.try_emplace(*record.id, *record.name).second;
        THRESHER_CHECK_AS(FileError, is_new, "{}: categories[{}]: the id {} is there twice",
                          files_.path(), position, *record.id);
        category_order_.push_back(*record.id);
    }

    void add_mark(std::int64_t position, const CocoRecord& record) {
        CocoMark mark{position,
                      record.id.value_or(-1),
                      record.image_id.value_or(-1),
                      record.category_id.value_or(-1),
                      0,
                      0,
                      0,
                      0,
                      0,
                      0,
                      nullptr};
        if (!record.image_id || !record.category_id) {
            mark.problem = "lacks its image_id or its category_id";
        } else if (record.id && !mark_ids_.insert(*record.id).second) {
            mark.problem = "has the id of another one";
        } else if (record.box.size() != 4) {
            mark.problem = "has no bbox of four numbers";
        } else {
            mark.x = record.box[0];
            mark.y = record.box[1];
            mark.width = record.box[2];
            mark.height = record.box[3];
            mark.area = record.area.value_or(mark.width * mark.height);
            if (record.crowd.value_or(0.0) != 0.0) mark.flags |= kCrowd;
            if (record.ignore.value_or(0.0) != 0.0) mark.flags |= kDifficult;
            // False also for a number that is none.
            const bool has_area = mark.width > 0.0 && mark.height > 0.0 && mark.x > -1e9 &&
                                  mark.y > -1e9 && mark.x + mark.width < 1e9 &&
                                  mark.y + mark.height < 1e9 && mark.area >= 0.0;
            if (!has_area) mark.problem = "has no area, or a number that is none";
        }
        marks_.push_back(mark);
    }

    /// All categories in their order in the file, whether they have boxes or not.
    void name_classes() {
        for (const std::int64_t id : category_order_) classes_.meet(categories_.at(id));
    }

    void place(const CocoMark& mark) {
        const std::string place = mark.id >= 0 ? fmt::format("annotation {}", mark.id)
                                               : fmt::format("annotations[{}]", mark.position);
        const auto refuse_box = [&](std::int64_t position, const std::string& problem) {
            list_.bad_boxes.push_back({position, place + " " + problem});
        };
        const auto image = image_of_.find(mark.image_id);
        if (mark.problem != nullptr) {
            return refuse_box(image == image_of_.end() ? -1 : list_.images[image->second].position,
                              mark.problem);
        }
        if (image == image_of_.end()) {
            if (ids_.contains(mark.image_id))
                return;  // the image is quarantined, its boxes with it
            return refuse_box(
                -1, fmt::format("is of image {}, which images does not have", mark.image_id));
        }
        MarkedImage& marked = list_.images[image->second];
        const auto category = categories_.find(mark.category_id);
        if (category == categories_.end()) {
            return refuse_box(
                marked.position,
                fmt::format("is of category {}, which categories does not have", mark.category_id));
        }
        try {
            const auto target = classes_.class_of(category->second);
            if (!target) return;
            marked.boxes.push_back({mark.x, mark.y, mark.x + mark.width, mark.y + mark.height,
                                    *target, mark.flags, static_cast<float>(mark.area), place});
        } catch (const FileError& error) {
            refuse_box(marked.position, std::string("is bad: ") + error.what());
        }
    }

    const SourceFiles& files_;
    BoxClasses classes_;
    MarkedList list_;
    std::unordered_map<std::int64_t, std::size_t> image_of_;
    std::unordered_map<std::int64_t, std::string> categories_;
    std::vector<std::int64_t> category_order_;
    std::unordered_set<std::int64_t> ids_, mark_ids_;
    std::vector<CocoMark> marks_;
};

}  // namespace

ImportReport import_coco(const ImportOptions& options, const Provenance& provenance) {
    const SourceFiles files(options.source);
    const std::string name = find_annotations(files, options.annotations);
    return import_marked(files, CocoList(files, options).read(name), options, provenance);
}

}  // namespace thresher::io
