#pragma once

// One test body, run over every body of Collective that the test program has: alone and over
// simulated ranks in a program of one process; over MPI, or NCCL, in a program started by mpirun.
// The same source file is compiled into both (see thresher_add_test).

#include <functional>
#include <mutex>
#include <string>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/collective.hpp"
#include "src/base/messages.hpp"
#include "tests/support/catch.hpp"

namespace thresher::test {

/// One process: runs `body` on the local collective, then on 1, 2, 3, 4 and 7 simulated ranks.
/// Under mpirun: runs it once on a fresh collective over all ranks of the job.
void on_all_ranks(const std::function<void(Collective&)>& body);

/// As on_all_ranks, for ranks that also send each other messages, of which `most_unsent` may be on
/// their way to a rank; they are closed afterwards.
void on_all_messages(std::int64_t most_unsent,
                     const std::function<void(Messages&, Collective&)>& body);

/// Catch2's assertions are not safe against threads; those below are made under this lock.
std::mutex& assertion_mutex();

std::string name_of_rank(const Collective& collective);

}  // namespace thresher::test

/// CHECK for code that may run on simulated ranks. The expression must contain no collective
/// operation.
#define CHECK_ON_RANK(collective, ...)                                             \
    do {                                                                           \
        const std::lock_guard assertion_lock(::thresher::test::assertion_mutex()); \
        INFO(::thresher::test::name_of_rank(collective));                          \
        CHECK(__VA_ARGS__);                                                        \
    } while (false)

/// As CHECK_ON_RANK; if it fails on any rank, every rank leaves the test, so that none waits for
/// another. Evaluated again where it fails, to show its values. Collective.
#define REQUIRE_ALL(collective, ...)                                                            \
    do {                                                                                        \
        const bool passed_here = static_cast<bool>(__VA_ARGS__);                                \
        if (!passed_here) CHECK_ON_RANK(collective, __VA_ARGS__);                               \
        if (::thresher::any_rank(collective, !passed_here)) {                                   \
            ::thresher::fail<::thresher::Error>("a rank failed REQUIRE_ALL({})", #__VA_ARGS__); \
        }                                                                                       \
    } while (false)
