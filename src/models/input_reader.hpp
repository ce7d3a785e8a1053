#pragma once

// From the bytes of a pool to the tensor a model sees, in one pass: convert, normalise, and lay
// images out channels-last.

#include <cstddef>
#include <span>
#include <vector>

#include "src/models/model_spec.hpp"
#include "src/pool/blocks.hpp"

namespace at {
class Tensor;
}

namespace thresher {

class InputReader {
  public:
    /// `spec` gives shape, mean and std; `element_type` is what the bytes are, and `scale` what a
    /// unit of them is worth, in the pool that is read.
    InputReader(const ModelSpec& spec, ElementType element_type, double scale, std::string device);

    /// `rows` examples as float32 [rows, ...] on the device. Throws Error where the size does not
    /// fit. On a GPU the copy runs from pinned memory, behind the work already queued.
    at::Tensor read(std::span<const std::byte> inputs) const;

    /// Some of the examples in `inputs`.
    at::Tensor read(std::span<const std::byte> inputs, RowRange rows) const;

    std::int64_t bytes_per_row() const { return bytes_per_row_; }

  private:
    void normalise(std::span<const std::byte> inputs, float* out) const;

    std::vector<std::int64_t> shape_;
    bool is_image_ = false;
    ElementType element_type_;
    std::string device_;
    std::int64_t channels_, pixels_, bytes_per_row_;
    std::vector<float> factor_, offset_;  ///< per channel, the first axis: x * factor + offset
};

}  // namespace thresher
