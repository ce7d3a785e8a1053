#include "src/base/huge_pages.hpp"

#include <algorithm>
#include <cstdint>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace thresher {

namespace {

constexpr std::size_t kHugePage = std::size_t{1} << 21;

}  // namespace

void* allocate_huge_pages(std::size_t size_bytes) {
    const std::size_t alignment = size_bytes < kHugePage ? alignof(std::max_align_t) : kHugePage;
    const std::size_t whole = (size_bytes + alignment - 1) / alignment * alignment;
    void* const memory = std::aligned_alloc(alignment, std::max(whole, alignment));
    if (memory == nullptr) throw std::bad_alloc();
    advise_huge_pages(memory, whole);
    return memory;
}

void advise_huge_pages(void* begin, std::size_t size_bytes) {
#ifdef __linux__
    const auto address = reinterpret_cast<std::uintptr_t>(begin);
    // The first and the last huge page may hold a little of somebody else's memory, such as the
    // allocator's header of this one; the hint does them no harm.
    const std::uintptr_t first = address / kHugePage * kHugePage;
    const std::uintptr_t last = (address + size_bytes + kHugePage - 1) / kHugePage * kHugePage;
    if (size_bytes >= kHugePage) {
        static_cast<void>(madvise(static_cast<std::byte*>(begin) - (address - first), last - first,
                                  MADV_HUGEPAGE));
    }
#else
    static_cast<void>(begin);
    static_cast<void>(size_bytes);
#endif
}

}  // namespace thresher
