#include "src/base/huge_pages.hpp"

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace thresher {

void advise_huge_pages(void* begin, std::size_t size_bytes) {
#ifdef __linux__
    constexpr std::uintptr_t kHugePage = std::uintptr_t{1} << 21;
    const auto address = reinterpret_cast<std::uintptr_t>(begin);
    const std::uintptr_t first = (address + kHugePage - 1) & ~(kHugePage - 1);
    const std::uintptr_t last = (address + size_bytes) & ~(kHugePage - 1);
    if (first < last) {
        static_cast<void>(madvise(static_cast<std::byte*>(begin) + (first - address), last - first,
                                  MADV_HUGEPAGE));
    }
#else
    static_cast<void>(begin);
    static_cast<void>(size_bytes);
#endif
}

}  // namespace thresher
