#pragma once

// Tar archives, front to back: ustar, and the long names and sizes of GNU's and POSIX's extensions.

#include <cstdint>
#include <functional>
#include <string>

#include "io/importers/byte_stream.hpp"

namespace thresher::io {

struct TarEntry {
    std::string name;           ///< with its folders
    std::int64_t offset, size;  ///< of its bytes in the (unpacked) archive
};

/// Calls body(entry) for every file, the stream standing at its bytes; what `body` does not read it
/// must skip. Throws FileError.
void for_each_in_tar(ByteStream& stream, const std::function<void(const TarEntry&)>& body);

}  // namespace thresher::io
