#pragma once

// Predictions of a rank's rows, block by block, from wherever the user has them: a file of any
// framework, or models that are run over a pool on the fly.

#include <memory>
#include <string>
#include <vector>

#include "io/pool/pool_file.hpp"
#include "jobs/job.hpp"
#include "src/acquisition/acquisition.hpp"
#include "src/strategy/predictor.hpp"

namespace thresher::jobs {

/// Predictions of chosen rows, in ascending order of row.
struct RowPredictions {
    std::vector<std::int64_t> ids;
    std::vector<float> log_probs, embeddings;  ///< [m, S, C] and [m, d]; empty where there are none
};

class PredictionStream {
  public:
    virtual ~PredictionStream() = default;

    std::int64_t total_rows() const { return total_rows_; }
    RowRange owned_rows() const { return owned_; }
    /// [owned rows]; empty where ids equal rows.
    const std::vector<std::int64_t>& ids() const { return ids_; }
    const PredictionsShape& shape() const { return shape_; }
    /// Of the pool's targets or boxes; 0 where it has neither.
    std::int64_t label_classes() const { return label_classes_; }
    /// What the predictions offer, in the words of Acquisition::needs.
    std::vector<std::string> available() const;

    /// The next block of own rows; false once all were handed out. The view's spans stay valid
    /// until the next call. Local.
    virtual bool next(PredictionView& view, RowRange& rows) = 0;
    /// Predictions of any rows, ascending. The last bits may depend on which rows come together,
    /// rows_together() at a time from the first on. Local.
    virtual RowPredictions predict(std::span<const std::int64_t> rows) = 0;
    virtual std::int64_t rows_together() const { return 1; }

    /// Own rows set apart so far: outputs that are no predictions, targets that cannot be used.
    virtual std::vector<QuarantinedRow> quarantine() const = 0;
    virtual double seconds_waiting() const = 0;
    /// Floating-point operations so far, by role.
    virtual std::map<std::string, double> flops() const { return {}; }

  protected:
    std::int64_t total_rows_ = 0;
    RowRange owned_;
    std::vector<std::int64_t> ids_;
    PredictionsShape shape_;
    bool has_targets_ = false;
    std::int64_t label_classes_ = 0;
};

/// Predictions in a file; `pool`, if not null, has the targets. Throws the same FileError on all
/// ranks. Collective.
std::unique_ptr<PredictionStream> stream_predictions_file(Job& job, const std::string& path,
                                                          const io::PoolFile* pool);

/// Predictions made on the fly; `predictor` null: none, only ids and targets. Throws the same Error
/// on all ranks. Collective.
std::unique_ptr<PredictionStream> stream_models(Job& job, const io::PoolFile& pool,
                                                std::unique_ptr<Predictor> predictor);

/// All ranks' rows, each rank's `own` ascending, on all ranks. Collective.
std::vector<std::int64_t> gather_rows(Collective& collective, std::span<const std::int64_t> own);

/// The rows that are marked [owned rows], of all ranks, on all ranks. Collective.
std::vector<std::int64_t> marked_rows(Collective& collective, const PredictionStream& stream,
                                      std::span<const std::uint8_t> marks);

/// Predictions of `rows`, ascending and the same on every rank, on all ranks: the same bits for any
/// number of them, which share the rows out. Collective.
RowPredictions gather_predictions(Collective& collective, PredictionStream& stream,
                                  std::span<const std::int64_t> rows);

/// The same, but empty on other ranks than the root. Collective.
RowPredictions gather_predictions_at_root(Collective& collective, PredictionStream& stream,
                                          std::span<const std::int64_t> rows);

}  // namespace thresher::jobs
