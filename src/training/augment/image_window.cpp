#include "src/training/augment/image_window.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace thresher {
namespace {

template <class Element>
float in_range(float value) {
    if constexpr (std::is_same_v<Element, std::uint8_t>) {
        return std::min(std::max(value, 0.0F), 255.0F);
    } else {
        return value;
    }
}

/// `value` is in range.
template <class Element>
Element stored(float value) {
    if constexpr (std::is_same_v<Element, std::uint8_t>) {
        return static_cast<std::uint8_t>(static_cast<std::int32_t>(value + 0.5F));
    } else {
        return value;
    }
}

}  // namespace

template <class Element>
WindowImages<Element>::WindowImages(std::int64_t channels, std::int64_t height, std::int64_t width,
                                    std::vector<float> fill)
    : channels_(channels),
      height_(height),
      width_(width),
      fill_(std::move(fill)),
      values_(static_cast<std::size_t>(channels * height * width)),
      line_(static_cast<std::size_t>(width + 2)),
      fill_line_(static_cast<std::size_t>(width)) {}

template <class Element>
void WindowImages<Element>::Taps::set(const WindowAxis& axis, std::int64_t extent) {
    const auto size = static_cast<std::size_t>(extent);
    first.resize(size);
    second.resize(size);
    weight.resize(size);
    const double step = axis.length / static_cast<double>(extent);
    const auto index = [&](std::int64_t place) {
        const std::int64_t there = std::clamp(place, axis.canvas_begin, axis.canvas_end - 1);
        return static_cast<std::int32_t>(std::clamp<std::int64_t>(there, -1, extent) + 1);
    };
    for (std::size_t i = 0; i < size; ++i) {
        const std::size_t from = axis.mirror ? size - 1 - i : i;
        // Centres of pixels: the first is at 0.
        const double place = axis.begin + (static_cast<double>(from) + 0.5) * step - 0.5;
        const double below = std::floor(place);
        first[i] = index(static_cast<std::int64_t>(below));
        second[i] = index(static_cast<std::int64_t>(below) + 1);
        weight[i] = static_cast<float>(place - below);
    }
}

template <class Element>
void WindowImages<Element>::change_colours(std::span<const Element> image, const Colours& colours) {
    const auto plane = static_cast<std::size_t>(height_ * width_);
    if (!colours.changed) {
        std::copy(image.begin(), image.end(), values_.begin());
    } else if (channels_ == 3) {
        const Element* const red = image.data();
        const Element* const green = red + plane;
        const Element* const blue = green + plane;
        for (std::size_t c = 0; c < 3; ++c) {
            const auto& row = colours.matrix[c];
            const float r = row[0], g = row[1], b = row[2], offset = colours.offset[c];
            float* const to = values_.data() + c * plane;
            for (std::size_t i = 0; i < plane; ++i) {
                to[i] = in_range<Element>(r * static_cast<float>(red[i]) +
                                          g * static_cast<float>(green[i]) +
                                          b * static_cast<float>(blue[i]) + offset);
            }
        }
    } else {
        for (std::size_t i = 0; i < values_.size(); ++i) {
            values_[i] =
                in_range<Element>(colours.gain * static_cast<float>(image[i]) + colours.offset[0]);
        }
    }
}

template <class Element>
void WindowImages<Element>::apply(std::span<Element> image, const Window& window,
                                  const Colours& colours) {
    change_colours(image, colours);
    across_.set(window.x, width_);
    down_.set(window.y, height_);
    const auto width = static_cast<std::size_t>(width_);
    Element* to = image.data();
    for (std::size_t c = 0; c < static_cast<std::size_t>(channels_); ++c) {
        std::fill(fill_line_.begin(), fill_line_.end(), fill_[c]);
        line_.front() = line_.back() = fill_[c];
        const auto line_at = [&](std::int32_t index) {
            if (index == 0 || index == height_ + 1)
                return static_cast<const float*>(fill_line_.data());
            const auto row =
                static_cast<std::size_t>(static_cast<std::int64_t>(c) * height_ + index - 1);
            return static_cast<const float*>(values_.data() + row * width);
        };
        for (std::size_t y = 0; y < static_cast<std::size_t>(height_); ++y, to += width) {
            const float* const upper = line_at(down_.first[y]);
            const float* const lower = line_at(down_.second[y]);
            const float down = down_.weight[y];
            for (std::size_t x = 0; x < width; ++x) {
                line_[x + 1] = upper[x] + down * (lower[x] - upper[x]);
            }
            for (std::size_t x = 0; x < width; ++x) {
                const float left = line_[static_cast<std::size_t>(across_.first[x])];
                const float right = line_[static_cast<std::size_t>(across_.second[x])];
                to[x] = stored<Element>(left + across_.weight[x] * (right - left));
            }
        }
    }
}

template class WindowImages<std::uint8_t>;
template class WindowImages<float>;

}  // namespace thresher
