// The same expectations for every body of Collective.

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "src/base/collective.hpp"
#include "tests/support/ranks.hpp"

using thresher::Collective;
using thresher::ScoredId;
using thresher::test::on_all_ranks;

namespace {

std::int64_t sum_of_ranks(const Collective& collective) {
    return std::int64_t{collective.size()} * (collective.size() - 1) / 2;
}

/// rank + 1 values, 100 * rank, 100 * rank + 1, ...
std::vector<std::int64_t> uneven_part(int rank) {
    std::vector<std::int64_t> values(static_cast<std::size_t>(rank) + 1);
    std::iota(values.begin(), values.end(), 100 * rank);
    return values;
}

std::vector<std::int64_t> all_uneven_parts(int ranks) {
    std::vector<std::int64_t> all;
    for (int rank = 0; rank < ranks; ++rank) {
        const auto part = uneven_part(rank);
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

}  // namespace

TEST_CASE("an integer sum is exact beyond what a double can hold", "[collective]") {
    on_all_ranks([](Collective& collective) {
        const std::int64_t large = (std::int64_t{1} << 53) + 1;
        std::vector<std::int64_t> values{collective.rank(), -collective.rank(),
                                         collective.rank() == 0 ? large : 0};
        collective.all_reduce_sum(std::span(values));
        const auto sum = sum_of_ranks(collective);
        CHECK_ON_RANK(collective, values == std::vector<std::int64_t>{sum, -sum, large});
    });
}

TEST_CASE("sums of small whole floats are exact in any order", "[collective]") {
    on_all_ranks([](Collective& collective) {
        std::vector<double> doubles{1.0, 0.5 * collective.rank()};
        std::vector<float> floats{1.0F, static_cast<float>(collective.rank())};
        collective.all_reduce_sum(std::span(doubles));
        collective.all_reduce_sum(std::span(floats));
        const auto sum = static_cast<double>(sum_of_ranks(collective));
        CHECK_ON_RANK(collective,
                      doubles == std::vector<double>{1.0 * collective.size(), 0.5 * sum});
        CHECK_ON_RANK(collective,
                      floats == std::vector<float>{static_cast<float>(collective.size()),
                                                   static_cast<float>(sum)});
    });
}

TEST_CASE("sums that were started are there when all are finished", "[collective]") {
    on_all_ranks([](Collective& collective) {
        std::vector<float> first(1000, 1.0F), second{static_cast<float>(collective.rank())};
        for (int time = 1; time <= 2; ++time) {
            std::fill(first.begin(), first.end(), 1.0F);
            collective.start_all_reduce_sum(std::span(first));
            collective.start_all_reduce_sum(std::span(second));
            collective.finish_all_reduces();
            CHECK_ON_RANK(collective,
                          first == std::vector<float>(1000, static_cast<float>(collective.size())));
        }
        const auto sum = static_cast<float>(sum_of_ranks(collective) * collective.size());
        CHECK_ON_RANK(collective, second == std::vector<float>{sum});
        collective.finish_all_reduces();  // of none
    });
}

TEST_CASE("minimum and maximum cover the whole range of int64", "[collective]") {
    on_all_ranks([](Collective& collective) {
        using Limits = std::numeric_limits<std::int64_t>;
        const bool last = collective.rank() == collective.size() - 1;
        std::vector<std::int64_t> low{collective.rank(), last ? Limits::min() : 0};
        std::vector<std::int64_t> high{collective.rank(), last ? Limits::max() : 0};
        collective.all_reduce_min(std::span(low));
        collective.all_reduce_max(std::span(high));
        CHECK_ON_RANK(collective, low == std::vector<std::int64_t>{0, Limits::min()});
        CHECK_ON_RANK(collective,
                      high == std::vector<std::int64_t>{collective.size() - 1, Limits::max()});
    });
}

TEST_CASE("a broadcast reaches every rank from any root", "[collective]") {
    on_all_ranks([](Collective& collective) {
        for (int root = 0; root < collective.size(); ++root) {
            std::vector<double> values(3, collective.rank());
            collective.broadcast(std::span(values), root);
            CHECK_ON_RANK(collective, values == std::vector<double>(3, root));
        }
    });
}

TEST_CASE("uneven parts are gathered in rank order, at the root alone", "[collective]") {
    on_all_ranks([](Collective& collective) {
        const int root = collective.size() - 1;
        const auto own = uneven_part(collective.rank());
        const auto all = collective.gather_v(std::span<const std::int64_t>(own), root);
        if (collective.rank() == root) {
            CHECK_ON_RANK(collective, all.values == all_uneven_parts(collective.size()));
            CHECK_ON_RANK(collective, all.of(root).size() == own.size());
        } else {
            CHECK_ON_RANK(collective, (all.values.empty() && all.counts.empty()));
        }
    });
}

TEST_CASE("uneven parts are gathered on all ranks in rank order", "[collective]") {
    on_all_ranks([](Collective& collective) {
        const auto own = uneven_part(collective.rank());
        const auto all = collective.all_gather_v(std::span<const std::int64_t>(own));
        CHECK_ON_RANK(collective, all.values == all_uneven_parts(collective.size()));
        for (int rank = 0; rank < collective.size(); ++rank) {
            CHECK_ON_RANK(collective, all.counts[static_cast<std::size_t>(rank)] == rank + 1);
            CHECK_ON_RANK(collective, all.of(rank)[0] == 100 * rank);
        }
    });
}

TEST_CASE("a rank may bring nothing to a gather", "[collective]") {
    on_all_ranks([](Collective& collective) {
        const std::vector<float> own(collective.rank() == 0 ? 0 : 1, 2.5F);
        const auto all = collective.all_gather_v(std::span<const float>(own));
        CHECK_ON_RANK(collective,
                      all.values == std::vector<float>(
                                        static_cast<std::size_t>(collective.size()) - 1, 2.5F));
        const auto none = collective.all_gather_v(std::span<const float>());
        CHECK_ON_RANK(collective, none.values.empty());
        CHECK_ON_RANK(collective, none.counts == std::vector<std::int64_t>(all.counts.size(), 0));
    });
}

TEST_CASE("all-to-all delivers from each rank what it meant for this one", "[collective]") {
    on_all_ranks([](Collective& collective) {
        // Rank r sends (r + to) % 3 values 1000 * r + to to rank `to`: nothing to some.
        const int own = collective.rank(), ranks = collective.size();
        std::vector<std::int64_t> outgoing, counts, expected;
        for (int other = 0; other < ranks; ++other) {
            const int count = (own + other) % 3;
            counts.push_back(count);
            outgoing.insert(outgoing.end(), static_cast<std::size_t>(count), 1000 * own + other);
            expected.insert(expected.end(), static_cast<std::size_t>(count), 1000 * other + own);
        }
        const auto received =
            collective.all_to_all_v(std::span<const std::int64_t>(outgoing), counts);
        CHECK_ON_RANK(collective, received.values == expected);
        CHECK_ON_RANK(collective, received.counts == counts);
    });
}

TEST_CASE("argmax prefers the higher score, then the lower id, and says whose it is",
          "[collective]") {
    on_all_ranks([](Collective& collective) {
        const auto tied = collective.argmax({0.5, 100 - collective.rank()});
        CHECK_ON_RANK(collective, tied.id == 100 - (collective.size() - 1));
        CHECK_ON_RANK(collective, tied.rank == collective.size() - 1);

        const auto highest = collective.argmax({0.5 + collective.rank(), collective.rank()});
        CHECK_ON_RANK(collective, highest.id == collective.size() - 1);
        CHECK_ON_RANK(collective, highest.score == 0.5 + (collective.size() - 1));

        const bool alone = collective.rank() == collective.size() - 1;
        const auto only = collective.argmax({-7.0, alone ? 3 : -1});
        CHECK_ON_RANK(collective, (only.id == 3 && only.score == -7.0));

        CHECK_ON_RANK(collective, ScoredId{-0.0, 1}.before({0.0, 2}));
        const auto none = collective.argmax({9.0, -1});
        CHECK_ON_RANK(collective, (none.id == -1 && none.rank == -1));
    });
}

TEST_CASE("every operation is counted with the bytes this rank handed in", "[collective]") {
    on_all_ranks([](Collective& collective) {
        CHECK_ON_RANK(collective, collective.traffic().collectives == 0);
        std::vector<std::int64_t> values(10, 1);
        std::vector<float> floats(5, 1.0F);
        const std::vector<std::int64_t> counts(static_cast<std::size_t>(collective.size()), 2);
        const std::vector<double> outgoing(2 * counts.size(), 0.0);
        collective.all_reduce_sum(std::span(values));                        // 80
        collective.all_reduce_max(std::span(values));                        // 80
        collective.broadcast(std::span(floats));                             // 20
        collective.gather_v(std::span<const float>(floats));                 // 20, root: 0
        collective.all_gather_v(std::span<const float>(floats).first(1));    // 4
        collective.all_to_all_v(std::span<const double>(outgoing), counts);  // 16 a rank
        collective.argmax({1.0, collective.rank()});                         // 16
        collective.barrier();                                                // 0
        CHECK_ON_RANK(collective, collective.traffic().collectives == 8);
        CHECK_ON_RANK(collective, collective.traffic().bytes ==
                                      (collective.is_root() ? 200 : 220) + 16 * collective.size());
    });
}

TEST_CASE("an observer sees each operation begin and end", "[collective]") {
    struct Recorder final : thresher::CollectiveObserver {
        void begin(std::string_view operation, double patience) override {
            events.push_back(fmt::format("{} {}", operation, patience));
        }
        void end() override { events.emplace_back("end"); }
        std::vector<std::string> events;
    };
    on_all_ranks([](Collective& collective) {
        Recorder recorder;
        collective.observe(&recorder);
        collective.barrier();
        std::vector<double> values(1, 1.0);
        collective.all_reduce_sum(std::span(values));
        std::vector<std::int64_t> counts(1, 1);
        collective.all_reduce_sum_patiently(counts);
        collective.observe(nullptr);
        collective.barrier();
        CHECK_ON_RANK(collective,
                      recorder.events == std::vector<std::string>{
                                             "barrier 1", "end", "all-reduce (sum, float64) 1",
                                             "end", "wait for the work of all ranks 10", "end"});
    });
}

TEST_CASE("a root that does not exist is refused on every rank", "[collective]") {
    on_all_ranks([](Collective& collective) {
        std::vector<int> values(1);
        bool refused = false;
        try {
            collective.broadcast(std::span(values), collective.size());
        } catch (const thresher::Error&) {
            refused = true;
        }
        REQUIRE_ALL(collective, refused);
    });
}
