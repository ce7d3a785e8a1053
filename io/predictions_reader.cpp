#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <unordered_map>

#include "io/hdf5/file.hpp"
#include "io/pool_shard.hpp"
#include "io/predictions_file.hpp"
#include "io/predictions_layout.hpp"
#include "io/quarantine_table.hpp"
#include "io/read_ahead.hpp"
#include "src/acquisition/outputs.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

std::string output_dataset(OutputKind kind) {
    switch (kind) {
        case OutputKind::log_probs:
            return "/log_probs";
        case OutputKind::logits:
            return "/logits";
        case OutputKind::probabilities:
            return "/probabilities";
        case OutputKind::none:
            break;
    }
    fail("predictions without class outputs have no dataset for them");
}

std::string what_is_wrong(OutputKind kind, std::span<const float> row, std::int64_t classes) {
    const auto width = static_cast<std::size_t>(classes);
    for (std::size_t begin = 0; begin < row.size(); begin += width) {
        double sum = 0.0;
        float largest = -std::numeric_limits<float>::infinity();
        for (float value : row.subspan(begin, width)) {
            if (std::isnan(value)) return "the outputs hold a NaN";
            if (kind == OutputKind::probabilities && value < 0.0F) {
                return fmt::format("probability {} is negative", value);
            }
            largest = std::max(largest, value);
            sum += static_cast<double>(value);
        }
        if (std::isinf(largest)) return "the outputs hold an infinity, or are all -inf";
        if (kind == OutputKind::probabilities && std::abs(sum - 1.0) > kSumTolerance) {
            return fmt::format("probabilities sum to {:.6g}, not to 1", sum);
        }
        if (kind == OutputKind::log_probs && static_cast<double>(largest) > kSumTolerance) {
            return fmt::format("log-probability {} is above 0", largest);
        }
    }
    return {};
}

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
        if (info.rows == 0 && problems.empty()) {
            problems.push_back(
                fmt::format("there is none of /log_probs, /logits, /probabilities, /embeddings and "
                            "/losses/<role>, or it is empty; the file has {}",
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
    std::vector<hdf5::Dataset> losses;  ///< as info.loss_roles
    std::vector<std::string> problems;
    std::string counted;
};

struct Buffer {
    RowRange rows;
    std::vector<std::int64_t> ids;
    std::vector<float> outputs, embeddings;
    std::vector<std::vector<float>> losses;
    std::vector<QuarantinedRow> bad;
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
    }

    void fill(RowRange rows, Buffer& buffer) const {
        const PredictionsInfo& info = open_.info;
        const auto count = static_cast<std::size_t>(rows.size());
        const auto width = static_cast<std::size_t>(info.samples * info.classes);
        buffer.rows = rows;
        buffer.ids.resize(count);
        read_ids(rows, buffer.ids);
        if (open_.embeddings) {
            buffer.embeddings.resize(count * static_cast<std::size_t>(info.embedding_size));
            open_.embeddings->read(rows, buffer.embeddings);
        }
        buffer.losses.resize(open_.losses.size());
        for (std::size_t i = 0; i < open_.losses.size(); ++i) {
            buffer.losses[i].resize(count);
            open_.losses[i].read(rows, buffer.losses[i]);
        }
        if (open_.outputs) {
            buffer.outputs.resize(count * width);
            open_.outputs->read(rows, buffer.outputs);
        }
        buffer.bad.clear();
        for (std::size_t i = 0; i < count; ++i) {
            std::string reason = what_was_wrong(buffer.ids[i]);
            if (reason.empty() && open_.outputs) {
                const std::span<const float> row(buffer.outputs.data() + i * width, width);
                reason = what_is_wrong(info.output_kind, row, info.classes);
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
