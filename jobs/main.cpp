// thresher <verb>: finds the verb, starts MPI where there is a launcher, and brings all ranks to
// one exit code.

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>

#include "io/hdf5/handle.hpp"
#include "io/provenance.hpp"
#include "jobs/job.hpp"
#include "jobs/verbs.hpp"
#include "mpi/environment.hpp"
#include "src/base/check.hpp"

namespace {

using thresher::ExitCode;
using thresher::jobs::Verb;
using thresher::jobs::verbs;

void print_help() {
    std::puts(
        "Thresher finds the examples worth labelling, or worth training on, in a pool too large "
        "for either.\n");
    std::puts("Usage: thresher <verb> [options]        mpirun -n 4 thresher <verb> [options]\n");
    for (const Verb& verb : verbs()) {
        std::printf("  %-10s %s\n", std::string(verb.name).c_str(),
                    std::string(verb.summary).c_str());
    }
    std::puts("\nthresher <verb> --help shows the options of a verb and an example.");
    std::puts(
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 85 checkpointed after a stop signal (submit "
        "again).");
    std::puts("\nExample (after bash jobs/quickstart.sh):");
    for (const Verb& verb : verbs()) {
        if (verb.name == "select") std::printf("  %s\n", std::string(verb.example).c_str());
    }
}

const Verb* find_verb(const std::string& name) {
    for (const Verb& verb : verbs()) {
        if (verb.name == name) return &verb;
    }
    return nullptr;
}

int run(const Verb& verb, const std::vector<std::string>& arguments,
        const thresher::mpi::Communicator* world) {
    int exit_code = 0;
    try {
        thresher::jobs::Job job(verb, arguments, world);
        exit_code = job.run();
    } catch (const thresher::jobs::NothingToDo&) {
    }
#ifndef NDEBUG
    const auto open = thresher::io::hdf5::open_ids();
    THRESHER_CHECK(open == 0, "{} HDF5 ids were never closed", open);
#endif
    return exit_code;
}

int run_verb(int argc, char** argv) {
    const std::string name = argc > 1 ? argv[1] : "--help";
    const bool first_rank = thresher::mpi::is_first_by_launcher();
    if (name == "--help" || name == "-h" || name == "help") {
        if (first_rank) print_help();
        return 0;
    }
    if (name == "--version") {
        if (first_rank) {
            std::printf("thresher %s (%s)\n", thresher::io::producer_version().c_str(),
                        thresher::io::git_commit().c_str());
        }
        return 0;
    }
    const Verb* verb = find_verb(name);
    if (verb == nullptr) {
        if (first_rank) {
            std::fprintf(stderr, "thresher: unknown verb \"%s\"; thresher --help lists the verbs\n",
                         name.c_str());
        }
        return static_cast<int>(ExitCode::usage);
    }
    const std::vector<std::string> arguments(argv + 2, argv + argc);
    const auto report = [&](const std::string& message) {
        std::fprintf(stderr, "thresher %s: %s\n", name.c_str(), message.c_str());
    };
    if (!thresher::mpi::started_by_launcher()) {
        try {
            return run(*verb, arguments, nullptr);
        } catch (const thresher::Error& error) {
            report(error.what());
            return static_cast<int>(error.exit_code());
        } catch (const std::exception& error) {
            report(error.what());
            return static_cast<int>(ExitCode::failure);
        }
    }
    try {
        thresher::mpi::Environment environment(argc, argv);
        try {
            const auto world = thresher::mpi::Communicator::world();
            return thresher::mpi::run_to_the_end_together(
                world, [&] { return run(*verb, arguments, &world); }, report);
        } catch (const std::exception& error) {
            report(error.what());  // before the environment, which ends the job at once
            throw;
        }
    } catch (const std::exception& error) {
        report(error.what());
        return static_cast<int>(ExitCode::failure);
    }
}

}  // namespace

int main(int argc, char** argv) {
    int exit_code = run_verb(argc, argv);
    if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && exit_code == 0) {
        std::fprintf(stderr, "thresher: stdout cannot be written: results are lost\n");
        exit_code = static_cast<int>(ExitCode::failure);
    }
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__)
    // Files are closed and MPI is finalized: what would follow is LibTorch's operators taken apart
    // one by one, a third of the time that a short command takes.
    std::fflush(nullptr);
    std::_Exit(exit_code);
#else
    return exit_code;
#endif
}
