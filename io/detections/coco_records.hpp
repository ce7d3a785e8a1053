#pragma once

// The flat records of COCO's files, one after the other, as a SAX parser meets them.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/detections/coco_json.hpp"
#include "io/detections/json_bytes.hpp"

namespace thresher::io {

/// The fields that any of the lists has; empty where a record lacks them or they are of another
/// type.
struct CocoRecord {
    std::optional<std::int64_t> id, image_id, category_id;
    std::optional<double> area, score, width, height, crowd, ignore;
    std::optional<std::string> name, file_name;
    std::vector<double> box;  ///< "bbox"; null is NaN
};

/// Called with the list's name, the record's position in it, and the record.
using CocoRecordSink =
    std::function<void(std::string_view list, std::int64_t position, CocoRecord& record)>;

/// Reads the lists of these names in the object that the text is; where `lists` is empty, the text
/// itself is the one list, called "detections". Returns the names of the lists that were there.
/// Throws FileError, naming `name`, the record and the byte, where the text is no JSON.
std::vector<std::string> read_coco_records(JsonBytes& bytes, const std::string& name,
                                           const std::vector<std::string>& lists,
                                           const CocoRecordSink& sink);

}  // namespace thresher::io
