#include <unistd.h>

#include <array>
#include <future>
#include <string>
#include <vector>

#include "mpi/watchdog.hpp"
#include "src/base/check.hpp"
#include "tests/support/catch.hpp"

using thresher::mpi::Watchdog;

TEST_CASE("the watchdog names rank, host, operation and what was done before it", "[watchdog]") {
    std::promise<std::string> promise;
    Watchdog watchdog(3, 0.02, [&](const std::string& report) { promise.set_value(report); });
    // Pausing between operations is no hang; an operation that does not end is.
    for (int i = 0; i < 41; ++i) {
        watchdog.begin("barrier", 1.0);
        watchdog.end();
    }
    watchdog.begin("all-reduce (sum, int64)", 1.0);
    const std::string report = promise.get_future().get();
    watchdog.end();

    std::array<char, 256> host{};
    REQUIRE(gethostname(host.data(), host.size() - 1) == 0);
    INFO(report);
    CHECK(report.find("rank         3 on " + std::string(host.data())) != std::string::npos);
    CHECK(report.find("operation    all-reduce (sum, int64)\n") != std::string::npos);
    CHECK(report.find("done before  41\n") != std::string::npos);
}

TEST_CASE("the watchdog waits longer for an operation that is to be waited for", "[watchdog]") {
    std::promise<std::string> promise;
    Watchdog watchdog(0, 0.02, [&](const std::string& report) { promise.set_value(report); });
    watchdog.begin("wait for work", 4.0);
    const std::string report = promise.get_future().get();
    watchdog.end();
    INFO(report);
    CHECK(report.find("the limit is 0.08 s\n") != std::string::npos);
}

TEST_CASE("the watchdog of a collective that does not hang is silent", "[watchdog]") {
    bool called = false;
    const auto collective = thresher::make_local_collective();
    {
        Watchdog watchdog(0, 3600.0, [&](const std::string&) { called = true; });
        collective->observe(&watchdog);
        std::vector<double> values(1, 1.0);
        for (int i = 0; i < 100'000; ++i) collective->all_reduce_sum(std::span(values));
        collective->observe(nullptr);
    }
    CHECK(!called);
}

TEST_CASE("a watchdog without time is refused", "[watchdog]") {
    CHECK_THROWS_AS(Watchdog(0, 0.0), thresher::Error);
}
