#pragma once

// A window of an image that becomes an image of the same size, its colours changed. Used inside
// training.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace thresher {

/// Part of one axis: [begin, begin + length) becomes all of it, mirrored or not. What is beyond the
/// image but within the canvas, which holds both, is filled.
struct WindowAxis {
    double begin = 0.0, length = 0.0;
    std::int64_t canvas_begin = 0, canvas_end = 0;
    bool mirror = false;

    /// Where `place` of the image is afterwards, on an axis of `extent`.
    double map(double place, double extent) const {
        const double mapped = (place - begin) * extent / length;
        return mirror ? extent - mapped : mapped;
    }
};

struct Window {
    WindowAxis x, y;
};

/// A pixel of three channels becomes matrix pixel + offset; of any other number, each channel
/// gain value + offset[0].
struct Colours {
    bool changed = false;
    float gain = 1.0F;
    std::array<std::array<float, 3>, 3> matrix{};
    std::array<float, 3> offset{};
};

/// Makes such images; keeps its buffers.
template <class Element>
class WindowImages {
  public:
    /// `fill` [channels]: in units of the image.
    WindowImages(std::int64_t channels, std::int64_t height, std::int64_t width,
                 std::vector<float> fill);

    /// Changes `image` [channels, height, width]; u8 is clipped and rounded.
    void apply(std::span<Element> image, const Window& window, const Colours& colours);

  private:
    /// The values between which each of the result's lies, by index into a line that has the fill
    /// at either end, and how far it is from the first.
    struct Taps {
        std::vector<std::int32_t> first, second;
        std::vector<float> weight;

        void set(const WindowAxis& axis, std::int64_t extent);
    };

    void change_colours(std::span<const Element> image, const Colours& colours);

    std::int64_t channels_, height_, width_;
    std::vector<float> fill_, values_, line_, fill_line_;
    Taps across_, down_;
};

}  // namespace thresher
