#include <set>

#include "src/base/check.hpp"
#include "src/training/actors/memory_bank.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

using Fate = MemoryBank::Fate;

/// Three portions a super-batch, two of them open, scores at most two updates old, four portions an
/// actor, patience of ten seconds.
constexpr MemoryBank::Bounds kBounds{3, 2, 2, 4, 10.0};

ScoredPortion scored(const Portion& portion, std::int64_t version) {
    return {portion, version, {static_cast<float>(10 * portion.step + portion.shard)}, {}};
}

/// Everything that can be handed out now.
std::vector<MemoryBank::Task> hand_out_all(MemoryBank& bank, std::int64_t version, double now_s) {
    std::vector<MemoryBank::Task> tasks;
    while (const auto task = bank.hand_out(version, now_s)) tasks.push_back(*task);
    return tasks;
}

}  // namespace

TEST_CASE("a super-batch is complete when each of its portions has come, in whatever order") {
    MemoryBank bank(2, kBounds, 5, 100);
    const auto tasks = hand_out_all(bank, 5, 0.0);
    REQUIRE(tasks.size() == 6);  // of updates 5 and 6
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        CHECK(tasks[i].portion ==
              Portion{5 + static_cast<std::int64_t>(i) / 3, static_cast<std::int64_t>(i) % 3});
        CHECK(tasks[i].actor == static_cast<int>(i % 2));  // the one with the fewest
    }
    for (const std::size_t i : {2U, 4U, 0U}) {
        CHECK(bank.accept(tasks[i].actor, scored(tasks[i].portion, 5), 1.0) == Fate::kept);
        CHECK_FALSE(bank.complete());
    }
    CHECK_THROWS_AS(bank.take(), Error);
    CHECK(bank.accept(tasks[1].actor, scored(tasks[1].portion, 5), 1.0) == Fate::kept);
    REQUIRE(bank.complete());
    const auto taken = bank.take();
    REQUIRE(taken.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(taken[i].scores == std::vector<float>{50.0F + static_cast<float>(i)});
    }
    CHECK(bank.next_step() == 6);
    CHECK_FALSE(bank.complete());
}

TEST_CASE("nothing is handed out whose scores would be too old when they are used") {
    MemoryBank::Bounds bounds = kBounds;
    bounds.super_batches = 5;
    bounds.outstanding = 100;
    for (const std::int64_t staleness : {0, 1, 3}) {
        bounds.max_staleness = staleness;
        MemoryBank bank(1, bounds, 10, 100);
        for (const auto& task : hand_out_all(bank, 10, 0.0)) {
            CHECK(task.portion.step - 10 <= staleness);
        }
        CHECK(bank.portions_outstanding(0) == 3 * (staleness + 1));
    }
}

TEST_CASE("scores that are too old are asked for again, and those of the bound are used") {
    MemoryBank bank(1, kBounds, 10, 100);
    const auto task = bank.hand_out(10, 0.0);
    REQUIRE(task);
    CHECK(bank.accept(0, scored(task->portion, 7), 0.0) == Fate::too_old);
    CHECK(bank.portions_held() == 0);
    const auto again = bank.hand_out(10, 0.0);
    REQUIRE(again);
    CHECK(again->portion == task->portion);
    CHECK(bank.accept(0, scored(again->portion, 8), 0.0) == Fate::kept);
    CHECK(bank.portions_held() == 1);
}

TEST_CASE("an actor that is silent is passed over, its portions go to others and count once") {
    MemoryBank bank(2, kBounds, 0, 100);
    auto tasks = hand_out_all(bank, 0, 0.0);
    REQUIRE(tasks.size() == 6);
    std::vector<Portion> of_silent;
    for (const auto& task : tasks) {
        if (task.actor == 0) {
            of_silent.push_back(task.portion);
        } else {
            CHECK(bank.accept(1, scored(task.portion, 0), 8.0) == Fate::kept);
        }
    }
    CHECK(bank.find_silent(10.0).empty());
    CHECK(bank.find_silent(10.5) == std::vector<int>{0});
    CHECK(bank.find_silent(11.0).empty());  // said once
    CHECK(bank.answering() == 1);
    CHECK(bank.is_silent(0));
    CHECK_FALSE(bank.is_silent(1));
    tasks = hand_out_all(bank, 0, 11.0);
    REQUIRE(tasks.size() == of_silent.size());
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        CHECK(tasks[i].actor == 1);
        CHECK(tasks[i].portion == of_silent[i]);
    }
    // The first answer counts, whoever gives it; the second is dropped, also after it was used.
    CHECK(bank.accept(0, scored(of_silent[0], 0), 12.0) == Fate::kept);
    CHECK(bank.accept(1, scored(of_silent[0], 0), 12.0) == Fate::dropped);
    CHECK(bank.accept(1, scored(of_silent[1], 0), 12.0) == Fate::kept);
    REQUIRE(bank.complete());
    CHECK(bank.take().size() == 3);
    CHECK(bank.accept(0, scored(of_silent[1], 0), 13.0) == Fate::dropped);

    CHECK(bank.portions_outstanding(0) == 1);
    bank.welcome_back(0);
    CHECK(bank.answering() == 2);
    CHECK(bank.portions_outstanding(0) == 0);
    std::set<int> asked;
    for (const auto& task : hand_out_all(bank, 1, 14.0)) asked.insert(task.actor);
    CHECK(asked == std::set<int>{0, 1});
}

TEST_CASE("an actor that got work late is not silent for the time before") {
    MemoryBank bank(2, {1, 1, 0, 1, 10.0}, 0, 10);
    REQUIRE(bank.hand_out(0, 0.0)->actor == 0);
    CHECK(bank.accept(0, scored({0, 0}, 0), 1.0) == Fate::kept);
    bank.take();
    CHECK_FALSE(bank.hand_out(0, 99.0));
    REQUIRE(bank.hand_out(1, 100.0));
    CHECK(bank.find_silent(110.0).empty());
    CHECK(bank.find_silent(110.1).size() == 1);
}

TEST_CASE("neither the bank nor what an actor is asked for grows beyond its bound") {
    // Actors that never stop asking, and a learner that takes only every third time it could.
    MemoryBank bank(3, kBounds, 0, 50);
    std::set<std::pair<std::int64_t, std::int64_t>> counted;
    std::int64_t version = 0;
    for (int round = 0; version < 50; ++round) {
        for (const auto& task : hand_out_all(bank, version, 0.0)) {
            for (int actor = 0; actor < 3; ++actor) CHECK(bank.portions_outstanding(actor) <= 4);
            CHECK(bank.accept(task.actor, scored(task.portion, version), 0.0) == Fate::kept);
            CHECK(bank.portions_held() <= 6);
        }
        if (round % 3 != 0 || !bank.complete()) continue;
        for (const auto& portion : bank.take()) {
            CHECK(portion.portion.step == version);
            CHECK(version - portion.version <= 2);
            CHECK(counted.emplace(portion.portion.step, portion.portion.shard).second);
        }
        ++version;
    }
    CHECK(counted.size() == 150);
    CHECK(bank.portions_held() == 0);
    CHECK_FALSE(bank.hand_out(50, 0.0));  // nothing beyond the last update
}
