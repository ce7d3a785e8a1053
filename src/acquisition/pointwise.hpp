#pragma once

// The acquisitions that score each row by itself, or against rows that are the same for all.
// Formulas in the table of acquisition.cpp.

#include <span>

#include "src/acquisition/acquisition.hpp"

namespace thresher {

void score_random(const PredictionView& predictions, std::span<float> scores);

void score_least_confidence(const PredictionView& predictions, std::span<float> scores);
void score_margin(const PredictionView& predictions, std::span<float> scores);
void score_entropy(const PredictionView& predictions, std::span<float> scores);
void score_expected_entropy(const PredictionView& predictions, std::span<float> scores);
void score_bald(const PredictionView& predictions, std::span<float> scores);
void score_mean_std(const PredictionView& predictions, std::span<float> scores);
void score_variation_ratio(const PredictionView& predictions, std::span<float> scores);
void score_vote_entropy(const PredictionView& predictions, std::span<float> scores);
void score_el2n(const PredictionView& predictions, std::span<float> scores);
void score_epig(const PredictionView& predictions, std::span<float> scores);

void score_gradient_norm(const PredictionView& predictions, std::span<float> scores);
void score_distance_to_labelled(const PredictionView& predictions, std::span<float> scores);
void score_typicality(const PredictionView& predictions, std::span<float> scores);

void score_box_entropy(const PredictionView& predictions, std::span<float> scores);
void score_box_margin(const PredictionView& predictions, std::span<float> scores);
void score_box_least_confidence(const PredictionView& predictions, std::span<float> scores);
void score_box_flip(const PredictionView& predictions, std::span<float> scores);
void score_box_discrepancy(const PredictionView& predictions, std::span<float> scores);

void score_predicted_loss(const PredictionView& predictions, std::span<float> scores);
void score_hard_learner(const PredictionView& predictions, std::span<float> scores);
void score_easy_reference(const PredictionView& predictions, std::span<float> scores);
void score_learnability(const PredictionView& predictions, std::span<float> scores);

}  // namespace thresher
