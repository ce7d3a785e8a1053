// Letter-boxing: down, then across, by a triangle filter that widens when shrinking. Samples are in
// 16 bits of fixed point, which is exact enough for 8 bits and the same on every machine.

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "io/importers/image_codec.hpp"
#include "src/base/check.hpp"
#include "src/pool/letter_box.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "io/importers/image_letter_box.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef THRESHER_LETTER_BOX_TAPS
#define THRESHER_LETTER_BOX_TAPS
namespace thresher::io {

/// What each output sample takes from the input: `taps` samples from first[i] on, with weights that
/// add up to 2^16 - 1 or less.
struct FilterTaps {
    std::size_t taps;
    std::vector<std::size_t> first;
    std::vector<std::uint16_t> weights;  ///< [outputs, taps]
};

}  // namespace thresher::io
#endif

HWY_BEFORE_NAMESPACE();
namespace thresher::io::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// One output row from `taps` rows of the input, `stride` bytes each, from `first` on. Even and odd
/// samples apart, as 8.8 fixed point.
HWY_INLINE void filter_rows(std::size_t taps, const std::uint16_t* HWY_RESTRICT weights,
                            const std::uint8_t* HWY_RESTRICT first, std::size_t stride,
                            std::uint8_t* HWY_RESTRICT output) {
    std::size_t x = 0;
#if HWY_TARGET != HWY_SCALAR
    const hn::ScalableTag<std::uint16_t> d;
    const hn::Repartition<std::uint8_t, decltype(d)> bytes;
    const auto half = hn::Set(d, 128), upper = hn::Set(d, 0xFF00);
    for (; x < stride; x += hn::Lanes(bytes)) {
        auto even = half, odd = half;
        for (std::size_t tap = 0; tap < taps; ++tap) {
            const auto both = hn::BitCast(d, hn::LoadU(bytes, first + tap * stride + x));
            const auto weight = hn::Set(d, weights[tap]);
            even = hn::Add(even, hn::MulHigh(hn::ShiftLeft<8>(both), weight));
            odd = hn::Add(odd, hn::MulHigh(hn::And(both, upper), weight));
        }
        const auto both = hn::Or(hn::ShiftRight<8>(even), hn::And(odd, upper));
        hn::StoreU(hn::BitCast(bytes, both), bytes, output + x);
    }
#endif
    for (; x < stride; ++x) {
        std::uint32_t sum = 128;
        for (std::size_t tap = 0; tap < taps; ++tap) {
            const std::uint32_t sample = first[tap * stride + x];
            sum += ((sample << 8) * weights[tap]) >> 16;
        }
        output[x] = static_cast<std::uint8_t>(sum >> 8);
    }
}

/// Output row `row`; reads and writes up to a vector more.
void filter_down(const FilterTaps& taps, std::size_t row, const std::uint8_t* HWY_RESTRICT input,
                 std::size_t stride, std::uint8_t* HWY_RESTRICT output) {
    const std::uint16_t* HWY_RESTRICT weights = taps.weights.data() + row * taps.taps;
    const std::uint8_t* HWY_RESTRICT first = input + taps.first[row] * stride;
    // The usual numbers are known to the compiler, which then keeps the weights at hand.
    if (taps.taps == 2) return filter_rows(2, weights, first, stride, output);
    if (taps.taps == 4) return filter_rows(4, weights, first, stride, output);
    filter_rows(taps.taps, weights, first, stride, output);
}

/// The `columns` pixels of a row of RGB across, to four samples each; `weights` four times each, in
/// pairs of taps.
HWY_INLINE void filter_pixels(const FilterTaps& taps, std::size_t count,
                              const std::uint16_t* HWY_RESTRICT weights, std::size_t columns,
                              const std::uint8_t* HWY_RESTRICT input,
                              std::uint8_t* HWY_RESTRICT output) {
#if HWY_TARGET == HWY_SCALAR
    for (std::size_t x = 0; x < columns; ++x, weights += 4 * count) {
        for (std::size_t c = 0; c < 3; ++c) {
            std::uint32_t sum = 128;
            for (std::size_t tap = 0; tap < count; ++tap) {
                const std::uint32_t sample = input[3 * (taps.first[x] + tap) + c];
                sum += ((sample << 8) * weights[4 * tap]) >> 16;
            }
            output[4 * x + c] = static_cast<std::uint8_t>(sum >> 8);
        }
    }
#else
    const hn::FixedTag<std::uint16_t, 8> d;  // two pixels of four samples
    const hn::Repartition<std::uint64_t, decltype(d)> pixels;
    const hn::Repartition<std::uint8_t, decltype(d)> bytes;
    const hn::Rebind<std::uint8_t, decltype(d)> half_bytes;
    // Two pixels of three bytes to the upper halves of words.
    HWY_ALIGN constexpr std::uint8_t kPlaces[16] = {128, 0, 128, 1, 128, 2, 128, 128,
                                                    128, 3, 128, 4, 128, 5, 128, 128};
    const auto places = hn::Load(bytes, kPlaces);
    const auto sum_of = [&](std::size_t x) HWY_ATTR {
        auto sum = hn::Set(d, 64);  // twice, so that 128 rounds
        const std::uint8_t* HWY_RESTRICT from = input + 3 * taps.first[x];
        for (std::size_t tap = 0; tap < count; tap += 2) {
            const auto two = hn::TableLookupBytesOr0(hn::LoadU(bytes, from + 3 * tap), places);
            sum = hn::Add(sum, hn::MulHigh(hn::BitCast(d, two), hn::LoadU(d, weights)));
            weights += 8;
        }
        return hn::BitCast(pixels, sum);
    };
    for (std::size_t x = 0; x < columns; x += 2) {
        const auto left = sum_of(x), right = sum_of(std::min(x + 1, columns - 1));
        const auto sum = hn::Add(hn::BitCast(d, hn::InterleaveLower(pixels, left, right)),
                                 hn::BitCast(d, hn::InterleaveUpper(pixels, left, right)));
        hn::StoreU(hn::DemoteTo(half_bytes, hn::BitCast(hn::RebindToSigned<decltype(d)>(),
                                                        hn::ShiftRight<8>(sum))),
                   half_bytes, output + 4 * x);
    }
#endif
}

void filter_across(const FilterTaps& taps, const std::uint16_t* HWY_RESTRICT weights,
                   std::size_t columns, const std::uint8_t* HWY_RESTRICT input,
                   std::uint8_t* HWY_RESTRICT output) {
    if (taps.taps == 2) return filter_pixels(taps, 2, weights, columns, input, output);
    if (taps.taps == 4) return filter_pixels(taps, 4, weights, columns, input, output);
    filter_pixels(taps, taps.taps, weights, columns, input, output);
}

/// Of pixels of four samples, the first `channels` to planes.
void split_planes(const std::uint8_t* HWY_RESTRICT pixels, std::size_t columns,
                  std::size_t channels, std::uint8_t* HWY_RESTRICT planes, std::size_t plane) {
    const hn::ScalableTag<std::uint8_t> d;
    std::size_t x = 0;
    for (; channels == 3 && x + hn::Lanes(d) <= columns; x += hn::Lanes(d)) {
        auto r = hn::Zero(d), g = r, b = r, rest = r;
        hn::LoadInterleaved4(d, pixels + 4 * x, r, g, b, rest);
        hn::StoreU(r, d, planes + x);
        hn::StoreU(g, d, planes + plane + x);
        hn::StoreU(b, d, planes + 2 * plane + x);
    }
    for (; x < columns; ++x) {
        for (std::size_t c = 0; c < channels; ++c) planes[c * plane + x] = pixels[4 * x + c];
    }
}

}  // namespace thresher::io::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace thresher::io {

HWY_EXPORT(filter_down);
HWY_EXPORT(filter_across);
HWY_EXPORT(split_planes);

namespace {

constexpr std::size_t kPadding = 128;  ///< bytes that vectors may read behind a row, and more

/// A triangle filter for `to` output samples over the first `extent` of `from` input samples.
FilterTaps taps_for(std::int64_t from, double extent, std::int64_t to) {
    const double step = extent / static_cast<double>(to);
    const double reach = std::max(1.0, step);
    FilterTaps all;
    // Even, as the filter across takes them in pairs.
    all.taps = 2 * ((static_cast<std::size_t>(std::floor(2.0 * reach)) + 2) / 2);
    all.taps = std::min(all.taps, static_cast<std::size_t>((from + 1) / 2 * 2));
    std::vector<double> weights(all.taps);
    for (std::int64_t i = 0; i < to; ++i) {
        const double centre = (static_cast<double>(i) + 0.5) * step - 0.5;
        const auto first = std::clamp<std::int64_t>(
            static_cast<std::int64_t>(std::floor(centre - reach)) + 1, 0,
            std::max<std::int64_t>(0, from - static_cast<std::int64_t>(all.taps)));
        double sum = 0.0;
        for (std::size_t j = 0; j < all.taps; ++j) {
            const auto sample = first + static_cast<std::int64_t>(j);
            const double distance = std::abs(static_cast<double>(sample) - centre);
            weights[j] = sample < from ? std::max(0.0, 1.0 - distance / reach) : 0.0;
            sum += weights[j];
        }
        all.first.push_back(static_cast<std::size_t>(first));
        std::int64_t left = 0xFFFF;
        for (std::size_t j = 0; j < all.taps; ++j) {
            const auto weight = static_cast<std::int64_t>(65535.0 * weights[j] / sum);
            all.weights.push_back(static_cast<std::uint16_t>(weight));
            left -= weight;
        }
        // Rounded down above, so that they never exceed one; the largest takes what is left.
        const auto begin = all.weights.end() - static_cast<std::ptrdiff_t>(all.taps);
        *std::max_element(begin, all.weights.end()) += static_cast<std::uint16_t>(left);
    }
    return all;
}

/// Bytes that are not set before they are written.
struct Bytes {
    std::unique_ptr<std::uint8_t[]> bytes;
    explicit Bytes(std::size_t size = 0) : bytes(new std::uint8_t[size]) {}
};

/// What was decoded, as RGB. Behind the last row is room for one more, as a
/// filter of an even number of taps may read there, with no weight.
struct Pixels {
    Bytes buffer;
    ReducedImage size;

    unsigned char* room(std::int64_t width, std::int64_t height) {
        buffer = Bytes(static_cast<std::size_t>(3 * width * (height + 1)) + kPadding);
        return buffer.bytes.get();
    }

    /// To half the size, by the mean of four.
    void halve() {
        const auto width = static_cast<std::size_t>(size.width),
                   height = static_cast<std::size_t>(size.height);
        std::uint8_t* to = buffer.bytes.get();
        for (std::size_t y = 0; y < height; y += 2) {
            const std::uint8_t* above = buffer.bytes.get() + y * 3 * width;
            const std::uint8_t* below = above + (y + 1 < height ? 3 * width : 0);
            for (std::size_t x = 0; x < width; x += 2) {
                const std::size_t left = 3 * x, right = x + 1 < width ? left + 3 : left;
                for (std::size_t c = 0; c < 3; ++c) {
                    const int sum =
                        above[left + c] + above[right + c] + below[left + c] + below[right + c];
                    *to++ = static_cast<std::uint8_t>((sum + 2) / 4);
                }
            }
        }
        size.width = (size.width + 1) / 2;
        size.height = (size.height + 1) / 2;
        size.reduction *= 2;
    }
};

Pixels decode_pixels(std::string_view file, std::int64_t channels, std::int64_t size) {
    Pixels pixels;
    if (channels == 1) {
        const Image grey = decode_image(file, 1);
        std::uint8_t* to = pixels.room(grey.width, grey.height);
        for (const unsigned char value : grey.pixels) to = std::fill_n(to, 3, value);
        pixels.size = {grey.width, grey.height, grey.width, grey.height, 1};
    } else {
        pixels.size = decode_reduced(file, 3, size, [&](std::int64_t width, std::int64_t height) {
            return pixels.room(width, height);
        });
    }
    // Many taps would have weights too small for 16 bits.
    while (std::max(pixels.size.width, pixels.size.height) >= 4 * size) pixels.halve();
    return pixels;
}

/// What lies right of the image and below it.
void fill_margins(std::uint8_t* planes, std::size_t channels, std::size_t side,
                  const LetterBox& box) {
    const auto width = static_cast<std::size_t>(box.width),
               height = static_cast<std::size_t>(box.height);
    for (std::size_t c = 0; c < channels; ++c, planes += side * side) {
        for (std::size_t y = 0; y < height && width < side; ++y) {
            std::fill_n(planes + y * side + width, side - width, kLetterBoxGrey);
        }
        std::fill_n(planes + height * side, (side - height) * side, kLetterBoxGrey);
    }
}

}  // namespace

ImageSize decode_letter_boxed(std::string_view file, std::int64_t channels, std::int64_t size,
                              std::span<std::byte> planes) {
    THRESHER_CHECK(
        (channels == 1 || channels == 3) && std::cmp_equal(planes.size(), channels * size * size),
        "{} planes of {} x {} into {} bytes", channels, size, size, planes.size());
    const Pixels pixels = decode_pixels(file, channels, size);
    const ReducedImage& decoded = pixels.size;
    const LetterBox box = LetterBox::of(decoded.whole_width, decoded.whole_height, size);
    const auto reduced = [&](std::int64_t side) {
        return static_cast<double>(side) / static_cast<double>(decoded.reduction);
    };
    const FilterTaps down = taps_for(decoded.height, reduced(decoded.whole_height), box.height);
    const FilterTaps across = taps_for(decoded.width, reduced(decoded.whole_width), box.width);
    std::vector<std::uint16_t> weights;
    for (const std::uint16_t weight : across.weights) weights.insert(weights.end(), 4, weight);
    weights.resize(weights.size() + 4 * across.taps);  // columns are taken in pairs
    const auto stride = static_cast<std::size_t>(3 * decoded.width);
    const auto side = static_cast<std::size_t>(size), columns = static_cast<std::size_t>(box.width);
    const Bytes row(stride + kPadding), narrow(4 * columns + kPadding);
    auto* output = reinterpret_cast<std::uint8_t*>(planes.data());
    fill_margins(output, static_cast<std::size_t>(channels), side, box);
    for (std::size_t y = 0; y < static_cast<std::size_t>(box.height); ++y) {
        HWY_DYNAMIC_DISPATCH(filter_down)
        (down, y, pixels.buffer.bytes.get(), stride, row.bytes.get());
        HWY_DYNAMIC_DISPATCH(filter_across)
        (across, weights.data(), columns, row.bytes.get(), narrow.bytes.get());
        HWY_DYNAMIC_DISPATCH(split_planes)
        (narrow.bytes.get(), columns, static_cast<std::size_t>(channels), output + y * side,
         side * side);
    }
    return {decoded.whole_width, decoded.whole_height};
}

}  // namespace thresher::io

#endif
