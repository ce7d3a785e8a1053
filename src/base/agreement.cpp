#include "src/base/agreement.hpp"

#include <exception>
#include <new>
#include <string>
#include <vector>

#include "src/base/check.hpp"

namespace thresher {

namespace {

/// Thrown in the work of a rank that has not failed itself; never leaves this file.
struct OtherRankFailed {};

enum class Kind : char { none, error, file, usage, requeue };

/// What happened on this rank, in a form that can be sent.
struct Outcome {
    Kind kind = Kind::none;
    ExitCode exit_code = ExitCode::success;
    std::string message;
};

Outcome describe(const std::exception_ptr& exception) {
    try {
        std::rethrow_exception(exception);
    } catch (const FileError& error) {
        return {Kind::file, error.exit_code(), error.what()};
    } catch (const UsageError& error) {
        return {Kind::usage, error.exit_code(), error.what()};
    } catch (const Requeue& error) {
        return {Kind::requeue, error.exit_code(), error.what()};
    } catch (const Error& error) {
        return {Kind::error, error.exit_code(), error.what()};
    } catch (const std::bad_alloc&) {
        return {Kind::error, ExitCode::failure, "out of memory"};
    } catch (const std::exception& error) {
        return {Kind::error, ExitCode::failure, error.what()};
    } catch (...) {
        return {Kind::error, ExitCode::failure, "an error of unknown type"};
    }
}

[[noreturn]] void raise(const Outcome& outcome, const std::string& message) {
    switch (outcome.kind) {
        case Kind::file:
            throw FileError(message);
        case Kind::usage:
            throw UsageError(message);
        case Kind::requeue:
            throw Requeue(message);
        default:
            throw Error(message, outcome.exit_code);
    }
}

/// One byte each for kind and exit code, then the message.
std::string pack(const Outcome& outcome) {
    return std::string{static_cast<char>(outcome.kind), static_cast<char>(outcome.exit_code)} +
           outcome.message;
}

Outcome unpack(std::span<const char> packed) {
    return {static_cast<Kind>(packed[0]), static_cast<ExitCode>(packed[1]),
            std::string(packed.begin() + 2, packed.end())};
}

}  // namespace

void agree(Collective& collective, const std::function<void()>& work) {
    std::exception_ptr exception;
    try {
        work();
    } catch (const OtherRankFailed&) {  // that rank has more to say
    } catch (...) {
        exception = std::current_exception();
    }
    if (collective.size() == 1) {
        if (exception) std::rethrow_exception(exception);
        return;
    }
    if (exception) collective.announce_failure();
    std::int64_t failed = exception ? 1 : 0;
    collective.all_reduce_sum_patiently(std::span(&failed, 1));
    if (failed == 0) return;

    const std::string packed = exception ? pack(describe(exception)) : std::string();
    const auto all = collective.all_gather_v(std::span<const char>(packed));
    std::vector<int> failed_ranks;
    for (int rank = 0; rank < collective.size(); ++rank) {
        if (all.counts[static_cast<std::size_t>(rank)] > 0) failed_ranks.push_back(rank);
    }
    collective.settle_failures(failed_ranks);
    const int first = failed_ranks.front();
    const Outcome outcome = unpack(all.of(first));
    // Some of the ranks may have agreed on it among themselves.
    if (outcome.message.find(" (on rank ") != std::string::npos) raise(outcome, outcome.message);
    const std::string others = failed == 1 ? ""
                               : failed == collective.size()
                                   ? ", as on all others"
                                   : fmt::format(", of {} that failed", failed);
    raise(outcome, fmt::format("{} (on rank {} of {}{})", outcome.message, first, collective.size(),
                               others));
}

void give_up_if_others_failed(Collective& collective) {
    if (collective.failure_announced()) give_up();
}

void give_up() { throw OtherRankFailed{}; }

bool any_rank(Collective& collective, bool value) {
    std::int64_t count = value ? 1 : 0;
    collective.all_reduce_max(std::span(&count, 1));
    return count != 0;
}

}  // namespace thresher
