#pragma once

// One float a row and acquisition, higher = pick first, and the rows set apart. 10^9 rows and more.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.hpp"
#include "io/pool/mapped_rows.hpp"
#include "io/predictions/shared_file.hpp"
#include "io/provenance.hpp"
#include "src/base/collective.hpp"
#include "src/pool/blocks.hpp"
#include "src/pool/quarantine.hpp"

namespace thresher::io {

namespace hdf5 {
class Dataset;
}

/// What one rank has to say about its consecutive rows.
struct OwnScores {
    std::int64_t total_rows = 0;  ///< of all ranks
    RowRange rows;  ///< this rank's; the ranks' ranges are disjoint and cover all rows
    std::span<const std::int64_t> ids = {};  ///< [rows], or empty: ids are rows
    std::map<std::string, std::span<const float>> scores =
        {};  ///< acquisition -> [rows]; the same names everywhere
    std::vector<QuarantinedRow> quarantine = {};
};

/// How the bytes went, for tests and the ledger.
struct ScoresTransfer {
    std::int64_t bytes = 0;   ///< this rank wrote
    std::int64_t rounds = 0;  ///< collective writes
    std::int64_t collective_rounds =
        0;  ///< of those, truly collective ones (H5Pget_mpio_actual_io_mode)
};

/// Writes one scores file by all ranks: collective MPI-IO of each rank's rows, no gather of scores.
/// `description`s say what each acquisition is. Throws the same FileError on all ranks. Collective.
ScoresTransfer write_scores(const std::string& path, const OwnScores& own,
                            const std::map<std::string, std::string>& descriptions,
                            const Provenance& provenance, Overwrite overwrite,
                            Collective& collective, const SharedFileOpener& open_shared);

/// An open scores file. Local; safe from any thread.
class ScoresFile {
  public:
    /// Throws FileError listing every problem of the file.
    explicit ScoresFile(const std::string& path);

    const std::string& path() const;
    std::int64_t rows() const;
    std::vector<std::string> acquisitions() const;
    bool ids_are_rows() const;

    /// Scores of [begin, end), read in large pieces. Throws FileError; an unknown acquisition names
    /// the ones the file has. Quarantined rows hold NaN.
    void read(const std::string& acquisition, RowRange rows, std::span<float> scores) const;
    /// The same scores where the system keeps the file, without a copy; none where the file stores
    /// them otherwise than as plain floats in one piece. Throws as read().
    std::optional<MappedRows> map(const std::string& acquisition, RowRange rows) const;
    void read_ids(RowRange rows, std::span<std::int64_t> ids) const;
    /// All quarantined rows, in id order.
    std::vector<QuarantinedRow> quarantine() const;

  private:
    struct Contents;

    const hdf5::Dataset& dataset_of(const std::string& acquisition) const;

    std::shared_ptr<const Contents> contents_;
};

}  // namespace thresher::io
