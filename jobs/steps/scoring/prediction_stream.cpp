#include "jobs/steps/scoring/prediction_stream.hpp"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "io/checksum.hpp"
#include "io/pool/block_reader.hpp"
#include "io/predictions/predictions_file.hpp"
#include "src/acquisition/outputs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/pool/block_slices.hpp"
#include "src/pool/example_blocks.hpp"

namespace thresher::jobs {

namespace {

/// `rows` cut into runs that are read in one go: neighbours, up to `most` rows from first to last.
template <class Body>
void for_each_run(std::span<const std::int64_t> rows, std::int64_t most, Body body) {
    for (std::size_t first = 0, last = 0; first < rows.size(); first = last) {
        while (last < rows.size() && rows[last] - rows[first] < most) ++last;
        body(RowRange{rows[first], rows[last - 1] + 1}, rows.subspan(first, last - first));
    }
}

class FileStream final : public PredictionStream {
  public:
    FileStream(const std::string& path, const io::PoolFile* pool, int rank, int ranks)
        : reader_(io::open_predictions(path, rank, ranks)) {
        const io::PredictionsInfo& info = reader_->info();
        total_rows_ = info.rows;
        owned_ = reader_->owned_rows();
        if (info.output_kind != io::OutputKind::none) {
            shape_.samples = info.samples;
            shape_.classes = info.classes;
            shape_.consistent_samples = info.consistent_samples;
        }
        shape_.embedding_size = info.embedding_size;
        shape_.loss_roles = info.loss_roles;
        shape_.boxes = info.boxes;
        if (pool != nullptr) {
            THRESHER_CHECK_AS(UsageError, pool->info().rows == info.rows,
                              "{} has {} rows, but {} predictions are in {}; give the pool they "
                              "were made from",
                              pool->info().path, pool->info().rows, info.rows, path);
            if (rank == 0 && !info.inputs_checksum.empty() &&
                info.inputs_checksum != io::inputs_checksum(pool->info().path)) {
                log::warn(
                    "{} was made from another file than {}, which has as many rows; they are "
                    "joined row by row, so make sure that the rows are the same",
                    path, pool->info().path);
            }
            has_targets_ = pool->info().has_targets;
            if (has_targets_) label_classes_ = pool->info().classes;
            pool_ = *pool;
        }
        ids_of_pool_ = !info.has_ids && pool_ && pool_->info().has_ids;
        if (info.has_ids || ids_of_pool_) {
            ids_.resize(static_cast<std::size_t>(owned_.size()));
            ids_of_pool_ ? pool_->read_ids(owned_, ids_) : reader_->read_ids(owned_, ids_);
        }
    }

    bool next(PredictionView& view, RowRange& rows) override {
        io::PredictionBlock block;
        if (!reader_->next(block)) return false;
        rows = block.rows;
        view.ids = ids_in(block);
        view.log_probs = to_log_probs(block.outputs);
        view.samples = shape_.samples;
        view.classes = shape_.classes;
        view.embeddings = block.embeddings;
        view.embedding_size = shape_.embedding_size;
        view.losses = std::move(block.losses);
        view.found = block.found;
        if (has_targets_) {
            targets_.resize(static_cast<std::size_t>(rows.size()));
            pool_->read_targets(rows, targets_);
            view.targets = targets_;
        }
        return true;
    }

    RowPredictions predict(std::span<const std::int64_t> rows) override {
        RowPredictions found;
        for_each_run(rows, reader_->info().block_rows, [&](RowRange run, auto wanted) {
            io::PredictionBlock block;
            reader_->read(run, block);
            const std::span<const std::int64_t> ids = ids_in(block);
            const std::span<const float> log_probs = to_log_probs(block.outputs);
            const auto outputs = static_cast<std::size_t>(shape_.samples * shape_.classes);
            const auto size = static_cast<std::size_t>(shape_.embedding_size);
            for (const std::int64_t row : wanted) {
                const auto offset = static_cast<std::size_t>(row - run.begin);
                found.ids.push_back(ids[offset]);
                const auto some = log_probs.subspan(offset * outputs, outputs);
                found.log_probs.insert(found.log_probs.end(), some.begin(), some.end());
                const auto embedding = block.embeddings.subspan(offset * size, size);
                found.embeddings.insert(found.embeddings.end(), embedding.begin(), embedding.end());
            }
        });
        return found;
    }

    std::vector<QuarantinedRow> quarantine() const override { return reader_->quarantine(); }
    double seconds_waiting() const override { return reader_->seconds_waiting(); }

  private:
    /// The pool's where the file has none.
    std::span<const std::int64_t> ids_in(const io::PredictionBlock& block) {
        if (!ids_of_pool_) return block.ids;
        block_ids_.resize(static_cast<std::size_t>(block.rows.size()));
        pool_->read_ids(block.rows, block_ids_);
        return block_ids_;
    }

    std::span<const float> to_log_probs(std::span<const float> outputs) {
        const io::OutputKind kind = reader_->info().output_kind;
        if (kind != io::OutputKind::logits && kind != io::OutputKind::probabilities) return outputs;
        log_probs_.resize(outputs.size());
        (kind == io::OutputKind::logits ? logits_to_log_probs : probabilities_to_log_probs)(
            outputs, shape_.classes, log_probs_);
        return log_probs_;
    }

    std::unique_ptr<io::PredictionsReader> reader_;
    std::optional<io::PoolFile> pool_;
    std::vector<float> log_probs_;
    std::vector<std::int64_t> targets_, block_ids_;
    bool ids_of_pool_ = false;
};

class ModelStream final : public PredictionStream {
  public:
    ModelStream(Job& job, const io::PoolFile& pool, std::unique_ptr<Predictor> predictor)
        : pool_(pool),
          predictor_(std::move(predictor)),
          source_(slice_blocks(
              io::make_block_reader(pool, job.collective().rank(), job.collective().size()),
              predictor_ ? predictor_->shape().bytes_per_row() : 0)),
          phases_(job.phases()) {
        total_rows_ = pool.info().rows;
        owned_ = source_->owned_rows();
        has_targets_ = pool.info().has_targets;
        if (has_targets_ || pool.info().has_boxes) label_classes_ = pool.info().classes;
        if (predictor_) shape_ = predictor_->shape();
        if (pool.info().has_ids) {
            ids_.resize(static_cast<std::size_t>(owned_.size()));
            pool.read_ids(owned_, ids_);
        }
        const bool by_targets =
            std::any_of(shape_.loss_roles.begin(), shape_.loss_roles.end(),
                        [](const std::string& role) { return role != "predicted"; });
        if (by_targets) {
            quarantine_ = pool.bad_targets(owned_);
            for (const QuarantinedRow& row : quarantine_) bad_targets_.insert(row.id);
        }
    }

    bool next(PredictionView& view, RowRange& rows) override {
        if (!source_->next(block_)) return false;
        rows = block_.rows;
        view.ids = block_.ids;
        view.targets = has_targets_ ? block_.targets : std::span<const std::int64_t>{};
        view.boxes = block_.boxes;
        if (!predictor_) return true;
        const auto timer = phases_.time("predict");
        predictor_->predict(block_, predictions_);
        for (const QuarantinedRow& row : predictions_.quarantined) {
            if (!bad_targets_.contains(row.id)) quarantine_.push_back(row);
        }
        view.log_probs = predictions_.log_probs;
        view.samples = predictions_.samples;
        view.classes = predictions_.classes;
        view.embeddings = predictions_.embeddings;
        view.embedding_size = predictions_.embedding_size;
        for (const auto& [role, losses] : predictions_.losses) view.losses[role] = losses;
        view.found = predictions_.found();
        return true;
    }

    RowPredictions predict(std::span<const std::int64_t> rows) override {
        RowPredictions found;
        if (rows.empty()) return found;
        const auto timer = phases_.time("predict");
        const auto examples = io::make_example_source(pool_, rows, std::int64_t{64} << 20);
        const auto blocks = blocks_of_examples(*examples, 0, 1, rows_together());
        Block some;
        Predictions predictions;
        while (blocks->next(some)) {
            predictor_->predict(some, predictions);
            found.ids.insert(found.ids.end(), some.ids.begin(), some.ids.end());
            found.log_probs.insert(found.log_probs.end(), predictions.log_probs.begin(),
                                   predictions.log_probs.end());
            found.embeddings.insert(found.embeddings.end(), predictions.embeddings.begin(),
                                    predictions.embeddings.end());
        }
        return found;
    }

    std::int64_t rows_together() const override { return predictor_->micro_batch(); }

    std::vector<QuarantinedRow> quarantine() const override { return quarantine_; }
    double seconds_waiting() const override { return source_->seconds_waiting(); }
    std::map<std::string, double> flops() const override {
        return predictor_ ? predictor_->flops() : std::map<std::string, double>{};
    }

  private:
    io::PoolFile pool_;
    std::unique_ptr<Predictor> predictor_;
    std::unique_ptr<BlockSource> source_;
    Phases& phases_;
    Block block_;
    Predictions predictions_;
    std::vector<QuarantinedRow> quarantine_;
    std::unordered_set<std::int64_t> bad_targets_;
};

}  // namespace

std::vector<std::string> PredictionStream::available() const {
    std::vector<std::string> words;
    if (shape_.classes > 0) words.emplace_back("log_probs");
    if (shape_.samples > 1) {
        words.emplace_back("samples");
        if (shape_.consistent_samples) words.emplace_back("consistent-samples");
    }
    if (shape_.embedding_size > 0) words.emplace_back("embeddings");
    if (shape_.boxes.most > 0) words.emplace_back("boxes");
    if (shape_.boxes.flips) words.emplace_back("box-flips");
    if (shape_.boxes.discrepancies) words.emplace_back("box-discrepancies");
    for (const std::string& role : shape_.loss_roles) words.push_back("losses/" + role);
    if (has_targets_) words.emplace_back("targets");
    if (label_classes_ > 0) words.emplace_back("class-counts");
    return words;
}

std::unique_ptr<PredictionStream> stream_predictions_file(Job& job, const std::string& path,
                                                          const io::PoolFile* pool) {
    std::unique_ptr<PredictionStream> stream;
    agree(job.collective(), [&] {
        stream = std::make_unique<FileStream>(path, pool, job.collective().rank(),
                                              job.collective().size());
    });
    return stream;
}

std::unique_ptr<PredictionStream> stream_models(Job& job, const io::PoolFile& pool,
                                                std::unique_ptr<Predictor> predictor) {
    std::unique_ptr<PredictionStream> stream;
    agree(job.collective(),
          [&] { stream = std::make_unique<ModelStream>(job, pool, std::move(predictor)); });
    return stream;
}

std::vector<std::int64_t> gather_rows(Collective& collective, std::span<const std::int64_t> own) {
    return collective.all_gather_v(own).values;
}

std::vector<std::int64_t> marked_rows(Collective& collective, const PredictionStream& stream,
                                      std::span<const std::uint8_t> marks) {
    std::vector<std::int64_t> own;
    for (std::size_t i = 0; i < marks.size(); ++i) {
        if (marks[i] != 0) {
            own.push_back(stream.owned_rows().begin + static_cast<std::int64_t>(i));
        }
    }
    return gather_rows(collective, own);
}

namespace {

/// What this rank predicts, each part of it sent through `gather`.
template <class Gather>
RowPredictions predict_and_gather(Collective& collective, PredictionStream& stream,
                                  std::span<const std::int64_t> rows, const Gather& gather) {
    const BlockPartition pieces{std::ssize(rows), stream.rows_together(), collective.size()};
    const RowRange part = pieces.owned_rows(collective.rank());
    RowPredictions own;
    agree(collective, [&] {
        own = stream.predict(rows.subspan(static_cast<std::size_t>(part.begin),
                                          static_cast<std::size_t>(part.size())));
    });
    RowPredictions all;
    all.ids = gather(std::span<const std::int64_t>(own.ids)).values;
    all.log_probs = gather(std::span<const float>(own.log_probs)).values;
    all.embeddings = gather(std::span<const float>(own.embeddings)).values;
    return all;
}

}  // namespace

RowPredictions gather_predictions(Collective& collective, PredictionStream& stream,
                                  std::span<const std::int64_t> rows) {
    return predict_and_gather(collective, stream, rows,
                              [&](auto values) { return collective.all_gather_v(values); });
}

RowPredictions gather_predictions_at_root(Collective& collective, PredictionStream& stream,
                                          std::span<const std::int64_t> rows) {
    return predict_and_gather(collective, stream, rows,
                              [&](auto values) { return collective.gather_v(values); });
}

}  // namespace thresher::jobs
