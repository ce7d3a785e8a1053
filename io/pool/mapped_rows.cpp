#include "io/pool/mapped_rows.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <utility>

#include "io/descriptor.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

/// The mappings a signal handler can look up, so that a bus error can name its file: no lock, no
/// allocation. Mappings beyond these are legal, and nameless.
struct Entry {
    std::atomic<std::uintptr_t> begin{0}, end{0};
    std::array<char, 512> message{};
};
constexpr std::size_t kEntries = 64;
std::array<Entry, kEntries> entries;
std::mutex entries_mutex;  // writers alone

std::uintptr_t page_bytes() { return static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE)); }

/// The mapping begins at a page, the rows somewhere in it.
std::span<std::byte> whole_pages(std::span<std::byte> bytes) {
    const std::uintptr_t before = reinterpret_cast<std::uintptr_t>(bytes.data()) % page_bytes();
    return {bytes.data() - before, bytes.size() + before};
}

extern "C" void on_bus_error(int signal, siginfo_t* info, void*) {
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    for (const Entry& entry : entries) {
        if (address < entry.begin.load() || address >= entry.end.load()) continue;
        [[maybe_unused]] const auto written =
            ::write(STDERR_FILENO, entry.message.data(), std::strlen(entry.message.data()));
        _exit(1);
    }
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void install_handler() {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    THRESHER_CHECK(sigaction(SIGBUS, &action, nullptr) == 0, "cannot install a handler for SIGBUS");
}

void remember(std::span<std::byte> pages, const std::string& path) {
    static std::once_flag installed;
    std::call_once(installed, install_handler);
    const std::lock_guard lock(entries_mutex);
    for (Entry& entry : entries) {
        if (entry.begin.load() != 0) continue;
        const std::string text = fmt::format(
            "thresher: {}: was cut short, or could not be read, while it was in use; nothing was "
            "written; make the file again\n",
            path.substr(0, entry.message.size() / 2));
        std::memcpy(entry.message.data(), text.c_str(),
                    std::min(text.size() + 1, entry.message.size() - 1));
        const auto begin = reinterpret_cast<std::uintptr_t>(pages.data());
        entry.end.store(begin + pages.size() + page_bytes());
        entry.begin.store(begin);
        return;
    }
}

void forget(std::span<std::byte> pages) {
    const std::lock_guard lock(entries_mutex);
    for (Entry& entry : entries) {
        if (entry.begin.load() != reinterpret_cast<std::uintptr_t>(pages.data())) continue;
        entry.end.store(0);
        entry.begin.store(0);
        return;
    }
}

}  // namespace

MappedRows::MappedRows(const std::string& path, std::int64_t offset, std::size_t size_bytes) {
    if (size_bytes == 0) return;
    const Descriptor file(path, O_RDONLY);
    const std::size_t before = static_cast<std::size_t>(offset) % page_bytes();
    void* pages =
        mmap(nullptr, size_bytes + before, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
             file.get(), static_cast<off_t>(offset) - static_cast<off_t>(before));
    THRESHER_CHECK_AS(FileError, pages != MAP_FAILED, "{}: {} bytes cannot be mapped: {}", path,
                      size_bytes, std::strerror(errno));
#ifdef MADV_POPULATE_READ
    // All pages at once: half the price of a fault for every sixteen. A hint; a system that does
    // not know it says so, and faults.
    static_cast<void>(madvise(pages, size_bytes + before, MADV_POPULATE_READ));
#endif
    bytes_ = {static_cast<std::byte*>(pages) + before, size_bytes};
    remember(whole_pages(bytes_), path);
}

MappedRows::~MappedRows() {
    if (bytes_.empty()) return;
    const std::span<std::byte> pages = whole_pages(bytes_);
    forget(pages);
    munmap(pages.data(), pages.size());
}

MappedRows::MappedRows(MappedRows&& other) noexcept
    : bytes_(std::exchange(other.bytes_, std::span<std::byte>{})) {}

MappedRows& MappedRows::operator=(MappedRows&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
}

}  // namespace thresher::io
