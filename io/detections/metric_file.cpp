#include "io/detections/metric_file.hpp"

#include "io/hdf5/file.hpp"

namespace thresher::io {

namespace {

/// A column, of what `value` says of each entry.
template <class Element, class Entry>
void write_column(hdf5::File& file, const std::string& name, const std::string& description,
                  const std::vector<Entry>& entries, const auto& value) {
    std::vector<Element> column;
    for (const Entry& entry : entries) column.push_back(value(entry));
    const hdf5::Type type =
        std::is_same_v<Element, double> ? hdf5::Type::float64 : hdf5::Type::int64;
    const auto rows = std::ssize(column);
    file.create_dataset({.name = name, .type = type, .shape = {rows}, .description = description})
        .write_rows({0, rows}, type, std::as_bytes(std::span(column)));
}

void write_classes(hdf5::File& file, const std::vector<ClassPrecision>& classes) {
    using Of = const ClassPrecision&;
    write_column<std::int64_t>(file, "/classes/objects", "objects that count", classes,
                               [](Of of) { return of.objects; });
    write_column<std::int64_t>(file, "/classes/detections",
                               "detections that were looked at; of COCO at most 100 an image",
                               classes, [](Of of) { return of.detections; });
    write_column<double>(file, "/classes/average_precision", "-1 where no object counts", classes,
                         [](Of of) { return of.average_precision; });
    write_column<double>(file, "/classes/average_precision_50",
                         "at an overlap of .5; of VOC at its overlap", classes,
                         [](Of of) { return of.at_50; });
    write_column<double>(file, "/classes/average_precision_75", "at an overlap of .75; COCO alone",
                         classes, [](Of of) { return of.at_75; });
    write_column<double>(file, "/classes/recall",
                         "of all detections; of COCO the mean over overlaps", classes,
                         [](Of of) { return of.recall; });
}

void write_curves(hdf5::File& file, const DetectionMetric& metric) {
    using At = const PrecisionPoint&;
    std::vector<std::int64_t> offsets{0};
    for (const PrecisionPoint& point : metric.curves) {
        while (std::ssize(offsets) <= point.class_index) offsets.push_back(offsets.back());
        if (std::ssize(offsets) == point.class_index + 1) offsets.push_back(offsets.back());
        ++offsets.back();
    }
    offsets.resize(metric.classes.size() + 1, offsets.back());
    write_column<std::int64_t>(file, "/curves/offsets", "class c has the points from offsets[c] on",
                               offsets, [](std::int64_t offset) { return offset; });
    write_column<double>(file, "/curves/recall", "at each hit, at the lowest overlap",
                         metric.curves, [](At point) { return point.recall; });
    write_column<double>(file, "/curves/precision", "of this score and above", metric.curves,
                         [](At point) { return point.precision; });
    write_column<double>(file, "/curves/score", "of the hit", metric.curves,
                         [](At point) { return point.score; });
}

}  // namespace

void write_detection_metric(const std::string& path, const DetectionMetric& metric,
                            const std::vector<std::string>& class_names,
                            const std::string& metric_name, const Provenance& provenance,
                            Overwrite overwrite) {
    AtomicFile place(path, overwrite);
    hdf5::File file = hdf5::File::create(place.temporary());
    write_provenance(file, "thresher-map", provenance);
    const hdf5::ObjectRef root = file.root();
    hdf5::write_attribute(root, "metric", metric_name);
    hdf5::write_attribute(root, "class_names", class_names);
    hdf5::write_attribute(root, "mean_average_precision", metric.mean_average_precision);
    for (std::size_t i = 0; metric_name == "coco" && i < kCocoNumbers.size(); ++i) {
        hdf5::write_attribute(root, std::string(kCocoNumbers[i]), metric.coco[i]);
    }
    write_classes(file, metric.classes);
    write_curves(file, metric);
    file.close();
    place.commit();
}

}  // namespace thresher::io
