#include "io/checksum.hpp"

#include <fcntl.h>
#include <xxhash.h>

#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include "io/descriptor.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::int64_t kWholeBytes = std::int64_t{64} << 20;
constexpr std::int64_t kEndBytes = std::int64_t{8} << 20;

std::string as_text(XXH64_hash_t hash) { return fmt::format("xxh3-64:{:016x}", hash); }

class Hash {
  public:
    Hash() : state_(XXH3_createState(), &XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
    void add(const void* bytes, std::size_t size) { XXH3_64bits_update(state_.get(), bytes, size); }
    std::string text() const { return as_text(XXH3_64bits_digest(state_.get())); }

  private:
    std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

void add_piece(Hash& hash, Descriptor& file, std::int64_t offset, std::int64_t size) {
    std::vector<char> buffer(static_cast<std::size_t>(size));
    file.seek(offset);
    file.read_exactly(buffer.data(), buffer.size());
    hash.add(buffer.data(), buffer.size());
}

}  // namespace

std::uint64_t hash_of_bytes(std::string_view bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

std::string checksum_of_bytes(std::string_view bytes) { return as_text(hash_of_bytes(bytes)); }

std::string checksum_of_file(const std::string& path) {
    Descriptor file(path, O_RDONLY);
    Hash hash;
    std::vector<char> buffer(std::size_t{4} << 20);
    while (const std::size_t count = file.read(buffer.data(), buffer.size())) {
        hash.add(buffer.data(), count);
    }
    return hash.text();
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
    Hash hash;
    hash.add(&size, sizeof size);
    add_piece(hash, file, 0, kEndBytes);
    add_piece(hash, file, size - kEndBytes, kEndBytes);
    return hash.text();
}

}  // namespace thresher::io
