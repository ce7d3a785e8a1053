#include "io/importers/voc_annotation.hpp"

#include <charconv>
#include <cmath>
#include <optional>
#include <pugixml.hpp>

#include "src/base/check.hpp"
#include "src/base/text.hpp"

namespace thresher::io {

namespace {

std::optional<double> number_in(const pugi::xml_node& node) {
    const std::string_view text = trimmed(node.text().get());
    double value = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) {
        return std::nullopt;
    }
    return value;
}

/// A side of the image; 0 where it is not known.
std::int64_t side_in(const pugi::xml_node& node) {
    const std::optional<double> side = number_in(node);
    return side && *side > 0.0 && *side < 1e9 ? std::llround(*side) : 0;
}

VocObject object_in(const pugi::xml_node& node) {
    VocObject object;
    object.name = trimmed(node.child("name").text().get());
    object.difficult = number_in(node.child("difficult")).value_or(0.0) != 0.0;
    if (object.name.empty()) {
        object.problem = "has no name";
        return object;
    }
    const pugi::xml_node box = node.child("bndbox");
    double edges[4];
    constexpr const char* kNames[4] = {"xmin", "ymin", "xmax", "ymax"};
    for (std::size_t i = 0; i < 4; ++i) {
        const std::optional<double> value = number_in(box.child(kNames[i]));
        if (!value) {
            object.problem = fmt::format("has \"{}\" for {}, which is no number",
                                         trimmed(box.child(kNames[i]).text().get()), kNames[i]);
            return object;
        }
        edges[i] = *value;
    }
    const auto [xmin, ymin, xmax, ymax] = edges;
    // The pixel that is both first and last would be one wide; but tools write it for a click that
    // was no box.
    if (xmax <= xmin || ymax <= ymin) {
        object.problem = fmt::format("has no area: {:g}, {:g}, {:g}, {:g}", xmin, ymin, xmax, ymax);
    }
    object.x0 = xmin - 1.0;
    object.y0 = ymin - 1.0;
    object.x1 = xmax;
    object.y1 = ymax;
    return object;
}

}  // namespace

VocAnnotation parse_voc_annotation(std::string_view xml) {
    pugi::xml_document document;
    const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size());
    THRESHER_CHECK_AS(FileError, parsed, "the XML cannot be read at byte {}: {}", parsed.offset,
                      parsed.description());
    const pugi::xml_node root = document.child("annotation");
    THRESHER_CHECK_AS(FileError, root,
                      "is no annotation as VOC has them: there is no <annotation>");
    VocAnnotation annotation;
    const pugi::xml_node size = root.child("size");
    annotation.width = side_in(size.child("width"));
    annotation.height = side_in(size.child("height"));
    for (const pugi::xml_node& node : root.children("object")) {
        annotation.objects.push_back(object_in(node));
    }
    return annotation;
}

}  // namespace thresher::io
