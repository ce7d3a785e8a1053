#pragma once

// The acquisitions that score each row by itself. Formulas in the table of acquisition.cpp.

#include <span>

#include "src/acquisition/acquisition.hpp"

namespace thresher {

void score_random(const PredictionView& predictions, std::span<float> scores);
void score_least_confidence(const PredictionView& predictions, std::span<float> scores);
void score_margin(const PredictionView& predictions, std::span<float> scores);
void score_entropy(const PredictionView& predictions, std::span<float> scores);
void score_hard_learner(const PredictionView& predictions, std::span<float> scores);
void score_easy_reference(const PredictionView& predictions, std::span<float> scores);
void score_learnability(const PredictionView& predictions, std::span<float> scores);

}  // namespace thresher
