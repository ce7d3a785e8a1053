#pragma once

// What models said of a pool: per row any of class outputs [S, C], an embedding [d], losses by
// role, the best boxes of a detector. Written by all ranks into one file, read block by block; made
// by Thresher or by any other framework.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.hpp"
#include "io/predictions/shared_file.hpp"
#include "io/provenance.hpp"
#include "src/base/collective.hpp"
#include "src/detection/found_boxes.hpp"
#include "src/pool/blocks.hpp"
#include "src/pool/quarantine.hpp"

namespace thresher::io {

/// What the class outputs in a file are; /log_probs is what Thresher writes.
enum class OutputKind { none, log_probs, logits, probabilities };

struct PredictionsInfo {
    std::string path;
    std::int64_t rows = 0;
    OutputKind output_kind = OutputKind::none;
    std::int64_t samples = 0, classes = 0;  ///< S and C of the outputs
    std::int64_t embedding_size = 0;        ///< 0: none
    std::vector<std::string> loss_roles;    ///< "learner", "reference", "online"; "predicted"
    bool consistent_samples = true;         ///< sample s of every row is made by one model
    BoxShape boxes;
    bool has_ids = false;  ///< false: ids are rows
    std::vector<std::string> class_names;
    std::string strategy;         ///< how they were made; empty where unknown
    std::string inputs_checksum;  ///< of the pool they were made from; empty where unknown
    std::int64_t block_rows = 0;

    std::int64_t bytes_per_row() const {
        return 4 * (samples * classes + embedding_size +
                    static_cast<std::int64_t>(loss_roles.size()) + boxes.numbers()) +
               (has_ids ? 8 : 0);
    }
};

/// Consecutive rows; spans of what the file lacks are empty.
struct PredictionBlock {
    RowRange rows;
    std::span<const std::int64_t> ids;  ///< [rows]
    std::span<const float> outputs;     ///< [rows, S, C] of PredictionsInfo::output_kind
    std::span<const float> embeddings;  ///< [rows, d]
    std::map<std::string, std::span<const float>> losses;  ///< role -> [rows]
    FoundBoxes found{};
};

/// Writes /log_probs, /embeddings, /losses and /box_* of one predictions file, each rank its own
/// rows.
class PredictionsWriter {
  public:
    /// `info` says what will be written (path, rows, samples, ..., output_kind none or log_probs).
    /// Throws the same FileError on all ranks. Collective.
    PredictionsWriter(const PredictionsInfo& info, const Provenance& provenance,
                      Overwrite overwrite, Collective& collective,
                      const SharedFileOpener& open_shared);
    ~PredictionsWriter();
    PredictionsWriter(const PredictionsWriter&) = delete;
    PredictionsWriter& operator=(const PredictionsWriter&) = delete;

    /// Rows this rank owns, in any order; large runs of rows are fast. Throws FileError. Local, but
    /// the job must agree() on a failure.
    void write(const PredictionBlock& block);

    /// Stores what could not be predicted, closes and renames. Collective.
    void finish(const std::vector<QuarantinedRow>& quarantine = {});

  private:
    class Body;
    std::unique_ptr<Body> body_;
};

/// Streams the blocks that a rank owns, one read ahead by a thread.
class PredictionsReader {
  public:
    virtual ~PredictionsReader() = default;
    virtual const PredictionsInfo& info() const = 0;
    virtual RowRange owned_rows() const = 0;
    /// False once all owned blocks were handed out. The spans stay valid until the next call.
    virtual bool next(PredictionBlock& block) = 0;
    virtual void rewind() = 0;
    /// Any consecutive rows of the file. The spans stay valid until the next read().
    virtual void read(RowRange rows, PredictionBlock& block) = 0;
    /// Ids of any consecutive rows; the rows themselves where the file has none.
    virtual void read_ids(RowRange rows, std::span<std::int64_t> ids) const = 0;
    virtual double seconds_waiting() const = 0;
    /// Rows met so far that the file sets apart itself (/quarantine), whose probabilities are
    /// negative or do not sum to 1 within 1e-3, or whose outputs hold a NaN or +inf (log_probs:
    /// above 0 by 1e-3), or of whose boxes one has no distribution, a score or flip that is not in
    /// [0, 1] or numbers beyond the last. Each row once.
    virtual const std::vector<QuarantinedRow>& quarantine() const = 0;
};

/// Checks the file's shapes and types; throws FileError listing every problem. /log_probs, /logits
/// or /probabilities are [N, S, C], or [N, C] for S = 1; /box_scores [N, M] and /box_log_probs
/// [N, M, K] come together, /box_flips and /box_discrepancies [N, M] with them. Local.
PredictionsInfo describe_predictions(const std::string& path);

/// Opens `path` for `rank` of `ranks`; `block_rows` 0: a few MiB, less where a rank would have no
/// block otherwise. Throws as describe_predictions. Local.
std::unique_ptr<PredictionsReader> open_predictions(const std::string& path, int rank, int ranks,
                                                    std::int64_t block_rows = 0);

}  // namespace thresher::io
