#include <algorithm>
#include <cmath>

#include "io/importers/image_codec.hpp"

namespace thresher::io {

namespace {

/// What one output sample takes from the input: weights of samples first, first + 1, ...
struct Taps {
    std::int64_t first;
    std::vector<float> weights;
};

/// A triangle filter over [begin, begin + extent) of `from` samples, for `to` output samples.
std::vector<Taps> taps_for(std::int64_t from, std::int64_t to, double begin, double extent) {
    const double step = extent / static_cast<double>(to);
    const double reach = std::max(1.0, step);
    std::vector<Taps> all;
    for (std::int64_t i = 0; i < to; ++i) {
        const double centre = begin + (static_cast<double>(i) + 0.5) * step - 0.5;
        const auto first =
            std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(centre - reach)));
        const auto last =
            std::min<std::int64_t>(from - 1, static_cast<std::int64_t>(std::floor(centre + reach)));
        Taps taps{std::min(first, from - 1), {}};
        double sum = 0.0;
        std::vector<double> weights;
        for (std::int64_t j = taps.first; j <= std::max(taps.first, last); ++j) {
            weights.push_back(
                std::max(1e-9, 1.0 - std::abs(static_cast<double>(j) - centre) / reach));
            sum += weights.back();
        }
        for (double weight : weights) taps.weights.push_back(static_cast<float>(weight / sum));
        all.push_back(std::move(taps));
    }
    return all;
}

}  // namespace

Image resized(const Image& image, std::int64_t size, Resize how) {
    const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
    const double side = std::min(width, height);
    const bool crop = how == Resize::crop;
    const auto across =
        taps_for(image.width, size, crop ? (width - side) / 2 : 0.0, crop ? side : width);
    const auto down =
        taps_for(image.height, size, crop ? (height - side) / 2 : 0.0, crop ? side : height);
    const auto channels = static_cast<std::size_t>(image.channels);
    const auto columns = static_cast<std::size_t>(size),
               input_columns = static_cast<std::size_t>(image.width);

    std::vector<float> narrow(static_cast<std::size_t>(image.height) * columns * channels, 0.0F);
    for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) {
        for (std::size_t x = 0; x < columns; ++x) {
            for (std::size_t j = 0; j < across[x].weights.size(); ++j) {
                const std::size_t from =
                    (y * input_columns + static_cast<std::size_t>(across[x].first) + j) * channels;
                for (std::size_t c = 0; c < channels; ++c) {
                    narrow[(y * columns + x) * channels + c] +=
                        across[x].weights[j] * static_cast<float>(image.pixels[from + c]);
                }
            }
        }
    }
    Image result{size, size, image.channels, {}};
    result.pixels.resize(columns * columns * channels);
    std::vector<float> row(columns * channels);
    for (std::size_t y = 0; y < columns; ++y) {
        std::fill(row.begin(), row.end(), 0.0F);
        for (std::size_t j = 0; j < down[y].weights.size(); ++j) {
            const float* from =
                narrow.data() + (static_cast<std::size_t>(down[y].first) + j) * row.size();
            for (std::size_t i = 0; i < row.size(); ++i) row[i] += down[y].weights[j] * from[i];
        }
        for (std::size_t i = 0; i < row.size(); ++i) {
            result.pixels[y * row.size() + i] =
                static_cast<unsigned char>(std::clamp(std::lround(row[i]), 0L, 255L));
        }
    }
    return result;
}

}  // namespace thresher::io
