#pragma once

// Checksums (XXH3, 64 bits) that tie a file to the ones it was made from, and find damage.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct XXH3_state_s;  // xxhash.h

namespace thresher::io {

std::uint64_t hash_of_bytes(std::string_view bytes);

/// "xxh3-64:" and 16 hexadecimal digits.
std::string checksum_of_bytes(std::string_view bytes);

/// The same of bytes that come in pieces.
class Checksum {
  public:
    Checksum();
    void add(const void* bytes, std::size_t size);
    std::string text() const;

  private:
    struct Free {
        void operator()(XXH3_state_s* state) const;
    };
    std::unique_ptr<XXH3_state_s, Free> state_;
};

/// Of a file's whole content, read once in large pieces. Throws FileError. Local.
std::string checksum_of_file(const std::string& path);

/// Of what a job reads, without reading 10 TB: a shard directory counts by its manifest.json (which
/// holds every shard's checksum); another folder by its files' names and sizes; a file up to 64 MiB
/// by its content; a larger one by its size, its first and its last 8 MiB. Empty for an empty path.
/// Throws FileError. Local.
std::string inputs_checksum(const std::string& path);

}  // namespace thresher::io
