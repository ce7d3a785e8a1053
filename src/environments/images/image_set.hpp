#pragma once

// Images with boxes in memory, as the heads of a detector see them: what its trunk makes of them,
// or, where the trunk is trained as well, the images.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "src/models/model.hpp"
#include "src/pool/memory_source.hpp"

namespace thresher {

/// Images a forward pass, where nothing is trained.
constexpr std::int64_t kProxyMicroBatch = 32;

using Features = std::vector<at::Tensor>;  ///< by level, [n, channels, height, width]

at::Tensor tensor_of(const std::vector<std::int64_t>& values);
Features rows_of(const Features& all, const at::Tensor& rows);

struct ImageSet {
    std::int64_t rows = 0, most_boxes = 0;
    Features features;
    std::vector<LabelledBox> boxes;  ///< [rows, most_boxes]

    std::vector<LabelledBox> boxes_of(const std::vector<std::int64_t>& some) const;
    void append(const ImageSet& more);
};

class ImageReader {
  public:
    /// `whole`: images are kept, not features. `detector` must outlive it.
    ImageReader(const Model& detector, bool whole);
    ~ImageReader();

    /// The images of a pool, or their mirror images, with their boxes. Local.
    ImageSet read(const MemoryPool& pool, bool mirrored) const;

  private:
    struct Body;
    std::unique_ptr<Body> body_;
};

/// The anchor that stands where each stands in the mirrored image, [anchors]. Local.
std::vector<std::int64_t> mirrored_anchors(const ModelSpec& spec);

}  // namespace thresher
