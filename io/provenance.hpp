#pragma once

// Where a file comes from: the root attributes that every Thresher file carries.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace thresher::io {

namespace hdf5 {
class File;
}

/// What only the job knows of a file that it writes. Only the root's is written.
struct Provenance {
    std::string command_line;
    std::string config;  ///< TOML text of all settings
    std::uint64_t seed = 0;
    int mpi_ranks = 1;
    std::string inputs_checksum;  ///< of what the file was made from; see io/checksum.hpp
};

/// Writes the attributes `format`, `format_version`, `created_utc`, `producer`, `producer_version`,
/// `git_commit`, `hdf5_version`, `mpi_version`, `torch_version` and those of `provenance` to the
/// root group. Throws FileError. Local.
void write_provenance(hdf5::File& file, const std::string& format, const Provenance& provenance);

/// The attribute `format`; empty where there is none.
std::string format_of(const hdf5::File& file);

/// Throws FileError unless the attribute `format` is `expected` and `format_version` is one this
/// program reads. Names the file and what it holds instead. Local.
void expect_format(const hdf5::File& file, const std::string& expected);

/// The newest version of every format that this program reads, and the one that it writes.
inline constexpr std::int64_t kFormatVersion = 1;

/// Throws FileError, naming the file, for a format_version that this program does not read. Local.
void expect_version(const std::string& path, double version);

/// This build: "0.1.0" and the commit it was configured from.
std::string producer_version();
/// Name and version of each library this program was built with.
std::vector<std::pair<std::string, std::string>> library_versions();
std::string git_commit();

/// Now, as 2026-01-31T12:00:00Z.
std::string utc_now();

}  // namespace thresher::io
