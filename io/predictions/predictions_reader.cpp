#include <algorithm>
#include <numeric>
#include <optional>
#include <unordered_map>

#include "io/hdf5/file.hpp"
#include "io/pool/pool_shard.hpp"
#include "io/pool/read_ahead.hpp"
#include "io/predictions/predictions_file.hpp"
#include "io/predictions/predictions_layout.hpp"
#include "io/quarantine_table.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

/// The file with its datasets, and what describe_predictions() says of it.
struct OpenPredictions {
    explicit OpenPredictions(const std::string& path) : file(hdf5::File::open(path)) {
        info.path = path;
        if (!format_of(file).empty()) expect_format(file, "thresher-predictions");
        find_outputs();
        find_column("/ids", ids);
        find_embeddings();
        for (const std::string& role : file.list("/losses")) {
            std::optional<hdf5::Dataset> loss;
            find_column("/losses/" + role, loss);
            if (!loss) continue;
            info.loss_roles.push_back(role);
            losses.push_back(std::move(*loss));
        }
        find_boxes();
        if (info.rows == 0 && problems.empty()) {
            problems.push_back(
                fmt::format("there is none of /log_probs, /logits, /probabilities, /embeddings, "
                            "/losses/<role> and /box_scores, or it is empty; the file has {}",
                            fmt::join(file.list("/"), ", ")));
        }
        fail_with_problems(path, "predictions file", problems);
        info.has_ids = ids.has_value();
        info.strategy = hdf5::read_string(file.root(), "strategy").value_or("");
        info.inputs_checksum =
            hdf5::read_string(file.root(), "inputs_checksum").value_or(std::string());
        info.consistent_samples =
            hdf5::read_integer(file.root(), "consistent_samples").value_or(1) != 0;
        info.block_rows = default_block_rows(info.bytes_per_row());
    }

    void find_outputs() {
        for (OutputKind kind :
             {OutputKind::log_probs, OutputKind::logits, OutputKind::probabilities}) {
            const std::string name = output_dataset(kind);
            if (!file.is_dataset(name) || outputs) continue;
            outputs.emplace(file.dataset(name));
            info.output_kind = kind;
            const std::vector<std::int64_t>& shape = outputs->shape();
            if ((shape.size() != 2 && shape.size() != 3) || !is_float(*outputs)) {
                refuse(*outputs, "f32 [N, S, C] or [N, C]");
                continue;
            }
            info.samples = shape.size() == 3 ? shape[1] : 1;
            info.classes = shape.back();
            if (info.samples < 1 || info.classes < 1)
                refuse(*outputs, "at least one sample and class");
            info.class_names = hdf5::read_strings(outputs->ref(), "class_names")
                                   .value_or(std::vector<std::string>{});
            count_rows(*outputs);
        }
    }

    void find_embeddings() {
        if (!file.is_dataset("/embeddings")) return;
        embeddings.emplace(file.dataset("/embeddings"));
        if (embeddings->shape().size() != 2 || embeddings->elements_per_row() < 1 ||
            !is_float(*embeddings)) {
            return refuse(*embeddings, "f32 [N, d]");
        }
        info.embedding_size = embeddings->elements_per_row();
        count_rows(*embeddings);
    }

    void find_boxes() {
        const auto find = [&](const char* name, std::optional<hdf5::Dataset>& dataset,
                              std::size_t axes, const char* expected) {
            if (!file.is_dataset(name)) return;
            dataset.emplace(file.dataset(name));
            const auto& shape = dataset->shape();
            if (shape.size() != axes || !is_float(*dataset) || shape[1] < 1 ||
                (info.boxes.most > 0 && shape[1] != info.boxes.most)) {
                refuse(*dataset, expected);
                return dataset.reset();
            }
            info.boxes.most = shape[1];
            count_rows(*dataset);
        };
        find(kBoxScores, box_scores, 2, "f32 [N, M]");
        find(kBoxLogProbs, box_log_probs, 3, "f32 [N, M, K], M as /box_scores has it");
        find(kBoxFlips, box_flips, 2, "f32 [N, M], M as /box_scores has it");
        find(kBoxDiscrepancies, box_discrepancies, 2, "f32 [N, M], M as /box_scores has it");
        if (box_log_probs) info.boxes.classes = box_log_probs->shape()[2];
        info.boxes.flips = box_flips.has_value();
        info.boxes.discrepancies = box_discrepancies.has_value();
        if (box_log_probs && info.boxes.classes < 2)
            refuse(*box_log_probs, "a class and the background at least");
        if (problems.empty() && info.boxes.most > 0 && !(box_scores && box_log_probs)) {
            problems.push_back(fmt::format("{} is missing; boxes have scores and log-probabilities",
                                           box_scores ? kBoxLogProbs : kBoxScores));
        }
    }

    void find_column(const std::string& name, std::optional<hdf5::Dataset>& column) {
        if (!file.is_dataset(name)) return;
        column.emplace(file.dataset(name));
        const bool is_ids = name == "/ids";
        if (column->shape().size() != 1 || !(is_ids ? column->is_integer() : is_float(*column))) {
            return refuse(*column, is_ids ? "i64 [N]" : "f32 [N]");
        }
        count_rows(*column);
    }

    static bool is_float(const hdf5::Dataset& dataset) {
        return dataset.type() == hdf5::Type::float32 || dataset.type() == hdf5::Type::float64;
    }

    void refuse(const hdf5::Dataset& dataset, const char* expected) {
        problems.push_back(fmt::format("{} is {} of shape [{}], expected {}", dataset.name(),
                                       hdf5::type_name(dataset.type()),
                                       fmt::join(dataset.shape(), ", "), expected));
    }

    void count_rows(const hdf5::Dataset& dataset) {
        if (counted.empty()) {
            counted = dataset.name();
            info.rows = dataset.rows();
        } else if (dataset.rows() != info.rows) {
            problems.push_back(fmt::format("{} has {} rows, {} has {}", dataset.name(),
                                           dataset.rows(), counted, info.rows));
        }
    }

    hdf5::File file;
    PredictionsInfo info;
    std::optional<hdf5::Dataset> outputs, embeddings, ids;
    std::optional<hdf5::Dataset> box_log_probs, box_scores, box_flips, box_discrepancies;
    std::vector<hdf5::Dataset> losses;  ///< as info.loss_roles
    std::vector<std::string> problems;
    std::string counted;
};

struct Buffer {
    RowRange rows;
    std::vector<std::int64_t> ids;
    std::vector<float> outputs, embeddings;
    std::vector<std::vector<float>> losses;
    std::vector<float> box_log_probs, box_scores, box_flips, box_discrepancies;
    std::vector<QuarantinedRow> bad;

    /// Of all of its rows, or of `count` from `first` on.
    FoundBoxes found(const BoxShape& shape, std::size_t first, std::size_t count) const {
        const auto part = [&](const std::vector<float>& values, std::int64_t width) {
            if (values.empty()) return std::span<const float>();
            return std::span(values).subspan(first * static_cast<std::size_t>(width),
                                             count * static_cast<std::size_t>(width));
        };
        return {shape, part(box_log_probs, shape.most * shape.classes),
                part(box_scores, shape.most), part(box_flips, shape.most),
                part(box_discrepancies, shape.most)};
    }
};

class Reader final : public PredictionsReader {
  public:
    Reader(const std::string& path, int rank, int ranks, std::int64_t block_rows)
        : open_(path),
          partition_{open_.info.rows,
                     block_rows > 0 ? block_rows
                                    : std::clamp<std::int64_t>(open_.info.rows / (4 * ranks), 1,
                                                               open_.info.block_rows),
                     ranks},
          rows_(partition_.owned_rows(rank)),
          checked_until_(rows_.begin),
          blocks_(partition_.owned_blocks(rank), [this](std::int64_t block, Buffer& buffer) {
              fill(partition_.block(block), buffer);
          }) {
        open_.info.block_rows = partition_.block_rows;
        for (QuarantinedRow& row : read_quarantine(open_.file)) {
            reason_of_.emplace(row.id, std::move(row.reason));
        }
    }

    const PredictionsInfo& info() const override { return open_.info; }
    RowRange owned_rows() const override { return rows_; }
    void rewind() override { blocks_.rewind(); }
    double seconds_waiting() const override { return blocks_.seconds_waiting(); }
    const std::vector<QuarantinedRow>& quarantine() const override { return quarantine_; }

    bool next(PredictionBlock& block) override {
        const Buffer* buffer = blocks_.next();
        if (buffer == nullptr) return false;
        view(*buffer, block);
        if (buffer->rows.begin >= checked_until_) {
            quarantine_.insert(quarantine_.end(), buffer->bad.begin(), buffer->bad.end());
            checked_until_ = buffer->rows.end;
        }
        return true;
    }

    void read(RowRange rows, PredictionBlock& block) override {
        fill(rows, single_);
        view(single_, block);
    }

    void read_ids(RowRange rows, std::span<std::int64_t> ids) const override {
        if (open_.ids) return open_.ids->read(rows, ids);
        std::iota(ids.begin(), ids.end(), rows.begin);
    }

  private:
    void view(const Buffer& buffer, PredictionBlock& block) const {
        block.rows = buffer.rows;
        block.ids = buffer.ids;
        block.outputs = buffer.outputs;
        block.embeddings = buffer.embeddings;
        for (std::size_t i = 0; i < buffer.losses.size(); ++i) {
            block.losses[open_.info.loss_roles[i]] = buffer.losses[i];
        }
        block.found = buffer.found(open_.info.boxes, 0, buffer.ids.size());
    }

    void fill(RowRange rows, Buffer& buffer) const {
        const PredictionsInfo& info = open_.info;
        const auto count = static_cast<std::size_t>(rows.size());
        const auto width = static_cast<std::size_t>(info.samples * info.classes);
        buffer.rows = rows;
        buffer.ids.resize(count);
        read_ids(rows, buffer.ids);
        buffer.losses.resize(open_.losses.size());
        for (std::size_t i = 0; i < open_.losses.size(); ++i) {
            buffer.losses[i].resize(count);
            open_.losses[i].read(rows, buffer.losses[i]);
        }
        const auto read = [&](const std::optional<hdf5::Dataset>& dataset,
                              std::vector<float>& values) {
            if (!dataset) return;
            values.resize(count * static_cast<std::size_t>(dataset->elements_per_row()));
            dataset->read(rows, values);
        };
        read(open_.outputs, buffer.outputs);
        read(open_.embeddings, buffer.embeddings);
        read(open_.box_log_probs, buffer.box_log_probs);
        read(open_.box_scores, buffer.box_scores);
        read(open_.box_flips, buffer.box_flips);
        read(open_.box_discrepancies, buffer.box_discrepancies);
        buffer.bad.clear();
        for (std::size_t i = 0; i < count; ++i) {
            std::string reason = what_was_wrong(buffer.ids[i]);
            if (reason.empty() && open_.outputs) {
                const std::span<const float> row(buffer.outputs.data() + i * width, width);
                reason = what_is_wrong(info.output_kind, row, info.classes);
            }
            if (reason.empty() && info.boxes.most > 0) {
                reason = what_is_wrong(buffer.found(info.boxes, i, 1));
            }
            if (!reason.empty()) buffer.bad.push_back({buffer.ids[i], std::move(reason)});
        }
    }

    /// Why whoever wrote the file set this row apart; empty where it was not.
    std::string what_was_wrong(std::int64_t id) const {
        if (reason_of_.empty()) return {};
        const auto found = reason_of_.find(id);
        return found != reason_of_.end() ? found->second : std::string();
    }

    OpenPredictions open_;
    BlockPartition partition_;
    RowRange rows_;
    std::int64_t checked_until_;
    std::unordered_map<std::int64_t, std::string> reason_of_;  ///< of the file's own quarantine
    std::vector<QuarantinedRow> quarantine_;
    Buffer single_;
    ReadAhead<Buffer> blocks_;
};

}  // namespace

PredictionsInfo describe_predictions(const std::string& path) { return OpenPredictions(path).info; }

std::unique_ptr<PredictionsReader> open_predictions(const std::string& path, int rank, int ranks,
                                                    std::int64_t block_rows) {
    return std::make_unique<Reader>(path, rank, ranks, block_rows);
}

}  // namespace thresher::io
