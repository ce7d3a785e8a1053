#include "src/training/prioritised/sub_batch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

namespace thresher {

std::vector<float> SubBatch::weights_of(RowRange chosen) const {
    if (weights.empty()) return {};
    return {weights.begin() + chosen.begin, weights.begin() + chosen.end};
}

SubBatch described_choice(std::span<const float> scores, std::vector<std::int64_t> places) {
    SubBatch choice;
    choice.places = std::move(places);
    std::int64_t finite = 0;
    for (const float score : scores) {
        if (!std::isfinite(score)) continue;
        choice.candidate_score += score;
        ++finite;
    }
    choice.without_score = std::ssize(scores) - finite;
    choice.candidate_score /= static_cast<double>(finite);
    for (const std::int64_t place : choice.places) {
        choice.chosen_score += scores[static_cast<std::size_t>(place)];
    }
    choice.chosen_score /= static_cast<double>(choice.places.size());
    return choice;
}

SubBatch first_candidates(std::int64_t candidates, std::int64_t size) {
    SubBatch choice;
    choice.without_score = candidates;
    choice.places.resize(static_cast<std::size_t>(size));
    std::iota(choice.places.begin(), choice.places.end(), std::int64_t{0});
    choice.candidate_score = choice.chosen_score = std::numeric_limits<double>::quiet_NaN();
    return choice;
}

SubBatch choose_sub_batch(Collective& collective, std::span<const float> own_scores,
                          std::int64_t size, const Selector& selector) {
    const std::vector<float> scores = collective.all_gather_v(own_scores).values;
    const auto finite = std::count_if(scores.begin(), scores.end(),
                                      [](float score) { return std::isfinite(score); });
    if (finite == 0) return first_candidates(std::ssize(scores), size);
    const auto alone = make_local_collective();
    Selection selection =
        select_rows(*alone, {scores, 0, {}, {}}, std::min<std::int64_t>(size, finite), selector);
    std::map<std::int64_t, double> inclusion;
    for (std::size_t i = 0; i < selection.inclusion.size(); ++i) {
        inclusion[selection.ids[i]] = selection.inclusion[i];
    }
    std::sort(selection.ids.begin(), selection.ids.end());
    SubBatch choice = described_choice(scores, std::move(selection.ids));
    const double share =
        static_cast<double>(choice.places.size()) / static_cast<double>(selection.selectable);
    for (const auto& [place, probability] : inclusion) {
        choice.weights.push_back(static_cast<float>(share / probability));
    }
    return choice;
}

namespace {

/// What travels with the inputs of a row, behind which lie its tokens.
struct Row {
    std::int64_t target, clean_target, id, image_id, caption_of;
    std::int64_t token_bytes;  ///< the same for all rows
};

/// Takes the tokens out from behind the inputs of each row.
void split_tokens(std::int64_t rows, std::size_t token_bytes, Examples& chosen) {
    const std::size_t row_bytes = chosen.inputs.size() / static_cast<std::size_t>(rows);
    const std::size_t input_bytes = row_bytes - token_bytes;
    const std::vector<std::byte> together = std::move(chosen.inputs);
    chosen.inputs.clear();
    chosen.tokens.resize(static_cast<std::size_t>(rows) * token_bytes / sizeof(std::int32_t));
    auto* tokens = reinterpret_cast<std::byte*>(chosen.tokens.data());
    for (auto row = together.begin(); row != together.end();) {
        const auto inputs_end = row + static_cast<std::ptrdiff_t>(input_bytes);
        chosen.inputs.insert(chosen.inputs.end(), row, inputs_end);
        row = inputs_end + static_cast<std::ptrdiff_t>(token_bytes);
        tokens = std::copy(inputs_end, row, tokens);
    }
}

}  // namespace

void move_chosen(Collective& collective, const Examples& candidates, RowRange own_places,
                 std::span<const std::int64_t> places, const ShardPlan& plan, Examples& chosen) {
    const auto value_of = [](const std::vector<std::int64_t>& values, std::size_t row) {
        return values.empty() ? -1 : values[row];
    };
    const std::size_t own_rows = static_cast<std::size_t>(own_places.size());
    // A rank without candidates does not know how large an input is, and sends none.
    const std::size_t row_bytes = own_rows == 0 ? 0 : candidates.inputs.size() / own_rows;
    const auto tokens = std::as_bytes(std::span(candidates.tokens));
    const std::size_t token_bytes = own_rows == 0 ? 0 : tokens.size() / own_rows;
    const auto chosen_rows = std::ssize(places);
    std::vector<std::byte> outgoing_inputs;
    std::vector<Row> outgoing_rows;
    std::vector<std::int64_t> counts, byte_counts;
    for (int rank = 0; rank < plan.ranks; ++rank) {
        const RowRange wanted = plan.rank_rows(chosen_rows, rank);
        std::int64_t count = 0;
        for (std::int64_t i = wanted.begin; i < wanted.end; ++i) {
            const std::int64_t place = places[static_cast<std::size_t>(i)];
            if (place < own_places.begin || place >= own_places.end) continue;
            const auto local = static_cast<std::size_t>(place - own_places.begin);
            const std::byte* input = candidates.inputs.data() + local * row_bytes;
            outgoing_inputs.insert(outgoing_inputs.end(), input, input + row_bytes);
            const auto caption = tokens.subspan(local * token_bytes, token_bytes);
            outgoing_inputs.insert(outgoing_inputs.end(), caption.begin(), caption.end());
            outgoing_rows.push_back(
                {candidates.targets[local], value_of(candidates.clean_targets, local),
                 candidates.ids[local], value_of(candidates.image_ids, local),
                 value_of(candidates.caption_of, local), static_cast<std::int64_t>(token_bytes)});
            ++count;
        }
        counts.push_back(count);
        byte_counts.push_back(count * static_cast<std::int64_t>(row_bytes + token_bytes));
    }
    chosen.inputs =
        collective.all_to_all_v(std::span<const std::byte>(outgoing_inputs), byte_counts).values;
    const std::vector<Row> rows =
        collective.all_to_all_v(std::span<const Row>(outgoing_rows), counts).values;
    chosen.targets.clear();
    chosen.clean_targets.clear();
    chosen.ids.clear();
    chosen.tokens.clear();
    chosen.image_ids.clear();
    chosen.caption_of.clear();
    for (const Row& row : rows) {
        chosen.targets.push_back(row.target);
        chosen.clean_targets.push_back(row.clean_target);
        chosen.ids.push_back(row.id);
    }
    if (rows.empty() || rows.front().token_bytes == 0) return;
    for (const Row& row : rows) {
        chosen.image_ids.push_back(row.image_id);
        chosen.caption_of.push_back(row.caption_of);
    }
    split_tokens(std::ssize(rows), static_cast<std::size_t>(rows.front().token_bytes), chosen);
}

}  // namespace thresher
