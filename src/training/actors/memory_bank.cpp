#include "src/training/actors/memory_bank.hpp"

#include <algorithm>
#include <utility>

#include "src/base/check.hpp"

namespace thresher {

MemoryBank::MemoryBank(int actors, const Bounds& bounds, std::int64_t first_step,
                       std::int64_t steps)
    : bounds_(bounds),
      first_step_(first_step),
      steps_(steps),
      actors_(static_cast<std::size_t>(actors)) {
    open();
}

void MemoryBank::open() {
    while (std::ssize(open_) < bounds_.super_batches && first_step_ + std::ssize(open_) < steps_) {
        open_.emplace_back(static_cast<std::size_t>(bounds_.portions));
    }
}

MemoryBank::Slot* MemoryBank::find(const Portion& portion) {
    const std::int64_t index = portion.step - first_step_;
    if (index < 0 || index >= std::ssize(open_)) return nullptr;
    return &open_[static_cast<std::size_t>(index)][static_cast<std::size_t>(portion.shard)];
}

std::optional<MemoryBank::Task> MemoryBank::hand_out(std::int64_t version, double now_s) {
    int chosen = -1;
    for (int actor = 0; actor < static_cast<int>(actors_.size()); ++actor) {
        const Actor& candidate = at(actor);
        if (candidate.silent || std::ssize(candidate.outstanding) >= bounds_.outstanding) continue;
        if (chosen < 0 || candidate.outstanding.size() < at(chosen).outstanding.size()) {
            chosen = actor;
        }
    }
    if (chosen < 0) return {};
    for (std::int64_t i = 0; i < std::ssize(open_); ++i) {
        const std::int64_t step = first_step_ + i;
        if (step - version > bounds_.max_staleness) return {};
        auto& slots = open_[static_cast<std::size_t>(i)];
        const auto slot = std::find_if(slots.begin(), slots.end(), [](const Slot& candidate) {
            return !candidate.done && candidate.asked < 0;
        });
        if (slot == slots.end()) continue;
        slot->asked = chosen;
        const Portion portion{step, slot - slots.begin()};
        if (at(chosen).outstanding.empty()) at(chosen).heard_s = now_s;
        at(chosen).outstanding.push_back(portion);
        return Task{chosen, portion};
    }
    return {};
}

MemoryBank::Fate MemoryBank::accept(int actor, ScoredPortion&& scored, double now_s) {
    at(actor).heard_s = now_s;
    std::erase(at(actor).outstanding, scored.portion);
    Slot* const slot = find(scored.portion);
    if (slot == nullptr || slot->done) return Fate::dropped;
    if (scored.portion.step - scored.version > bounds_.max_staleness) {
        if (slot->asked == actor) slot->asked = -1;
        return Fate::too_old;
    }
    slot->done = true;
    slot->scored = std::move(scored);
    return Fate::kept;
}

std::vector<int> MemoryBank::find_silent(double now_s) {
    std::vector<int> found;
    for (int actor = 0; actor < static_cast<int>(actors_.size()); ++actor) {
        Actor& suspect = at(actor);
        if (suspect.silent || suspect.outstanding.empty()) continue;
        if (now_s - suspect.heard_s <= bounds_.patience_s) continue;
        suspect.silent = true;
        for (const Portion& portion : suspect.outstanding) {
            Slot* const slot = find(portion);
            if (slot != nullptr && slot->asked == actor) slot->asked = -1;
        }
        found.push_back(actor);
    }
    return found;
}

void MemoryBank::welcome_back(int actor) {
    at(actor).silent = false;
    at(actor).outstanding.clear();
}

int MemoryBank::answering() const {
    return static_cast<int>(std::count_if(actors_.begin(), actors_.end(),
                                          [](const Actor& actor) { return !actor.silent; }));
}

bool MemoryBank::complete() const {
    return !open_.empty() && std::all_of(open_.front().begin(), open_.front().end(),
                                         [](const Slot& slot) { return slot.done; });
}

std::vector<ScoredPortion> MemoryBank::take() {
    THRESHER_CHECK(complete(), "the super-batch of update {} is not complete", first_step_);
    std::vector<ScoredPortion> taken;
    for (Slot& slot : open_.front()) taken.push_back(std::move(slot.scored));
    open_.pop_front();
    ++first_step_;
    open();
    return taken;
}

std::int64_t MemoryBank::portions_held() const {
    std::int64_t held = 0;
    for (const auto& slots : open_) {
        held +=
            std::count_if(slots.begin(), slots.end(), [](const Slot& slot) { return slot.done; });
    }
    return held;
}

std::int64_t MemoryBank::portions_outstanding(int actor) const {
    return std::ssize(actors_[static_cast<std::size_t>(actor)].outstanding);
}

}  // namespace thresher
