#pragma once

// What people answered in a labelling tool.

#include <cstdint>
#include <string>
#include <vector>

namespace thresher::io {

/// One answer as it stands in the file.
struct Answer {
    std::string id, name;  ///< one of them may be empty
    std::string label;     ///< a class name or number
    std::string place;     ///< "line 7", "task 12": for errors
};

/// Reads a CSV with a column `label` and a column `id` or `name`; Label Studio's exports JSON,
/// JSON-MIN and CSV; "CVAT for images 1.1" (tags). Which it is, is seen from the contents. Tasks
/// without an answer are left out. Throws FileError where it is none of these, or a CSV has lines
/// that are not whole. Local.
std::vector<Answer> read_answers(const std::string& path);

}  // namespace thresher::io
