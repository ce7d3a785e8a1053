// What a training of a policy must keep to go on with the same bits.

#include <fmt/format.h>

#include <array>

#include "src/policy/reinforce.hpp"

namespace thresher {

TrainState Reinforce::export_state() const {
    TrainState state;
    put(state, "parameters", std::span<const float>(policy_.parameters));
    put(state, "first_moments", std::span<const double>(first_moments_));
    put(state, "second_moments", std::span<const double>(second_moments_));
    const std::array<std::int64_t, 3> counts{updates_done_, adam_steps_, not_finite_in_a_row_};
    put(state, "counts", std::span<const std::int64_t>(counts));
    put(state, "price", std::span<const double>(&price_, 1));
    put(state, "flops", std::span<const double>(&flops_, 1));
    std::vector<double> random;
    for (const Spread& spread : random_)
        random.insert(random.end(), {spread.mean, spread.deviation});
    put(state, "random", std::span<const double>(random));
    for (const auto& [name, values] : curves_) {
        put(state, "curves/" + name, std::span<const double>(values));
    }
    for (std::size_t i = 0; options_.replay > 0 && i < memories_.size(); ++i) {
        memories_[i].put_into(state, fmt::format("replay/{}/", i));
    }
    put(state, "pick_updates", std::span<const double>(pick_shares_.updates));
    put(state, "pick_shares", std::span<const double>(pick_shares_.shares));
    std::string reported;
    for (const std::string& name : reported_) reported += name + "\n";
    put(state, "reported", std::span<const char>(reported));
    return state;
}

void Reinforce::import_state(const TrainState& state) {
    take(state, "parameters", std::span(policy_.parameters));
    take(state, "first_moments", std::span(first_moments_));
    take(state, "second_moments", std::span(second_moments_));
    std::array<std::int64_t, 3> counts{};
    take(state, "counts", std::span<std::int64_t>(counts));
    updates_done_ = counts[0];
    adam_steps_ = counts[1];
    not_finite_in_a_row_ = counts[2];
    take(state, "price", std::span(&price_, 1));
    take(state, "flops", std::span(&flops_, 1));
    std::vector<double> random(2 * random_.size());
    take(state, "random", std::span(random));
    for (std::size_t i = 0; i < random_.size(); ++i)
        random_[i] = {random[2 * i], random[2 * i + 1]};
    curves_.clear();
    const std::string prefix = "curves/";
    for (const auto& [name, bytes] : state) {
        if (name.rfind(prefix, 0) == 0) {
            curves_[name.substr(prefix.size())] = values_in<double>(state, name);
        }
    }
    for (std::size_t i = 0; options_.replay > 0 && i < memories_.size(); ++i) {
        memories_[i].take_from(state, fmt::format("replay/{}/", i));
    }
    pick_shares_ = {values_in<double>(state, "pick_updates"),
                    values_in<double>(state, "pick_shares")};
    reported_.clear();
    const std::vector<char> reported = values_in<char>(state, "reported");
    std::string line;
    for (const char letter : reported) {
        if (letter != '\n') {
            line += letter;
            continue;
        }
        reported_.push_back(line);
        line.clear();
    }
}

}  // namespace thresher
