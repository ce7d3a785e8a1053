#include "mpi/environment.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <string_view>
#include <thread>
#include <vector>

#include "mpi/checked.hpp"
#include "mpi/collective.hpp"
#include "mpi/open_handles.hpp"

namespace thresher::mpi {

namespace {

/// How a rank's body ended.
struct Ending {
    int exit_code = 0;
    std::string message;
};

Ending run_to_the_end(const std::function<int()>& body) {
    try {
        return {body(), ""};
    } catch (const Error& error) {
        return {static_cast<int>(error.exit_code()), error.what()};
    } catch (const std::exception& error) {
        return {static_cast<int>(ExitCode::failure), error.what()};
    } catch (...) {
        return {static_cast<int>(ExitCode::failure), "an error of unknown type"};
    }
}

/// True once all ranks have come here; false if they have not within `grace_s`.
bool all_arrive(MPI_Comm communicator, double grace_s) {
    MPI_Request request = MPI_REQUEST_NULL;
    THRESHER_MPI(MPI_Ibarrier(communicator, &request));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(grace_s);
    int arrived = 0;
    while (true) {
        THRESHER_MPI(MPI_Test(&request, &arrived, MPI_STATUS_IGNORE));
        if (arrived != 0) return true;
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

void report_all(Collective& collective, const Ending& own,
                const std::function<void(const std::string&)>& report) {
    const auto codes = collective.gather_v(std::span<const int>(&own.exit_code, 1));
    const auto messages = collective.gather_v(std::span<const char>(own.message));
    std::map<std::string, std::vector<int>> ranks_of;
    std::vector<std::string> order;
    for (int rank = 0; rank < static_cast<int>(messages.counts.size()); ++rank) {
        const auto text = messages.of(rank);
        if (text.empty()) continue;
        auto& ranks = ranks_of[std::string(text.begin(), text.end())];
        if (ranks.empty()) order.emplace_back(text.begin(), text.end());
        ranks.push_back(rank);
    }
    for (const auto& message : order) {
        const auto& ranks = ranks_of[message];
        const bool everywhere = static_cast<int>(ranks.size()) == collective.size();
        report(everywhere ? message : fmt::format("rank {}: {}", fmt::join(ranks, ", "), message));
    }
}

}  // namespace

bool started_by_launcher() {
    constexpr std::array kSetByLaunchers{"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK",
                                         "PMI_SIZE"};
    return std::any_of(kSetByLaunchers.begin(), kSetByLaunchers.end(),
                       [](const char* name) { return std::getenv(name) != nullptr; });
}

bool is_first_by_launcher() {
    for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
        if (const char* rank = std::getenv(name)) return std::string_view(rank) == "0";
    }
    return true;
}

void abort(ExitCode exit_code) {
    MPI_Abort(MPI_COMM_WORLD, static_cast<int>(exit_code));
    std::_Exit(static_cast<int>(exit_code));
}

Environment::Environment(int& argc, char**& argv) : exceptions_before_(std::uncaught_exceptions()) {
    int level = MPI_THREAD_SINGLE;
    THRESHER_MPI(MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &level));
    THRESHER_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    THRESHER_MPI(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN));
    if (level < MPI_THREAD_FUNNELED) {
        MPI_Finalize();
        fail<Error>(
            "this MPI gives thread level {}, but Thresher has threads and needs "
            "MPI_THREAD_FUNNELED "
            "({}) or more; use an MPI built with thread support",
            level, MPI_THREAD_FUNNELED);
    }
}

Environment::~Environment() {
    if (std::uncaught_exceptions() > exceptions_before_) abort(ExitCode::failure);
    if (const OpenHandles open = open_handles(); open.communicators != 0 || open.requests != 0) {
        fmt::print(stderr, "{} communicators and {} requests were never given back\n",
                   open.communicators, open.requests);
        abort(ExitCode::failure);
    }
    MPI_Finalize();
}

int run_to_the_end_together(const Communicator& world, const std::function<int()>& body,
                            const std::function<void(const std::string&)>& report, double grace_s) {
    const Communicator exits = world.duplicate();
    const Ending own = run_to_the_end(body);
    const bool failed = own.exit_code != 0 || !own.message.empty();
    // A rank that ended well waits as long as the others need; one that failed may be waited for.
    if (failed && !all_arrive(exits.raw(), grace_s)) {
        report(own.message.empty()
                   ? fmt::format(
                         "rank {} ended with exit code {}, the others did not: all are stopped",
                         world.rank(), own.exit_code)
                   : fmt::format("rank {}: {}", world.rank(), own.message));
        abort(static_cast<ExitCode>(own.exit_code));
    }
    if (!failed) {
        MPI_Request request = MPI_REQUEST_NULL;
        THRESHER_MPI(MPI_Ibarrier(exits.raw(), &request));
        THRESHER_MPI(MPI_Wait(&request, MPI_STATUS_IGNORE));
    }
    const auto collective = make_mpi_collective(exits.duplicate());
    report_all(*collective, own, report);
    const auto codes = collective->all_gather_v(std::span<const int>(&own.exit_code, 1));
    const auto bad =
        std::find_if(codes.values.begin(), codes.values.end(), [](int c) { return c != 0; });
    return bad == codes.values.end() ? 0 : *bad;
}

}  // namespace thresher::mpi
