// The entry of libFuzzer. THRESHER_FUZZ_READER names the reader, THRESHER_FUZZ_SCRATCH a folder of
// its own.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/fuzz/readers.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const thresher::test::Reader* const reader = [] {
        const char* name = std::getenv("THRESHER_FUZZ_READER");
        for (const auto& each : thresher::test::readers()) {
            if (name != nullptr && each.name == name) return &each;
        }
        std::fprintf(stderr, "THRESHER_FUZZ_READER names no reader\n");
        std::exit(2);
    }();
    static const std::string scratch = std::getenv("THRESHER_FUZZ_SCRATCH");
    thresher::test::feed(*reader, {reinterpret_cast<const char*>(data), size}, scratch);
    return 0;
}
