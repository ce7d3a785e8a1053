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

void move_chosen(Collective& collective, const Examples& candidates, RowRange own_places,
                 std::span<const std::int64_t> places, const ShardPlan& plan, Examples& chosen) {
    // Bytes that a row has of each field. A rank without candidates does not know, and sends none.
    std::vector<std::int64_t> widths;
    visit_fields([&](auto field) {
        const auto bytes = std::ssize(std::as_bytes(std::span(candidates.*field)));
        widths.push_back(own_places.size() == 0 ? 0 : bytes / own_places.size());
    });
    collective.all_reduce_max(widths);

    std::vector<std::byte> outgoing;
    std::vector<std::int64_t> counts;
    for (int rank = 0; rank < plan.ranks; ++rank) {
        const RowRange wanted = plan.rank_rows(std::ssize(places), rank);
        const auto before = std::ssize(outgoing);
        for (std::int64_t i = wanted.begin; i < wanted.end; ++i) {
            const std::int64_t place = places[static_cast<std::size_t>(i)];
            if (place < own_places.begin || place >= own_places.end) continue;
            auto width = widths.begin();
            visit_fields([&](auto field) {
                const auto all = std::as_bytes(std::span(candidates.*field));
                const auto row = all.begin() + (place - own_places.begin) * *width;
                outgoing.insert(outgoing.end(), row, row + *width);
                ++width;
            });
        }
        counts.push_back(std::ssize(outgoing) - before);
    }
    const std::vector<std::byte> incoming =
        collective.all_to_all_v(std::span<const std::byte>(outgoing), counts).values;

    const auto row_bytes = std::accumulate(widths.begin(), widths.end(), std::int64_t{0});
    auto width = widths.begin();
    std::int64_t begin = 0;  // of the field in a row
    visit_fields([&](auto field) {
        auto& values = chosen.*field;
        values.resize(incoming.size() / static_cast<std::size_t>(row_bytes) *
                      (static_cast<std::size_t>(*width) / sizeof(values[0])));
        auto to = std::as_writable_bytes(std::span(values)).begin();
        for (std::int64_t row = begin; row < std::ssize(incoming); row += row_bytes) {
            to = std::copy_n(incoming.begin() + row, *width, to);
        }
        begin += *width++;
    });
}

}  // namespace thresher
