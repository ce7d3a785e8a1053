#include "io/provenance.hpp"

#include <ctime>

#include "git_commit.hpp"  // made at every build: THRESHER_GIT_COMMIT
#include "io/hdf5/file.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

std::string producer_version() { return THRESHER_VERSION; }

std::vector<std::pair<std::string, std::string>> library_versions() {
    return {{"HDF5", THRESHER_HDF5_VERSION},
            {"MPI", THRESHER_MPI_VERSION},
            {"LibTorch", THRESHER_TORCH_VERSION}};
}
std::string git_commit() { return THRESHER_GIT_COMMIT; }

std::string utc_now() {
    const std::time_t now = std::time(nullptr);
    std::tm fields{};
    gmtime_r(&now, &fields);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &fields);
    return text;
}

void write_provenance(hdf5::File& file, const std::string& format, const Provenance& provenance) {
    const hdf5::ObjectRef root = file.root();
    const auto text = [&](const char* name, const std::string& value) {
        hdf5::write_attribute(root, name, value);
    };
    text("format", format);
    hdf5::write_attribute(root, "format_version", kFormatVersion);
    text("created_utc", utc_now());
    text("producer", "thresher");
    text("producer_version", producer_version());
    text("git_commit", git_commit());
    text("hdf5_version", THRESHER_HDF5_VERSION);
    text("mpi_version", THRESHER_MPI_VERSION);
    text("torch_version", THRESHER_TORCH_VERSION);
    text("command_line", provenance.command_line);
    text("config", provenance.config);
    text("inputs_checksum", provenance.inputs_checksum);
    // A seed beyond 2^63 - 1 wraps; readers of i64 see the same 64 bits.
    hdf5::write_attribute(root, "seed", static_cast<std::int64_t>(provenance.seed));
    hdf5::write_attribute(root, "mpi_ranks", std::int64_t{provenance.mpi_ranks});
}

std::string format_of(const hdf5::File& file) {
    return hdf5::read_string(file.root(), "format").value_or("");
}

void expect_format(const hdf5::File& file, const std::string& expected) {
    const std::string found = format_of(file);
    THRESHER_CHECK_AS(FileError, found == expected,
                      "{}: {}, expected a {} file (attribute format = \"{}\")", file.path(),
                      found.empty()
                          ? "is an HDF5 file that Thresher did not write (no attribute format)"
                          : "is a " + found + " file",
                      expected, expected);
    expect_version(file.path(), hdf5::read_number(file.root(), "format_version").value_or(0.0));
}

void expect_version(const std::string& path, double version) {
    THRESHER_CHECK_AS(
        FileError, version >= 1 && version <= static_cast<double>(kFormatVersion),
        "{}: has format_version {}, this program reads up to {}; use a newer Thresher", path,
        version, kFormatVersion);
}

}  // namespace thresher::io
