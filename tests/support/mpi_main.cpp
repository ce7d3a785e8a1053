// Catch2's main for programs started by mpirun: all ranks run all tests, rank 0 prints one report,
// and all exit with the same code. With THRESHER_TEST_NCCL, over NCCL where every rank has a GPU of
// its own.

#define CATCH_CONFIG_RUNNER
#include <fmt/format.h>

#include <iostream>
#include <map>
#include <sstream>

#include "mpi/cuda_backend.hpp"
#include "mpi/environment.hpp"
#include "mpi/messages.hpp"
#include "mpi/watchdog.hpp"
#include "tests/support/ranks.hpp"

namespace {

/// What Catch2 prints on this rank.
std::ostringstream& own_report() {
    static std::ostringstream report;
    return report;
}

#ifdef THRESHER_TEST_NCCL
constexpr const char* kCollective = "nccl";
int own_device() { return thresher::mpi::Communicator::world().split_node_local().rank(); }
#else
constexpr const char* kCollective = "mpi";
int own_device() { return -1; }
#endif

#ifdef THRESHER_TEST_NCCL
/// What ctest takes for "skipped".
constexpr int kSkipped = 77;
#endif

void print_reports(thresher::Collective& collective, int exit_code) {
    const std::string own = own_report().str();
    const auto codes = collective.gather_v(std::span<const int>(&exit_code, 1));
    const auto reports = collective.gather_v(std::span<const char>(own));
    if (!collective.is_root()) return;
    std::cout << own;
    std::map<std::string, std::string> ranks_of;
    for (int rank = 1; rank < collective.size(); ++rank) {
        const auto text = reports.of(rank);
        const std::string report(text.begin(), text.end());
        if (codes.values[static_cast<std::size_t>(rank)] != 0 && report != own) {
            ranks_of[report] += fmt::format(" {}", rank);
        }
    }
    for (const auto& [report, ranks] : ranks_of) {
        std::cout << fmt::format("==== also failed, on rank{} of {} ====\n", ranks,
                                 collective.size())
                  << report;
    }
    std::cout << std::flush;
}

}  // namespace

namespace thresher::test {

void on_all_ranks(const std::function<void(Collective&)>& body) {
    auto collective = mpi::make_collective(kCollective, mpi::Communicator::world(), own_device());
    mpi::Watchdog watchdog(collective->rank(), 60.0, [](const std::string& report) {
        std::cerr << own_report().str() << report << std::flush;
        mpi::abort(ExitCode::failure);
    });
    collective->observe(&watchdog);
    body(*collective);
}

void on_all_messages(std::int64_t most_unsent,
                     const std::function<void(Messages&, Collective&)>& body) {
    const auto messages = mpi::make_mpi_messages(mpi::Communicator::world(), most_unsent);
    on_all_ranks([&](Collective& collective) {
        body(*messages, collective);
        messages->close();
    });
}

}  // namespace thresher::test

int main(int argc, char** argv) {
    thresher::mpi::Environment environment(argc, argv);
    const auto collective =
        thresher::mpi::make_collective("mpi", thresher::mpi::Communicator::world(), -1);
#ifdef THRESHER_TEST_NCCL
    std::string why_not;
    if (thresher::any_rank(*collective, !thresher::mpi::cuda_backend_available(&why_not))) {
        if (collective->is_root()) std::cout << "skipped: " << why_not << std::endl;
        return kSkipped;
    }
#endif
    std::streambuf* console = std::cout.rdbuf(own_report().rdbuf());
    Catch::Session session;
#if __has_include(<catch2/catch_all.hpp>)
    session.configData().defaultColourMode = Catch::ColourMode::None;
#else
    session.configData().useColour = Catch::UseColour::No;
#endif
    int exit_code = session.applyCommandLine(argc, argv);
    if (exit_code == 0) exit_code = session.run();
    std::cout.rdbuf(console);

    print_reports(*collective, exit_code);
    std::int64_t worst = exit_code;
    collective->all_reduce_max(std::span(&worst, 1));
    return static_cast<int>(worst);
}
