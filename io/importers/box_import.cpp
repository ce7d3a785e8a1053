#include "io/importers/box_import.hpp"

#include <algorithm>

#include "io/importers/image_rows.hpp"
#include "io/importers/import_sink.hpp"
#include "src/base/check.hpp"
#include "src/pool/letter_box.hpp"

namespace thresher::io {

BoxClasses::BoxClasses(const ImportOptions& options) : names_given_(!options.class_names.empty()) {
    for (const std::string& pair : options.class_map) {
        const std::size_t equals = pair.find('=');
        THRESHER_CHECK_AS(UsageError, equals != std::string::npos && equals > 0,
                          "--class-map has \"{}\"; expected old=new, or old= to leave a class out",
                          pair);
        const bool is_new =
            map_.try_emplace(pair.substr(0, equals), Mapped{pair.substr(equals + 1)}).second;
        THRESHER_CHECK_AS(UsageError, is_new, "--class-map has \"{}\" twice",
                          pair.substr(0, equals));
    }
    for (const std::string& name : options.class_names) {
        const bool is_new = class_of_.try_emplace(name, std::ssize(names_)).second;
        THRESHER_CHECK_AS(UsageError, is_new, "--class-names has \"{}\" twice", name);
        names_.push_back(name);
    }
}

std::string BoxClasses::mapped(const std::string& name) {
    const auto found = map_.find(name);
    if (found == map_.end()) return name;
    found->second.met = true;
    return found->second.to;
}

void BoxClasses::meet(const std::string& name) {
    const std::string known = mapped(name);
    if (names_given_ || known.empty()) return;
    if (class_of_.try_emplace(known, std::ssize(names_)).second) names_.push_back(known);
}

std::optional<std::int64_t> BoxClasses::class_of(const std::string& name) {
    const std::string known = mapped(name);
    if (known.empty()) {
        ++left_out_;
        return std::nullopt;
    }
    const auto found = class_of_.find(known);
    if (found != class_of_.end()) return found->second;
    THRESHER_CHECK_AS(FileError, !names_given_,
                      "the class \"{}\" is none of --class-names; add it, or leave it out with "
                      "--class-map {}=",
                      known, name);
    names_.push_back(known);
    return class_of_[known] = std::ssize(names_) - 1;
}

void BoxClasses::check_map() const {
    for (const auto& [name, mapped] : map_) {
        THRESHER_CHECK_AS(UsageError, mapped.met,
                          "--class-map has the class \"{}\", which the annotations do not have",
                          name);
    }
}

namespace {

class MarkedImport {
  public:
    MarkedImport(const SourceFiles& files, MarkedList list, const ImportOptions& options,
                 const Provenance& provenance)
        : list_(std::move(list)),
          options_(options),
          rows_(options, names(), [&](const std::string& name) { return files.read(name); }),
          sink_(options, schema(), provenance) {}

    ImportReport run() {
        for (QuarantinedRow& row : list_.bad_images) sink_.quarantine(row.id, row.reason);
        for (QuarantinedRow& row : list_.bad_boxes) sink_.quarantine_box(row.id, row.reason);
        rows_.for_each(
            [&](std::size_t i, const DecodedImage& image) { add(list_.images[i], image); });
        ImportReport report = sink_.finish();
        report.notes = std::move(list_.notes);
        if (cut_ > 0) {
            report.notes.push_back(
                fmt::format("{} boxes reached beyond their images and were cut", cut_));
        }
        return report;
    }

  private:
    std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const MarkedImage& image : list_.images) names.push_back(image.file);
        return names;
    }

    PoolSchema schema() const {
        PoolSchema schema;
        schema.input_shape = rows_.shape();
        schema.scale = 1.0 / 255.0;
        schema.class_names = list_.class_names;
        schema.ids = list_.ids;
        schema.boxes = {true, list_.areas, true};
        schema.names = true;
        schema.name_bytes = 1;
        for (const MarkedImage& image : list_.images) {
            schema.name_bytes = std::max(schema.name_bytes, std::ssize(image.file));
        }
        return schema;
    }

    void add(const MarkedImage& marked, const DecodedImage& image) {
        if (!image.reason.empty()) {
            return sink_.quarantine(marked.position, marked.file + ": " + image.reason);
        }
        if (marked.width > 0 && marked.height > 0 &&
            (marked.width != image.width || marked.height != image.height)) {
            const bool turned = marked.width == image.height && marked.height == image.width;
            return sink_.quarantine(
                marked.position,
                fmt::format("{}: the annotation is of {} x {} pixels, the image has {} x {}{}",
                            marked.file, marked.width, marked.height, image.width, image.height,
                            turned ? "; was it turned? (a rotation in EXIF is not applied)" : ""));
        }
        Boxes boxes;
        for (const MarkedBox& box : marked.boxes) add_box(marked, image, box, boxes);
        boxes.offsets.push_back(std::ssize(boxes.classes));
        boxes.image_sizes = {static_cast<std::int32_t>(image.height),
                             static_cast<std::int32_t>(image.width)};
        sink_.add(marked.position, image.inputs, -1, marked.id, marked.file, -1, {}, {&boxes, 0});
    }

    void add_box(const MarkedImage& marked, const DecodedImage& image, const MarkedBox& box,
                 Boxes& boxes) {
        const auto width = static_cast<double>(image.width),
                   height = static_cast<double>(image.height);
        const double x0 = std::max(0.0, box.x0), y0 = std::max(0.0, box.y0),
                     x1 = std::min(width, box.x1), y1 = std::min(height, box.y1);
        const LetterBox place = LetterBox::of(image.width, image.height, options_.size);
        const float corners[4] = {
            static_cast<float>(x0 * place.scale_x), static_cast<float>(y0 * place.scale_y),
            static_cast<float>(x1 * place.scale_x), static_cast<float>(y1 * place.scale_y)};
        if (!(corners[0] < corners[2] && corners[1] < corners[3])) {
            return sink_.quarantine_box(
                marked.position,
                fmt::format(
                    "{}: {}: nothing of {:g}, {:g}, {:g}, {:g} lies in the image of {} x {}",
                    marked.file, box.place, box.x0, box.y0, box.x1, box.y1, image.width,
                    image.height));
        }
        cut_ += x0 != box.x0 || y0 != box.y0 || x1 != box.x1 || y1 != box.y1;
        boxes.corners.insert(boxes.corners.end(), corners, corners + 4);
        boxes.classes.push_back(box.target);
        boxes.flags.push_back(box.flags);
        if (list_.areas) boxes.areas.push_back(box.area);
    }

    MarkedList list_;
    const ImportOptions& options_;
    ImageRows rows_;
    ImportSink sink_;
    std::int64_t cut_ = 0;
};

}  // namespace

ImportReport import_marked(const SourceFiles& files, MarkedList list, const ImportOptions& options,
                           const Provenance& provenance) {
    THRESHER_CHECK_AS(FileError, !list.images.empty(), "{}: holds no image with an annotation{}",
                      files.path(),
                      list.bad_images.empty() ? "" : "; the first: " + list.bad_images[0].reason);
    return MarkedImport(files, std::move(list), options, provenance).run();
}

}  // namespace thresher::io
