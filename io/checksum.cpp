#include "io/checksum.hpp"

#include <fcntl.h>
#include <xxhash.h>

#include <filesystem>
#include <map>
#include <vector>

#include "io/descriptor.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::int64_t kWholeBytes = std::int64_t{64} << 20;
constexpr std::int64_t kEndBytes = std::int64_t{8} << 20;

std::string as_text(XXH64_hash_t hash) { return fmt::format("xxh3-64:{:016x}", hash); }

void add_piece(Checksum& checksum, Descriptor& file, std::int64_t offset, std::int64_t size) {
    std::vector<char> buffer(static_cast<std::size_t>(size));
    file.seek(offset);
    file.read_exactly(buffer.data(), buffer.size());
    checksum.add(buffer.data(), buffer.size());
}

}  // namespace

std::uint64_t hash_of_bytes(std::string_view bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

std::string checksum_of_bytes(std::string_view bytes) { return as_text(hash_of_bytes(bytes)); }

void Checksum::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

Checksum::Checksum() : state_(XXH3_createState()) { XXH3_64bits_reset(state_.get()); }

void Checksum::add(const void* bytes, std::size_t size) {
    XXH3_64bits_update(state_.get(), bytes, size);
}

std::string Checksum::text() const { return as_text(XXH3_64bits_digest(state_.get())); }

std::string checksum_of_file(const std::string& path) {
    Descriptor file(path, O_RDONLY);
    Checksum checksum;
    std::vector<char> buffer(std::size_t{4} << 20);
    while (const std::size_t count = file.read(buffer.data(), buffer.size())) {
        checksum.add(buffer.data(), count);
    }
    return checksum.text();
}

namespace {

/// Of a folder of foreign files: their names and sizes, in order of name.
std::string listing_checksum(const std::string& directory) {
    std::map<std::string, std::uintmax_t> sizes;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
        if (!entry.is_regular_file()) continue;
        sizes[std::filesystem::relative(entry.path(), directory).string()] = entry.file_size();
    }
    std::string listing;
    for (const auto& [name, size] : sizes) listing += name + ' ' + std::to_string(size) + '\n';
    return checksum_of_bytes(listing);
}

}  // namespace

std::string inputs_checksum(const std::string& path) {
    if (path.empty()) return {};
    if (std::filesystem::is_directory(path)) {
        const std::string manifest = path + "/manifest.json";
        return std::filesystem::exists(manifest) ? checksum_of_file(manifest)
                                                 : listing_checksum(path);
    }
    Descriptor file(path, O_RDONLY);
    const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path));
    if (size <= kWholeBytes) return checksum_of_file(path);
    Checksum checksum;
    checksum.add(&size, sizeof size);
    add_piece(checksum, file, 0, kEndBytes);
    add_piece(checksum, file, size - kEndBytes, kEndBytes);
    return checksum.text();
}

}  // namespace thresher::io
