#pragma once

// COCO's results, detection by detection, so that memory never holds all of them.

#include <string>

#include "io/atomic_file.hpp"
#include "io/descriptor.hpp"
#include "io/detections/coco_json.hpp"

namespace thresher::io {

/// A line each; numbers read back as the same doubles. Without commit() there is no file. Local:
/// the root's business.
class CocoResultsWriter {
  public:
    /// Throws FileError as AtomicFile.
    CocoResultsWriter(const std::string& path, Overwrite overwrite);

    /// Throws Error where a number is not finite or a box of negative size, FileError where the
    /// disk is full.
    void add(const CocoDetection& detection);
    void commit();

  private:
    AtomicFile place_;
    Descriptor file_;
    std::string text_ = "[";  ///< not written yet
    const char* separator_ = "\n";
};

}  // namespace thresher::io
