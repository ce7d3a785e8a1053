#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "src/base/thread_collective.hpp"
#include "src/base/thread_messages.hpp"
#include "tests/training/actor_ranks.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

Result with_actors(const Topology& topology, const MemoryPool& pool, const TrainOptions& options,
                   const Run& run = {}) {
    const auto pretrained = clean_reference();
    const auto messages = make_thread_messages(topology.learners + topology.actors,
                                               most_unsent(topology, pool, options));
    std::vector<Result> results(static_cast<std::size_t>(topology.learners));
    run_simulated_groups(
        {topology.learners, topology.actors}, [&](Collective& all, Collective& group) {
            const auto rank = static_cast<std::size_t>(all.rank());
            const auto replaced = run.messages_of ? run.messages_of(*messages[rank]) : nullptr;
            auto result = run_rank(topology, all, group, replaced ? *replaced : *messages[rank],
                                   *pretrained, pool, options, run);
            if (result) results[rank] = std::move(*result);
        });
    for (const Result& result : results) {
        CHECK(result.state == results.front().state);
        CHECK(result.learner == results.front().learner);
    }
    return results.front();
}

/// Holds its rank up, in the middle of its second answer, until it is let go.
class StoppedMessages final : public Messages {
  public:
    struct Gate {
        std::mutex mutex;
        std::condition_variable changed;
        bool open = false;

        void let_go() {
            const std::lock_guard lock(mutex);
            open = true;
            changed.notify_all();
        }
    };

    StoppedMessages(Messages& inner, Gate& gate)
        : Messages(inner.most_unsent()), inner_(inner), gate_(gate) {}
    int rank() const override { return inner_.rank(); }
    int size() const override { return inner_.size(); }

  private:
    void do_send(int to, SharedBytes bytes) override {
        if (++sent_ == 2) {
            std::unique_lock lock(gate_.mutex);
            gate_.changed.wait(lock, [&] { return gate_.open; });
        }
        inner_.send(to, std::move(bytes));
    }
    std::int64_t do_unsent(int) override { return 0; }
    std::optional<Message> do_receive(std::chrono::microseconds patience) override {
        return inner_.receive(patience);
    }
    void do_close() override {}

    Messages& inner_;
    Gate& gate_;
    int sent_ = 0;
};

/// Fails from the send of this number on, counted from 1.
class BrokenMessages final : public Messages {
  public:
    BrokenMessages(Messages& inner, int broken)
        : Messages(inner.most_unsent()), inner_(inner), broken_(broken) {}
    int rank() const override { return inner_.rank(); }
    int size() const override { return inner_.size(); }

  private:
    void do_send(int to, SharedBytes bytes) override {
        if (++sent_ >= broken_) fail<Error>("the network is gone");
        inner_.send(to, std::move(bytes));
    }
    std::int64_t do_unsent(int) override { return 0; }
    std::optional<Message> do_receive(std::chrono::microseconds patience) override {
        return inner_.receive(patience);
    }
    void do_close() override {}

    Messages& inner_;
    int broken_, sent_ = 0;
};

}  // namespace

TEST_CASE("with scores that are never behind, training with actors is co-located training") {
    // 101 rows: the last candidates are fewer than there are portions.
    const MemoryPool pool = noisy_pool(101, 0.3);
    for (const char* method : {"learnability", "rho-loss", "easy-reference"}) {
        const Result expected = co_located(pool, options_for(method));
        for (const int learners : {1, 2}) {
            for (const int actors : {1, 2, 3}) {
                INFO(method << ", " << learners << " learners, " << actors << " actors");
                const Result found =
                    with_actors(topology_of(learners, actors, 0), pool, options_for(method));
                check_same(found, expected);
                CHECK(found.flops == expected.flops);
                CHECK(rows_used(found) == 2 * 101);
            }
        }
    }
}

TEST_CASE("inputs that are shipped, a reference that is trained and weights change no bit") {
    const MemoryPool pool = noisy_pool(101, 0.3);
    TrainOptions options = options_for("learnability");
    options.filter_ratio = 3.0;
    options.importance_weights = true;
    options.scoring.clip = 0.5;
    const Run run{.train_reference = true};
    const Result expected = co_located(pool, options, run);
    for (const int learners : {1, 2}) {
        for (const bool ship_inputs : {false, true}) {
            Topology topology = topology_of(learners, 2, 0);
            topology.ship_inputs = ship_inputs;
            const Result found = with_actors(topology, pool, options, run);
            check_same(found, expected);
            CHECK(found.flops == expected.flops);
        }
    }
}

TEST_CASE("no score that is used is further behind than allowed, and every candidate counts once") {
    const MemoryPool pool = noisy_pool(500, 0.3);
    TrainOptions options = options_for("learnability");
    options.epochs = 4;
    for (const std::int64_t max_staleness : {1, 2, 5}) {
        for (const bool reproducible : {false, true}) {
            options.reproducible = reproducible;
            Topology topology = topology_of(1, 3, max_staleness);
            topology.publish_every = max_staleness;
            const Result found = with_actors(topology, pool, options);
            CHECK(rows_used(found) == 4 * 500);
            for (const auto& [name, cost] : found.costs) {
                if (name.rfind("staleness/", 0) != 0) continue;
                CHECK(std::stoi(name.substr(10)) <= max_staleness);
            }
            const auto& staleness = found.steps.at("staleness");
            CHECK(staleness.size() == 4 * 16);
            CHECK(*std::max_element(staleness.begin(), staleness.end()) <=
                  static_cast<double>(max_staleness));
            CHECK(*std::max_element(staleness.begin(), staleness.end()) > 0.0);
        }
    }
}

TEST_CASE("training goes on without an actor that stops, and counts nothing twice") {
    const MemoryPool pool = noisy_pool(101, 0.3);
    const TrainOptions options = options_for("learnability");
    const Result expected = co_located(pool, options);
    Topology topology = topology_of(1, 2, 0);
    topology.patience_s = 0.2;
    StoppedMessages::Gate gate;
    Run run;
    run.messages_of = [&](Messages& messages) -> std::unique_ptr<Messages> {
        if (messages.rank() != 2) return nullptr;
        return std::make_unique<StoppedMessages>(messages, gate);
    };
    run.after_step = [&](const TrainProgress& progress) {
        if (progress.step == 4) gate.let_go();
        return true;
    };
    const Result found = with_actors(topology, pool, options, run);
    check_same(found, expected);
    CHECK(found.costs.at("actors/passed_over") >= 1.0);
    CHECK(rows_used(found) == 2 * 101);
}

TEST_CASE("training with actors goes on with other ones, bit for bit") {
    const MemoryPool pool = noisy_pool(200, 0.3);
    TrainOptions options = options_for("learnability");
    options.optimizer = OptimizerKind::adamw;
    options.learning_rate = 0.01;
    const Result expected = co_located(pool, options);
    Run first;
    first.after_step = [](const TrainProgress& progress) { return progress.step < 5; };
    const Result some = with_actors(topology_of(1, 1, 0), pool, options, first);
    const Run second{.resumed = &some.state};
    check_same(with_actors(topology_of(2, 3, 0), pool, options, second), expected);

    // Also from a run without actors.
    const Result before = co_located(pool, options, first);
    const Run third{.resumed = &before.state};
    check_same(with_actors(topology_of(1, 2, 0), pool, options, third), expected);
}

TEST_CASE("where one rank fails, actors and learners end with its error") {
    const MemoryPool pool = noisy_pool(200, 0.3);
    const TrainOptions options = options_for("learnability");
    for (const int broken : {0, 1, 3}) {
        INFO("rank " << broken);
        Run run;
        run.source_of = [&](int rank, std::unique_ptr<ExampleSource> source) {
            if (rank != broken) return source;
            return std::unique_ptr<ExampleSource>(
                std::make_unique<BrokenSource>(std::move(source)));
        };
        CHECK_THROWS_AS(with_actors(topology_of(2, 2, 1), pool, options, run), FileError);
        CHECK_THROWS_WITH(with_actors(topology_of(2, 2, 1), pool, options, run),
                          contains("toy.h5 is truncated") &&
                              contains(fmt::format("on rank {} of {}", broken < 2 ? broken : 3,
                                                   broken < 2 ? 2 : 4)));
    }
}

TEST_CASE("where the leading learner cannot send, no other learner is left waiting") {
    const MemoryPool pool = noisy_pool(200, 0.3);
    for (const int broken : {1, 2, 7}) {
        INFO("from message " << broken << " on");
        Run run;
        run.messages_of = [&](Messages& messages) -> std::unique_ptr<Messages> {
            if (messages.rank() != 0) return nullptr;
            return std::make_unique<BrokenMessages>(messages, broken);
        };
        CHECK_THROWS_WITH(with_actors(topology_of(2, 2, 1), pool, options_for("learnability"), run),
                          contains("the network is gone") && contains("rank 0 of 4"));
    }
}

TEST_CASE("a topology that cannot work is refused") {
    const TrainOptions options = options_for("learnability");
    const auto refused = [&](Topology topology, int ranks, const std::string& words) {
        CHECK_THROWS_AS(check_topology(topology, options, ranks), UsageError);
        CHECK_THROWS_WITH(check_topology(topology, options, ranks), contains(words));
    };
    CHECK_NOTHROW(check_topology({}, options, 4));
    CHECK_NOTHROW(check_topology(topology_of(1, 3, 0), options, 4));
    refused(topology_of(1, 0, 0), 4, "--learners 1 needs actors");
    refused(topology_of(0, 4, 0), 4, "--actors 4 needs a learner");
    refused(topology_of(1, 3, 0), 5, "4 ranks, but the job has 5");
    refused(topology_of(1, 3, 0), 3, "4 ranks, but the job has 3");
    refused(topology_of(1, 3, -1), 4, "--max-staleness is -1");
    Topology topology = topology_of(1, 3, 2);
    topology.publish_every = 4;
    refused(topology, 4, "--publish-every is 4; allowed: 1 to 3");
    CHECK_THROWS_WITH(check_topology(topology_of(1, 3, 0), options_for("uniform"), 4),
                      contains("method uniform, which scores nothing"));

    const MemoryPool pool = noisy_pool(64, 0.0);
    TrainOptions every = options;
    every.filter_ratio = 1.0;
    CHECK_THROWS_WITH(with_actors(topology_of(1, 1, 0), pool, every),
                      contains("nothing for actors to score"));
}
