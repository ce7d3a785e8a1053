#include "io/predictions/scores_file.hpp"

#include <algorithm>
#include <exception>
#include <optional>

#include "io/hdf5/file.hpp"
#include "io/pool/pool_shard.hpp"
#include "io/predictions/shared_writer.hpp"
#include "io/quarantine_table.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr const char* kFormat = "thresher-scores";
constexpr std::int64_t kPieceRows = std::int64_t{1} << 24;

/// All ranks together write their rows, each in the same number of rounds; a rank that has no more
/// takes part with nothing, and one that failed as well, so that nobody is left waiting.
template <class T>
void write_rounds(SharedWriter& writer, const std::string& name, hdf5::Type type, RowRange rows,
                  std::span<const T> values, ScoresTransfer& transfer) {
    std::int64_t rounds = (rows.size() + kPieceRows - 1) / kPieceRows;
    writer.collective().all_reduce_max(std::span(&rounds, 1));
    std::exception_ptr error;
    std::optional<hdf5::Dataset> dataset;
    agree(writer.collective(), [&] { dataset.emplace(writer.file().dataset(name)); });
    const hdf5::Transfer mode =
        writer.parallel() ? hdf5::Transfer::collective : hdf5::Transfer::independent;
    for (std::int64_t round = 0; round < rounds; ++round) {
        const std::int64_t begin = std::min(rows.end, rows.begin + round * kPieceRows);
        const std::int64_t end = std::min(rows.end, begin + kPieceRows);
        const auto piece = values.subspan(static_cast<std::size_t>(begin - rows.begin),
                                          static_cast<std::size_t>(end - begin));
        try {
            bool was_collective = false;
            dataset->write_rows({begin, end}, type, std::as_bytes(piece), mode, &was_collective);
            transfer.bytes += static_cast<std::int64_t>(piece.size_bytes());
            transfer.collective_rounds += was_collective ? 1 : 0;
        } catch (...) {
            if (!error) error = std::current_exception();
        }
        ++transfer.rounds;
    }
    dataset.reset();
    agree(writer.collective(), [&] {
        if (error) std::rethrow_exception(error);
    });
}

void check_own(const std::string& path, const OwnScores& own) {
    THRESHER_CHECK(own.rows.begin >= 0 && own.rows.begin <= own.rows.end &&
                       own.rows.end <= own.total_rows && own.total_rows > 0,
                   "{}: scores of rows {} to {} of {}", path, own.rows.begin, own.rows.end,
                   own.total_rows);
    const auto count = static_cast<std::size_t>(own.rows.size());
    for (const auto& [acquisition, scores] : own.scores) {
        THRESHER_CHECK(scores.size() == count, "{}: {} scores {} for {} rows", path, scores.size(),
                       acquisition, count);
    }
    THRESHER_CHECK(own.ids.empty() || own.ids.size() == count, "{}: {} ids for {} rows", path,
                   own.ids.size(), count);
}

}  // namespace

ScoresTransfer write_scores(const std::string& path, const OwnScores& own,
                            const std::map<std::string, std::string>& descriptions,
                            const Provenance& provenance, Overwrite overwrite,
                            Collective& collective, const SharedFileOpener& open_shared) {
    agree(collective, [&] { check_own(path, own); });
    std::int64_t covered = own.rows.size();
    collective.all_reduce_sum(std::span(&covered, 1));
    THRESHER_CHECK(covered == own.total_rows,
                   "{}: the ranks hold scores of {} rows, the pool has {}", path, covered,
                   own.total_rows);
    const bool with_ids = any_rank(collective, !own.ids.empty());
    const std::vector<QuarantinedRow> quarantine = gather_quarantine(collective, own.quarantine);

    SharedWriter writer(path, overwrite, collective, open_shared, [&](hdf5::File& file) {
        write_provenance(file, kFormat, provenance);
        if (with_ids) {
            file.create_dataset({.name = "/ids",
                                 .type = hdf5::Type::int64,
                                 .shape = {own.total_rows},
                                 .description = "id of each row"});
        } else {
            hdf5::write_attribute(file.root(), "ids", std::string("rows"));
        }
        for (const auto& [acquisition, scores] : own.scores) {
            const auto description = descriptions.find(acquisition);
            file.create_dataset(
                {.name = "/scores/" + acquisition,
                 .type = hdf5::Type::float32,
                 .shape = {own.total_rows},
                 .description =
                     (description != descriptions.end() ? description->second : acquisition) +
                     "; higher = pick first, NaN = quarantined"});
        }
    });
    ScoresTransfer transfer;
    if (with_ids) {
        write_rounds(writer, "/ids", hdf5::Type::int64, own.rows, own.ids, transfer);
    }
    for (const auto& [acquisition, scores] : own.scores) {
        write_rounds(writer, "/scores/" + acquisition, hdf5::Type::float32, own.rows, scores,
                     transfer);
    }
    writer.finish([&](hdf5::File& file) { write_quarantine(file, quarantine); });
    return transfer;
}

struct ScoresFile::Contents {
    explicit Contents(hdf5::File opened) : file(std::move(opened)) {}
    hdf5::File file;
    std::int64_t rows = 0;
    std::map<std::string, hdf5::Dataset> scores;
    std::optional<hdf5::Dataset> ids;
};

ScoresFile::ScoresFile(const std::string& path) {
    auto contents = std::make_shared<Contents>(hdf5::File::open(path));
    const hdf5::File& file = contents->file;
    if (!format_of(file).empty()) expect_format(file, kFormat);
    std::vector<std::string> problems;
    std::vector<std::string> names;
    if (file.is_dataset("/scores")) {
        problems.emplace_back(
            "/scores is a dataset, expected a group that has one for each acquisition, such as "
            "/scores/mine");
    } else {
        names = file.list("/scores");
    }
    for (const std::string& name : names) {
        hdf5::Dataset dataset = file.dataset("/scores/" + name);
        if (dataset.shape().size() != 1 || dataset.type() != hdf5::Type::float32) {
            problems.push_back(fmt::format(
                "/scores/{} is {} of shape [{}], expected f32 [rows] "
                "(NumPy: scores.astype(\"float32\"))",
                name, hdf5::type_name(dataset.type()), fmt::join(dataset.shape(), ", ")));
            continue;
        }
        if (contents->scores.empty()) contents->rows = dataset.rows();
        if (dataset.rows() != contents->rows) {
            problems.push_back(fmt::format("/scores/{} has {} rows, /scores/{} has {}", name,
                                           dataset.rows(), contents->scores.begin()->first,
                                           contents->rows));
        }
        contents->scores.emplace(name, std::move(dataset));
    }
    if (contents->scores.empty() && problems.empty()) {
        problems.push_back(fmt::format("there is no dataset /scores/<acquisition>; the file has {}",
                                       fmt::join(file.list("/"), ", ")));
    }
    if (contents->rows > 0 && file.is_dataset("/ids")) {
        contents->ids.emplace(file.dataset("/ids"));
        if (contents->ids->shape().size() != 1 || contents->ids->rows() != contents->rows ||
            !contents->ids->is_integer()) {
            problems.push_back(fmt::format("/ids is {} of shape [{}], expected i64 [{}]",
                                           hdf5::type_name(contents->ids->type()),
                                           fmt::join(contents->ids->shape(), ", "),
                                           contents->rows));
        }
    }
    if (contents->rows == 0 && problems.empty()) problems.emplace_back("it holds no rows");
    fail_with_problems(path, "scores file", problems);
    contents_ = std::move(contents);
}

const std::string& ScoresFile::path() const { return contents_->file.path(); }
std::int64_t ScoresFile::rows() const { return contents_->rows; }
bool ScoresFile::ids_are_rows() const { return !contents_->ids; }

std::vector<std::string> ScoresFile::acquisitions() const {
    std::vector<std::string> names;
    for (const auto& [name, dataset] : contents_->scores) names.push_back(name);
    return names;
}

const hdf5::Dataset& ScoresFile::dataset_of(const std::string& acquisition) const {
    const auto found = contents_->scores.find(acquisition);
    THRESHER_CHECK_AS(FileError, found != contents_->scores.end(),
                      "{}: has no scores of acquisition {}; it has {}", path(), acquisition,
                      fmt::join(acquisitions(), ", "));
    return found->second;
}

void ScoresFile::read(const std::string& acquisition, RowRange rows,
                      std::span<float> scores) const {
    dataset_of(acquisition).read(rows, scores);
}

std::optional<MappedRows> ScoresFile::map(const std::string& acquisition, RowRange rows) const {
    const std::optional<std::int64_t> offset = dataset_of(acquisition).file_offset();
    constexpr std::int64_t kBytes = sizeof(float);
    if (!offset || *offset % kBytes != 0) return std::nullopt;
    return MappedRows(path(), *offset + rows.begin * kBytes,
                      static_cast<std::size_t>(rows.size() * kBytes));
}

void ScoresFile::read_ids(RowRange rows, std::span<std::int64_t> ids) const {
    if (contents_->ids) return contents_->ids->read(rows, ids);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = rows.begin + static_cast<std::int64_t>(i);
}

std::vector<QuarantinedRow> ScoresFile::quarantine() const {
    return read_quarantine(contents_->file);
}

}  // namespace thresher::io
