#pragma once

// From a detector's outputs to detections: scores, decoded boxes cut at the image, and of those of
// a class that overlap the best one.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "src/models/model_spec.hpp"

namespace thresher {

struct ModelOutputs;  // src/models/tensors.hpp

/// What a detector's outputs mean (src/models/tensors.hpp).
enum class DetectorKind { ssd, retinanet, user };

/// Throws Error where `spec` is no detector's.
DetectorKind detector_kind(const ModelSpec& spec);

struct DetectOptions {
    double score_threshold = 0.01;  ///< lower scores are not looked at
    double overlap = 0.45;          ///< non-maximum suppression
    std::int64_t candidates = 400;  ///< of a class and image (ssd) or level (retinanet), at most
    std::int64_t most = 200;        ///< detections of an image
};

/// torchvision's for this kind of detector; of a user's all that it found, but no more than 300 of
/// an image. Throws Error where `spec` is no detector's.
DetectOptions detect_options(const ModelSpec& spec);

/// Of one image, by falling score.
struct ImageDetections {
    std::vector<float> corners;         ///< [D, 4], pixels of the input
    std::vector<float> scores;          ///< [D]
    std::vector<std::int64_t> classes;  ///< [D]
    std::vector<std::int64_t> anchors;  ///< [D], that found it; empty where they are not known
};

class Detect {
  public:
    /// Throws Error where `spec` is no detector's. Local.
    Detect(const ModelSpec& spec, const DetectOptions& options);
    /// With these anchors [A, 4] in place of the spec's, of which the levels have so many each.
    Detect(const ModelSpec& spec, const DetectOptions& options, std::vector<float> anchors,
           std::vector<std::int64_t> levels);

    /// The detections of each of the n images of `outputs`, which may be on any device. Local.
    std::vector<ImageDetections> operator()(const ModelOutputs& outputs) const;

  private:
    struct Candidates;

    std::int64_t columns() const;  ///< of logits
    /// Where an anchor's code says that the object is, before it is cut at the image.
    std::array<float, 4> box_at(std::size_t anchor, std::span<const float> codes) const;
    ImageDetections detect(std::span<const float> logits, std::span<const float> codes) const;
    void find_softmax(std::span<const float> logits, Candidates& candidates) const;
    void find_retinanet(std::span<const float> logits, Candidates& candidates) const;

    ModelSpec spec_;
    DetectorKind kind_;
    DetectOptions options_;
    std::vector<float> anchors_;
    std::vector<std::int64_t> levels_;
};

}  // namespace thresher
