#include "src/training/prioritised/pair_values.hpp"

#include <vector>

namespace thresher {

namespace {

/// One part of every candidate's row of numbers.
std::vector<float> column(std::span<const float> values, std::int64_t stride, std::int64_t first,
                          std::int64_t width) {
    std::vector<float> part;
    part.reserve(values.size() / static_cast<std::size_t>(stride) *
                 static_cast<std::size_t>(width));
    for (std::int64_t row = 0; row < std::ssize(values); row += stride) {
        const auto some =
            values.subspan(static_cast<std::size_t>(row + first), static_cast<std::size_t>(width));
        part.insert(part.end(), some.begin(), some.end());
    }
    return part;
}

}  // namespace

SubBatch choose_pairs(Collective& collective, std::span<const float> values,
                      const PairLayout& layout, const JointDraw& draw) {
    const std::int64_t stride = layout.values(), second = 2 * layout.online;
    const std::vector<float> online_images = column(values, stride, 0, layout.online);
    const std::vector<float> online_captions = column(values, stride, layout.online, layout.online);
    const std::vector<float> images = column(values, stride, second, layout.reference);
    const std::vector<float> captions =
        column(values, stride, second + layout.reference, layout.reference);
    return choose_joint_sub_batch(collective, {online_images, online_captions, layout.online},
                                  {images, captions, layout.reference}, draw);
}

}  // namespace thresher
