#include "src/policy/heads/heads.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "src/base/check.hpp"
#include "src/policy/heads/families.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kOutputs = std::int64_t{1} << 16;  // that have noise of their own

void check_picks(std::int64_t picks, std::int64_t candidates) {
    THRESHER_CHECK_AS(UsageError, picks >= 1 && picks <= candidates,
                      "a batch of {} is to be picked from {} candidates; it must have from 1 to "
                      "so many",
                      picks, candidates);
}

/// Of the cell's step inputs for one candidate, and of its state.
double input_flops(const PolicyShape& shape) {
    return 2.0 * static_cast<double>(std::tuple_size_v<StepInputs>) *
           static_cast<double>(4 * shape.hidden);
}
double state_flops(const PolicyShape& shape) {
    return 2.0 * static_cast<double>(shape.hidden * (4 * shape.hidden + 1));  // and the value
}
double output_flops(const PolicyShape& shape) {
    return 2.0 * static_cast<double>(shape.hidden * shape.outputs);
}

/// Every candidate that is left is tried before each pick, from one state.
double flops_of_trials(const PolicyShape& shape, std::int64_t candidates, std::int64_t picks) {
    const double tried = static_cast<double>(picks * candidates - picks * (picks - 1) / 2);
    return tried * (input_flops(shape) + output_flops(shape)) +
           static_cast<double>(picks) * state_flops(shape);
}

double flops_of_walk(const PolicyShape& shape, std::int64_t candidates, std::int64_t) {
    return static_cast<double>(candidates) *
           (input_flops(shape) + state_flops(shape) + output_flops(shape));
}

std::int64_t one_output(std::int64_t) { return 1; }
std::int64_t one_output_a_pick(std::int64_t picks) { return picks; }
std::int64_t one_step_a_candidate(std::int64_t candidates, std::int64_t) { return candidates; }
std::int64_t one_step_a_pick(std::int64_t, std::int64_t picks) { return picks; }

constexpr Head kHeads[]{
    {"sequential",
     "after each pick every candidate is scored again, knowing how far it is from what is picked",
     "softmax of z over the rest, after every pick", "this program", one_output, one_step_a_pick,
     run_sequential, add_sequential_gradient, flops_of_trials, true, true, false},
    {"walk", "the candidates are met one by one and picked or not",
     "p = sigmoid(z + logit(picks left / candidates left))", "arXiv 2310.08387", one_output,
     one_step_a_candidate, run_walk, add_walk_gradient, flops_of_walk},
    {"batch", "one walk gives every candidate an output for each pick",
     "pick s: softmax of z_s over the rest", "this program", one_output_a_pick, one_step_a_pick,
     run_batch, add_batch_gradient, flops_of_walk, true, true},
    {"plackett-luce", "one walk gives every candidate a score; a sample without replacement",
     "the b largest z + Gumbel noise", "Kool et al. 2019", one_output, one_step_a_pick,
     run_plackett_luce, add_batch_gradient, flops_of_walk, true, true},
    {"label-or-not", "a stream: each candidate is labelled or not, at a price",
     "p = sigmoid(z + logit(b / N)); b labels on average", "this program", one_output,
     one_step_a_candidate, run_label_or_not, add_label_or_not_gradient, flops_of_walk, false}};

}  // namespace

std::span<const Head> heads() { return kHeads; }

const Head& find_head(std::string_view name) {
    std::vector<std::string_view> known;
    for (const Head& head : kHeads) {
        if (head.name == name) return head;
        known.push_back(head.name);
    }
    fail<UsageError>("unknown head \"{}\" of a policy; known: {}", name, fmt::join(known, ", "));
}

void check_draw(const Head& head, const Policy& policy, const CandidateSet& candidates,
                std::int64_t picks) {
    check_picks(picks, candidates.rows);
    THRESHER_CHECK_AS(UsageError, head.outputs(picks) <= policy.shape.outputs,
                      "the head {} of this policy was trained for batches of {}, but {} are to be "
                      "picked; pick fewer, or train one for so many",
                      head.name, policy.shape.outputs, picks);
    THRESHER_CHECK_AS(UsageError, head.outputs(2) == 1 || picks <= kOutputs,
                      "the head {} keys its noise by the pick, {} at most; {} are to be picked: "
                      "pick fewer, or take another head",
                      head.name, kOutputs, picks);
}

Rollouts draw_batches(const Policy& policy, const CandidateSet& candidates, const Draw& draw) {
    const Head& head = find_head(policy.head);
    check_draw(head, policy, candidates, draw.picks);
    Rollouts rollouts;
    head.run(policy, candidates, draw, rollouts);
    return rollouts;
}

void follow_batches(const Policy& policy, const CandidateSet& candidates, const Draw& draw,
                    Rollouts& rollouts) {
    const Head& head = find_head(policy.head);
    check_draw(head, policy, candidates, draw.picks);
    head.run(policy, candidates, draw, rollouts);
}

double flops_of(const Policy& policy, const CandidateSet& candidates, const Draw& draw) {
    const double shared = 2.0 * static_cast<double>(candidates.rows * policy.shape.features * 4 *
                                                    policy.shape.hidden);
    return shared + static_cast<double>(draw.rollouts) *
                        find_head(policy.head).flops(policy.shape, candidates.rows, draw.picks);
}

std::vector<std::int32_t> shuffled_orders(std::int64_t candidates, const Draw& draw) {
    const KeyedRandom random(draw.seed, Stream::policy_order, draw.update);
    std::vector<std::int32_t> orders(static_cast<std::size_t>(draw.rollouts * candidates));
    for (std::int64_t k = 0; k < draw.rollouts; ++k) {
        const auto order = std::span(orders).subspan(static_cast<std::size_t>(k * candidates),
                                                     static_cast<std::size_t>(candidates));
        std::iota(order.begin(), order.end(), 0);
        for (std::int64_t i = candidates - 1; i > 0; --i) {
            std::swap(order[static_cast<std::size_t>(i)],
                      order[static_cast<std::size_t>(random.integer(draw_id(k, i), i + 1))]);
        }
    }
    return orders;
}

std::vector<std::int32_t> random_batches(std::int64_t candidates, const Draw& draw) {
    check_picks(draw.picks, candidates);
    const std::vector<std::int32_t> orders = shuffled_orders(candidates, draw);
    std::vector<std::int32_t> batches;
    for (std::int64_t k = 0; k < draw.rollouts; ++k) {
        const auto order = orders.begin() + k * candidates;
        batches.insert(batches.end(), order, order + draw.picks);
    }
    return batches;
}

}  // namespace thresher
