#pragma once

// Everything that reads a file which others wrote, as one function of a file's path each, for the
// fuzzer and for the test of its seeds.

#include <string>
#include <string_view>
#include <vector>

namespace thresher::test {

struct Reader {
    std::string_view name;    ///< its seeds are seeds/<name>*
    std::string_view suffix;  ///< what the file must be called to be read
    /// The HDF5 library itself cannot be trusted with metadata that was changed on purpose
    /// (docs/security.md).
    bool changed_too;
    /// Reads `path`, and writes only under `scratch`. Throws Error on anything that is wrong with
    /// the file; whatever else it throws is a fault.
    void (*read)(const std::string& path, const std::string& scratch);
};

const std::vector<Reader>& readers();

/// Has `reader` read `bytes`. Throws what is a fault. Local.
void feed(const Reader& reader, std::string_view bytes, const std::string& scratch);

}  // namespace thresher::test
