#pragma once

// A test bed for detection: scenes of small classified images, such as digits, on a noisy ground,
// with the boxes they fill. How often each class is met, and how many scenes hold nothing to learn
// from, is known, as it never is of photographs. What stands in a scene is keyed by (seed, scene):
// it depends on no rank, and not on how many scenes there are.

#include <cstdint>
#include <span>
#include <vector>

#include "src/pool/boxes.hpp"

namespace thresher {

struct SceneOptions {
    std::int64_t size = 64;            ///< height and width of a scene
    std::vector<double> class_shares;  ///< [classes], of the items; their sum is 1
    double junk = 0.0;                 ///< share of the scenes that hold fragments and no object
    double alike = 0.0;                ///< share of the others whose items are all of one class
    double noise = 1.0;                ///< strength of the ground; 0: black
    std::uint64_t seed = 0;
};

/// Where the items of scenes come from: rows of a pool of images.
struct SceneRows {
    std::vector<std::vector<std::int64_t>> of_class;  ///< [classes]; none where the share is 0
    std::vector<std::int64_t> clutter;                ///< what is cut to fragments
};

/// One image that a scene shows.
struct SceneItem {
    std::int64_t row = 0;
    std::int32_t class_index = -1;  ///< -1: a fragment of it, no object
};

struct Scene {
    std::vector<std::uint8_t> pixels;  ///< [size, size]
    std::vector<LabelledBox> boxes;    ///< tight around what is seen of the item; area in pixels
};

class SceneMaker {
  public:
    /// Items are images of `height` x `width`, not larger than a scene. `rows` must outlive this.
    SceneMaker(const SceneOptions& options, const SceneRows& rows, std::int64_t height,
               std::int64_t width);

    bool is_junk(std::int64_t scene) const;
    /// What scene `scene` shows: one to four items, or two to six fragments.
    std::vector<SceneItem> items(std::int64_t scene) const;
    /// The scene of these items; `images` [items, height, width]. An item that finds no place
    /// without covering others is left out, and so is one of which half a side is not seen.
    Scene compose(std::int64_t scene, std::span<const SceneItem> items,
                  std::span<const std::uint8_t> images) const;

  private:
    SceneOptions options_;
    const SceneRows& rows_;
    std::int64_t height_, width_;
};

}  // namespace thresher
