#pragma once

// Candidates as a policy sees them: features that say what kind of example each is, never which
// one, and places between which distances are taken.

#include <cstdint>
#include <span>
#include <vector>

namespace thresher {

struct CandidateSet {
    std::int64_t rows = 0;          ///< N
    std::int64_t width = 0;         ///< F
    std::vector<float> features;    ///< [N, F], standardised
    std::vector<float> difficulty;  ///< [N], entropy of the model's prediction; or empty
    std::int64_t dimensions = 0;    ///< d
    std::vector<float> places;      ///< [N, d]; embeddings
    double scale = 1.0;             ///< root mean square of the distance between two places
    std::vector<float> distances;   ///< [N, N] in units of `scale`; empty where N is large
};

/// Fills `scale`, and `distances` where there are up to `all_pairs` candidates. Local.
void measure_distances(CandidateSet& candidates, std::int64_t all_pairs = 1024);

/// Distances, in units of the scale, of all candidates to one of them: `to` [N]. Local.
void distances_from(const CandidateSet& candidates, std::int32_t from, std::span<float> to);

/// How far each candidate is from the nearest that is picked, in units of the scale; infinite where
/// none is.
class Nearness {
  public:
    explicit Nearness(const CandidateSet& candidates);

    void pick(std::int32_t candidate);
    float operator[](std::int32_t candidate) const {
        return distances_[static_cast<std::size_t>(candidate)];
    }

  private:
    const CandidateSet& candidates_;
    std::vector<float> distances_, of_pick_;
};

}  // namespace thresher
