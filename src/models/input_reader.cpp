#include "src/models/input_reader.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstring>

#include "src/base/check.hpp"

namespace thresher {
namespace {

/// `rows` examples [C, pixels], each element x to x * factor[c] + offset[c]; as [pixels, C] where
/// they are to be channels-last.
template <class Element>
void normalise_rows(const Element* in, float* out, std::int64_t rows, std::int64_t channels,
                    std::int64_t pixels, bool channels_last, const float* factor,
                    const float* offset) {
    const std::int64_t next = channels_last ? channels : 1;
    const std::int64_t first = channels_last ? 1 : pixels;
    for (std::int64_t row = 0; row < rows; ++row) {
        const Element* from = in + row * channels * pixels;
        float* to = out + row * channels * pixels;
        if (channels == 1) {
            const float f = factor[0], o = offset[0];
            for (std::int64_t i = 0; i < pixels; ++i) to[i] = static_cast<float>(from[i]) * f + o;
            continue;
        }
        for (std::int64_t c = 0; c < channels; ++c) {
            const float f = factor[c], o = offset[c];
            for (std::int64_t i = 0; i < pixels; ++i) {
                to[c * first + i * next] = static_cast<float>(from[c * pixels + i]) * f + o;
            }
        }
    }
}

}  // namespace

InputReader::InputReader(const ModelSpec& spec, ElementType element_type, double scale,
                         std::string device)
    : shape_(spec.input_shape), element_type_(element_type), device_(std::move(device)) {
    std::int64_t elements = 1;
    for (std::int64_t extent : shape_) elements *= extent;
    is_image_ = shape_.size() == 3;
    channels_ = is_image_ || spec.mean.size() > 1 || spec.std.size() > 1 ? shape_[0] : 1;
    pixels_ = elements / channels_;
    bytes_per_row_ = elements * size_of(element_type);
    const auto fits = [&](const std::vector<double>& values) {
        return values.size() == 1 || values.size() == static_cast<std::size_t>(channels_);
    };
    THRESHER_CHECK(
        fits(spec.mean) && fits(spec.std),
        "the normalisation has {} means and {} standard deviations for {} channels; give "
        "one, or one per channel",
        spec.mean.size(), spec.std.size(), channels_);
    for (std::size_t c = 0; c < static_cast<std::size_t>(channels_); ++c) {
        const double mean = spec.mean.size() == 1 ? spec.mean[0] : spec.mean[c];
        const double std = spec.std.size() == 1 ? spec.std[0] : spec.std[c];
        THRESHER_CHECK(std > 0.0, "the normalisation divides channel {} by {}; it must be above 0",
                       c, std);
        factor_.push_back(static_cast<float>(scale / std));
        offset_.push_back(static_cast<float>(-mean / std));
    }
}

void InputReader::normalise(std::span<const std::byte> inputs, float* out) const {
    const std::int64_t rows = static_cast<std::int64_t>(inputs.size()) / bytes_per_row_;
    const std::int64_t grain = std::max<std::int64_t>(1, 65536 / (channels_ * pixels_));
    at::parallel_for(0, rows, grain, [&](std::int64_t begin, std::int64_t end) {
        const std::byte* from = inputs.data() + begin * bytes_per_row_;
        float* to = out + begin * channels_ * pixels_;
        if (element_type_ == ElementType::uint8) {
            normalise_rows(reinterpret_cast<const std::uint8_t*>(from), to, end - begin, channels_,
                           pixels_, is_image_, factor_.data(), offset_.data());
        } else {
            normalise_rows(reinterpret_cast<const float*>(from), to, end - begin, channels_,
                           pixels_, is_image_, factor_.data(), offset_.data());
        }
    });
}

at::Tensor InputReader::read(std::span<const std::byte> inputs) const {
    THRESHER_CHECK(static_cast<std::int64_t>(inputs.size()) % bytes_per_row_ == 0,
                   "{} bytes of inputs are no whole number of rows of {} bytes", inputs.size(),
                   bytes_per_row_);
    std::vector<std::int64_t> shape{static_cast<std::int64_t>(inputs.size()) / bytes_per_row_};
    shape.insert(shape.end(), shape_.begin(), shape_.end());
    const auto layout =
        shape.size() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
    const c10::Device device(device_);
    const auto options = at::TensorOptions(at::kFloat).memory_format(layout);
    if (device.is_cpu()) {
        at::Tensor x = at::empty(shape, options);
        normalise(inputs, x.mutable_data_ptr<float>());
        return x;
    }
    at::Tensor staged = at::empty(shape, options.pinned_memory(true));
    normalise(inputs, staged.mutable_data_ptr<float>());
    // The copy has a stream of its own, so that it runs beside the forward pass of the rows before.
    const c10::impl::VirtualGuardImpl backend(device.type());
    const c10::Stream compute = backend.getStream(device);
    const c10::Stream copy = backend.getStreamFromGlobalPool(device, true);
    at::Tensor x;
    c10::Event arrived(device.type());
    {
        const c10::StreamGuard on_copy_stream(copy);
        x = staged.to(device, true);
        arrived.record(copy);
    }
    arrived.block(compute);
    x.record_stream(compute);
    return x;
}

at::Tensor InputReader::read(std::span<const std::byte> inputs, RowRange rows) const {
    const auto bytes = [&](std::int64_t count) {
        return static_cast<std::size_t>(count * bytes_per_row_);
    };
    return read(inputs.subspan(bytes(rows.begin), bytes(rows.size())));
}

}  // namespace thresher
