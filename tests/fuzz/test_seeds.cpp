// What the fuzzer starts from, and what it once found: each is read, or refused with an error, also
// cut short and with bytes changed; and in little memory, whatever a header claims.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <random>

#include "io/atomic_file.hpp"
#include "tests/fuzz/readers.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

constexpr int kChanged = 100;                  // of each seed
constexpr rlim_t kMemory = rlim_t{512} << 20;  // that a reader may take, address space and all

std::vector<std::string> seeds_of(const Reader& reader) {
    std::vector<std::string> seeds;
    for (const auto& entry : std::filesystem::directory_iterator(THRESHER_FUZZ_SEEDS)) {
        const std::string name = entry.path().stem().string();
        if (name == reader.name || name.rfind(std::string(reader.name) + "-", 0) == 0) {
            seeds.push_back(io::read_file(entry.path().string()));
        }
    }
    return seeds;
}

std::string changed(std::string bytes, bool cut_only, std::mt19937& random) {
    if (bytes.empty()) return bytes;
    if (cut_only || random() % 4 == 0) bytes.resize(random() % bytes.size());
    if (cut_only) return bytes;
    for (std::uint32_t i = 0; !bytes.empty() && i < 1 + random() % 8; ++i) {
        bytes[random() % bytes.size()] = static_cast<char>(random() % 3 == 0 ? 0xff : random());
    }
    return bytes;
}

/// Runs `body` in a process of its own that has little memory; what came of it.
std::string alone(const std::function<void()>& body) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
#ifndef __SANITIZE_ADDRESS__
        long pages = 0;
        if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
            if (std::fscanf(file, "%ld", &pages) != 1) pages = 0;
            std::fclose(file);
        }
        const rlim_t most = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE)) + kMemory;
        const rlimit memory{most, most};
        setrlimit(RLIMIT_AS, &memory);
#endif
        try {
            body();
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
            _exit(3);
        }
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) return "died of signal " + std::to_string(WTERMSIG(status));
    return WEXITSTATUS(status) == 0 ? "" : "threw an error of the wrong type";
}

}  // namespace

TEST_CASE("every file is read or refused, whatever is in it") {
    for (const Reader& reader : readers()) {
        CAPTURE(reader.name);
        const auto seeds = seeds_of(reader);
        REQUIRE_FALSE(seeds.empty());
        for (const std::string& seed : seeds) {
            const TemporaryDirectory scratch;
            CHECK(alone([&] {
                      feed(reader, seed, scratch.path());
                      std::mt19937 random(1);
                      for (int i = 0; i < kChanged; ++i) {
                          feed(reader, changed(seed, !reader.changed_too, random), scratch.path());
                      }
                  }) == "");
        }
    }
}

TEST_CASE("what the fuzzer starts from is accepted") {
    for (const Reader& reader : readers()) {
        CAPTURE(reader.name);
        const std::string path = std::string(THRESHER_FUZZ_SEEDS) + "/" + std::string(reader.name) +
                                 std::string(reader.suffix);
        const TemporaryDirectory scratch;
        CHECK_NOTHROW(reader.read(path, scratch.path()));
    }
}
