#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <type_traits>
#include <vector>

namespace thresher {

/// Asks the system for huge pages (2 MiB) under [begin, begin + size_bytes), before it is first
/// touched: fresh memory costs a page fault for every page. A hint alone; where the range is
/// smaller than one, or there are none, nothing changes. Local.
void advise_huge_pages(void* begin, std::size_t size_bytes);

/// Memory that std::free() takes back. Throws std::bad_alloc. Local.
void* allocate_huge_pages(std::size_t size_bytes);

/// `count` values, on huge pages where it is that large; `values` was empty. Throws std::bad_alloc.
/// Local.
template <class T>
void resize_on_huge_pages(std::vector<T>& values, std::size_t count) {
    values.reserve(count);
    advise_huge_pages(values.data(), count * sizeof(T));
    values.resize(count);
}

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
template <class T>
using HugeBuffer = std::unique_ptr<T[], Free>;

/// Room for `count` values, not set to anything; on whole huge pages where it is that large. Throws
/// std::bad_alloc. Local.
template <class T>
HugeBuffer<T> make_huge_buffer(std::size_t count) {
    static_assert(std::is_trivial_v<T>);
    return HugeBuffer<T>(static_cast<T*>(allocate_huge_pages(count * sizeof(T))));
}

}  // namespace thresher
