#pragma once

// Ground truth and detections that tests write down box by box, or draw.

#include <cstdint>
#include <random>
#include <vector>

#include "src/detection/boxes.hpp"

namespace thresher::test {

struct Scene {
    std::vector<std::int64_t> image_ids, offsets{0}, truth_classes, images, classes;
    std::vector<Box> truth_boxes, boxes;
    std::vector<std::uint8_t> flags;
    std::vector<double> areas, scores;

    /// Later objects and detections are in it.
    void image(std::int64_t id) {
        image_ids.push_back(id);
        offsets.push_back(offsets.back());
    }
    void object(const Box& box, std::int64_t of = 0, std::uint8_t flag = 0, double area = -1.0) {
        truth_boxes.push_back(box);
        truth_classes.push_back(of);
        flags.push_back(flag);
        areas.push_back(area < 0.0 ? box.area : area);
        ++offsets.back();
    }
    void detection(const Box& box, double score, std::int64_t of = 0) {
        images.push_back(static_cast<std::int64_t>(image_ids.size()) - 1);
        boxes.push_back(box);
        classes.push_back(of);
        scores.push_back(score);
    }

    TruthBoxes truth() const {
        return {image_ids, offsets, truth_boxes, truth_classes, flags, areas};
    }
    Detections detections() const { return {images, boxes, classes, scores}; }

    /// The images at these places, in this order.
    Scene part(const std::vector<std::size_t>& places) const {
        Scene scene;
        for (const std::size_t i : places) {
            scene.image(image_ids[i]);
            for (auto j = static_cast<std::size_t>(offsets[i]);
                 j < static_cast<std::size_t>(offsets[i + 1]); ++j) {
                scene.object(truth_boxes[j], truth_classes[j], flags[j], areas[j]);
            }
            for (std::size_t d = 0; d < images.size(); ++d) {
                if (static_cast<std::size_t>(images[d]) == i) {
                    scene.detection(boxes[d], scores[d], classes[d]);
                }
            }
        }
        return scene;
    }
};

/// A square that begins at (x, 0).
inline Box square(double x, double side) { return Box::of_size(x, 0.0, side, side); }

/// Images of many sizes of objects, crowds and difficult ones among them; detections that are near
/// objects or anywhere, with few different scores, so that many tie. Coordinates are whole, so many
/// overlaps are equal or lie on a threshold.
inline Scene random_scene(std::uint32_t seed, int images, int classes) {
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    const auto box = [&] {
        const int largest = below(3) == 0 ? 200 : below(2) == 0 ? 60 : 20;
        return Box::of_size(below(40), below(40), 1 + below(largest), 1 + below(largest));
    };
    Scene scene;
    for (int i = 0; i < images; ++i) {
        scene.image(1000 - 7 * i);
        std::vector<Box> here;
        for (int j = below(8); j > 0; --j) {
            here.push_back(box());
            const auto flag = static_cast<std::uint8_t>(below(6) == 0   ? kCrowd
                                                        : below(6) == 0 ? kDifficult
                                                                        : 0);
            const double area = below(4) == 0 ? below(20000) : -1.0;
            scene.object(here.back(), below(classes), flag, area);
        }
        for (int j = below(i % 10 == 0 ? 250 : 20); j > 0; --j) {
            Box found = box();
            if (!here.empty() && below(3) > 0) {
                const Box& near =
                    here[static_cast<std::size_t>(below(static_cast<int>(here.size())))];
                found = Box::of_size(near.x0 + below(5), near.y0 + below(5),
                                     std::max(1.0, near.x1 - near.x0 - below(5)),
                                     std::max(1.0, near.y1 - near.y0 - below(5)));
            }
            scene.detection(found, below(16) / 16.0, below(classes));
        }
    }
    return scene;
}

}  // namespace thresher::test
