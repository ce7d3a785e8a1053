#include "io/detections/results_writer.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::size_t kPiece = 1 << 20;

}  // namespace

CocoResultsWriter::CocoResultsWriter(const std::string& path, Overwrite overwrite)
    : place_(path, overwrite), file_(place_.temporary(), O_WRONLY | O_TRUNC) {}

void CocoResultsWriter::add(const CocoDetection& detection) {
    const CocoBox& box = detection.box;
    const std::string problem = box_problem(box);
    THRESHER_CHECK(problem.empty() && std::isfinite(detection.score),
                   "a detection of image {} with the score {} {}", detection.image_id,
                   detection.score, problem.empty() ? "cannot be written as JSON" : problem);
    fmt::format_to(std::back_inserter(text_),
                   "{}{{\"image_id\":{},\"category_id\":{},\"bbox\":[{},{},{},{}],\"score\":{}}}",
                   separator_, detection.image_id, detection.category_id, box.x, box.y, box.width,
                   box.height, detection.score);
    separator_ = ",\n";
    if (text_.size() < kPiece) return;
    file_.write(text_);
    text_.clear();
}

void CocoResultsWriter::commit() {
    file_.write(text_ + "\n]\n");
    file_.close();
    place_.commit();
}

}  // namespace thresher::io
