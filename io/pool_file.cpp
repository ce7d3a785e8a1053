#include "io/pool_file.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <limits>
#include <list>
#include <numeric>

#include "io/hdf5/file.hpp"
#include "io/pool_shard.hpp"
#include "io/shard_manifest.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::size_t kOpenShards = 16;
constexpr std::int64_t kPieceRows = std::int64_t{1} << 20;

}  // namespace

struct PoolFile::Contents {
    PoolInfo info;
    PoolPaths paths;
    ShardManifest manifest;  ///< one shard for a pool that is one file

    /// The open shard `index`; the last few stay open.
    std::shared_ptr<const PoolShard> shard(std::size_t index) const {
        const auto guard = hdf5::lock();
        const auto found = std::find_if(open_shards.begin(), open_shards.end(),
                                        [&](const auto& open) { return open.first == index; });
        if (found != open_shards.end()) {
            open_shards.splice(open_shards.begin(), open_shards, found);
            return found->second;
        }
        const ShardEntry& entry = manifest.shards[index];
        std::vector<std::string> problems;
        std::shared_ptr<PoolShard> opened = open_pool_shard(entry.path, paths, problems);
        if (problems.empty()) compare(opened->info, entry.rows, problems);
        fail_with_problems(entry.path, "shard of the pool " + info.path, problems);
        remember(index, opened);
        return opened;
    }

    void remember(std::size_t index, std::shared_ptr<const PoolShard> opened) const {
        open_shards.emplace_front(index, std::move(opened));
        if (open_shards.size() > kOpenShards) open_shards.pop_back();
    }

    void compare(const PoolInfo& other, std::int64_t rows,
                 std::vector<std::string>& problems) const {
        if (other.rows != rows) {
            problems.push_back(
                fmt::format("it has {} rows, manifest.json says {}", other.rows, rows));
        }
        if (other.input_shape != info.input_shape || other.element_type != info.element_type) {
            problems.push_back(
                fmt::format("its examples have shape [{}], those of the first shard [{}], "
                            "or their types differ",
                            fmt::join(other.input_shape, ", "), fmt::join(info.input_shape, ", ")));
        }
        if (other.has_targets != info.has_targets || other.has_ids != info.has_ids ||
            other.has_clean_targets != info.has_clean_targets ||
            other.has_names != info.has_names || other.has_caption_of != info.has_caption_of) {
            problems.emplace_back("it has other datasets than the first shard");
        }
        if (other.token_length != info.token_length || other.vocabulary != info.vocabulary) {
            problems.push_back(fmt::format(
                "it has {} tokens of {} a caption, the first shard {} of {}", other.token_length,
                other.vocabulary, info.token_length, info.vocabulary));
        }
    }

    /// Calls body(shard, rows within the shard, rows already done) for each shard that `rows`
    /// touch.
    void for_each_part(
        RowRange rows,
        const std::function<void(const PoolShard&, RowRange, std::int64_t)>& body) const {
        THRESHER_CHECK_AS(FileError,
                          rows.begin >= 0 && rows.begin <= rows.end && rows.end <= info.rows,
                          "{}: rows {} to {} were asked for, the pool has {}", info.path,
                          rows.begin, rows.end, info.rows);
        const auto& shards = manifest.shards;
        auto entry = std::upper_bound(shards.begin(), shards.end(), rows.begin,
                                      [](std::int64_t row, const ShardEntry& shard) {
                                          return row < shard.first_row + shard.rows;
                                      });
        std::int64_t done = 0;
        for (; entry != shards.end() && entry->first_row < rows.end; ++entry) {
            const std::int64_t begin = std::max(rows.begin, entry->first_row) - entry->first_row;
            const std::int64_t end =
                std::min(rows.end, entry->first_row + entry->rows) - entry->first_row;
            if (begin >= end) continue;
            const auto opened = shard(static_cast<std::size_t>(entry - shards.begin()));
            body(*opened, {begin, end}, done);
            done += end - begin;
        }
    }

    /// The i64 column `member` of the shards; `absent` fills in where a shard has none.
    void read_column(RowRange rows, std::span<std::int64_t> values,
                     std::optional<hdf5::Dataset> PoolShard::*member) const {
        THRESHER_CHECK(std::cmp_equal(values.size(), rows.size()), "{} rows into a buffer of {}",
                       rows.size(), values.size());
        for_each_part(rows, [&](const PoolShard& shard, RowRange part, std::int64_t done) {
            const auto into = values.subspan(static_cast<std::size_t>(done),
                                             static_cast<std::size_t>(part.size()));
            const auto& column = shard.*member;
            if (column) {
                column->read(part, into);
            } else {
                std::fill(into.begin(), into.end(), std::int64_t{-1});
            }
        });
    }

    /// The text column `member` of the shards; empty strings where they have none.
    std::vector<std::string> read_text(RowRange rows,
                                       std::optional<hdf5::Dataset> PoolShard::*member) const {
        std::vector<std::string> texts(static_cast<std::size_t>(rows.size()));
        for_each_part(rows, [&](const PoolShard& shard, RowRange part, std::int64_t done) {
            if (!(shard.*member)) return;
            auto some = (shard.*member)->read_text(part);
            std::move(some.begin(), some.end(), texts.begin() + done);
        });
        return texts;
    }

    /// Bytes that the longest text of the column needs at most.
    std::int64_t text_bytes(std::optional<hdf5::Dataset> PoolShard::*member) const {
        std::int64_t bytes = 0;
        for_each_part({0, info.rows}, [&](const PoolShard& shard, RowRange, std::int64_t) {
            if (shard.*member) bytes = std::max(bytes, (shard.*member)->text_bytes());
        });
        if (bytes > 0 || !((*shard(0)).*member)) return bytes;
        for (std::int64_t begin = 0; begin < info.rows; begin += info.block_rows) {
            const RowRange rows{begin, std::min(info.rows, begin + info.block_rows)};
            for (const std::string& text : read_text(rows, member)) {
                bytes = std::max(bytes, std::ssize(text));
            }
        }
        return bytes;
    }

    void read_classes(RowRange rows, std::span<std::int64_t> targets,
                      std::optional<hdf5::Dataset> PoolShard::*member) const {
        read_column(rows, targets, member);
        for (std::int64_t& target : targets) {
            if (target < 0 || target >= info.classes) target = -1;
        }
    }

    /// Calls body(first row, ids) over all rows.
    void for_each_ids(
        const std::function<void(std::int64_t, std::span<const std::int64_t>)>& body) const {
        std::vector<std::int64_t> ids;
        for (std::int64_t begin = 0; begin < info.rows; begin += kPieceRows) {
            const RowRange rows{begin, std::min(info.rows, begin + kPieceRows)};
            ids.resize(static_cast<std::size_t>(rows.size()));
            read_column(rows, ids, &PoolShard::ids);
            body(begin, ids);
        }
    }

    mutable std::list<std::pair<std::size_t, std::shared_ptr<const PoolShard>>> open_shards;
};

const PoolInfo& PoolFile::info() const { return contents_->info; }

void PoolFile::read_inputs(RowRange rows, std::span<std::byte> inputs) const {
    const std::int64_t row_bytes = info().bytes_per_row();
    THRESHER_CHECK(std::cmp_equal(inputs.size(), rows.size() * row_bytes),
                   "{} rows of {} bytes into a buffer of {}", rows.size(), row_bytes,
                   inputs.size());
    const hdf5::Type type =
        info().element_type == ElementType::uint8 ? hdf5::Type::uint8 : hdf5::Type::float32;
    contents_->for_each_part(rows, [&](const PoolShard& shard, RowRange part, std::int64_t done) {
        shard.inputs->read_rows(part, type,
                                inputs.subspan(static_cast<std::size_t>(done * row_bytes),
                                               static_cast<std::size_t>(part.size() * row_bytes)));
    });
}

void PoolFile::read_targets(RowRange rows, std::span<std::int64_t> targets) const {
    contents_->read_classes(rows, targets, &PoolShard::targets);
}

void PoolFile::read_clean_targets(RowRange rows, std::span<std::int64_t> targets) const {
    contents_->read_classes(rows, targets, &PoolShard::clean_targets);
}

void PoolFile::read_ids(RowRange rows, std::span<std::int64_t> ids) const {
    if (info().has_ids) return contents_->read_column(rows, ids, &PoolShard::ids);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = rows.begin + static_cast<std::int64_t>(i);
}

void PoolFile::read_source_ids(RowRange rows, std::span<std::int64_t> ids) const {
    if (contents_->shard(0)->source_ids) {
        return contents_->read_column(rows, ids, &PoolShard::source_ids);
    }
    read_ids(rows, ids);
}

std::vector<std::string> PoolFile::read_names(RowRange rows) const {
    return contents_->read_text(rows, &PoolShard::names);
}

std::int64_t PoolFile::name_bytes() const { return contents_->text_bytes(&PoolShard::names); }

void PoolFile::read_tokens(RowRange rows, std::span<std::int32_t> tokens) const {
    const std::int64_t length = info().token_length;
    THRESHER_CHECK(length > 0 && std::cmp_equal(tokens.size(), rows.size() * length),
                   "{}: {} rows of {} tokens into a buffer of {}", info().path, rows.size(), length,
                   tokens.size());
    contents_->for_each_part(rows, [&](const PoolShard& shard, RowRange part, std::int64_t done) {
        shard.tokens->read_rows(
            part, hdf5::Type::int32,
            std::as_writable_bytes(tokens.subspan(static_cast<std::size_t>(done * length),
                                                  static_cast<std::size_t>(part.size() * length))));
    });
    const auto bad = std::find_if(tokens.begin(), tokens.end(), [&](std::int32_t token) {
        return token < 0 || token >= info().vocabulary;
    });
    THRESHER_CHECK_AS(FileError, bad == tokens.end(),
                      "{}: row {} holds the token {}; allowed are 0 to {}", info().path,
                      rows.begin + (bad - tokens.begin()) / length, *bad, info().vocabulary - 1);
}

std::vector<std::string> PoolFile::read_captions(RowRange rows) const {
    return contents_->read_text(rows, &PoolShard::captions);
}

std::int64_t PoolFile::caption_bytes() const { return contents_->text_bytes(&PoolShard::captions); }

bool PoolFile::has_image_ids() const { return contents_->shard(0)->image_ids.has_value(); }

void PoolFile::read_image_ids(RowRange rows, std::span<std::int64_t> image_ids) const {
    if (!has_image_ids()) return read_ids(rows, image_ids);
    contents_->read_column(rows, image_ids, &PoolShard::image_ids);
}

void PoolFile::read_caption_of(RowRange rows, std::span<std::int64_t> image_ids) const {
    contents_->read_column(rows, image_ids, &PoolShard::caption_of);
}

bool PoolFile::has_vocabulary() const { return contents_->shard(0)->file.has("/vocabulary"); }

std::string PoolFile::vocabulary() const {
    const auto first = contents_->shard(0);
    const hdf5::Dataset dataset = first->file.dataset("/vocabulary");
    THRESHER_CHECK_AS(FileError, dataset.type() == hdf5::Type::uint8 && dataset.shape().size() == 1,
                      "{}: /vocabulary is {} of shape [{}], expected the bytes of a SentencePiece "
                      "model",
                      info().path, hdf5::type_name(dataset.type()),
                      fmt::join(dataset.shape(), ", "));
    std::string model(static_cast<std::size_t>(dataset.rows()), '\0');
    dataset.read_rows({0, dataset.rows()}, hdf5::Type::uint8,
                      std::as_writable_bytes(std::span(model)));
    return model;
}

std::vector<QuarantinedRow> PoolFile::bad_targets(RowRange rows) const {
    std::vector<QuarantinedRow> bad;
    if (!info().has_targets) return bad;
    std::vector<std::int64_t> targets, id(1);
    for (std::int64_t begin = rows.begin; begin < rows.end; begin += kPieceRows) {
        const RowRange piece{begin, std::min(rows.end, begin + kPieceRows)};
        targets.resize(static_cast<std::size_t>(piece.size()));
        contents_->read_column(piece, targets, &PoolShard::targets);
        for (std::size_t i = 0; i < targets.size(); ++i) {
            if (targets[i] >= -1 && targets[i] < info().classes) continue;
            const std::int64_t row = begin + static_cast<std::int64_t>(i);
            read_ids({row, row + 1}, id);
            bad.push_back(
                {id[0], fmt::format("target {} is out of range, allowed are 0 to {} and -1 "
                                    "for unknown",
                                    targets[i], info().classes - 1)});
        }
    }
    return bad;
}

std::vector<std::int64_t> PoolFile::rows_of(std::span<const std::int64_t> ids) const {
    std::vector<std::int64_t> rows(ids.size(), -1);
    if (!info().has_ids) {
        for (std::size_t i = 0; i < ids.size(); ++i) {
            if (ids[i] >= 0 && ids[i] < info().rows) rows[i] = ids[i];
        }
    } else {
        std::vector<std::pair<std::int64_t, std::size_t>> wanted;
        for (std::size_t i = 0; i < ids.size(); ++i) wanted.emplace_back(ids[i], i);
        std::sort(wanted.begin(), wanted.end());
        contents_->for_each_ids([&](std::int64_t first, std::span<const std::int64_t> stored) {
            for (std::size_t i = 0; i < stored.size(); ++i) {
                auto match = std::lower_bound(wanted.begin(), wanted.end(),
                                              std::pair{stored[i], std::size_t{0}});
                for (; match != wanted.end() && match->first == stored[i]; ++match) {
                    rows[match->second] = first + static_cast<std::int64_t>(i);
                }
            }
        });
    }
    std::vector<std::int64_t> missing;
    std::int64_t missing_count = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (rows[i] >= 0) continue;
        if (++missing_count <= 5) missing.push_back(ids[i]);
    }
    THRESHER_CHECK_AS(
        FileError, missing_count == 0,
        "{}: the pool lacks {} of {} ids that were asked for, such as {}; were they made "
        "from another pool?",
        info().path, missing_count, ids.size(), fmt::join(missing, ", "));
    return rows;
}

namespace {

/// What `read` gives for single rows, in their order: in order of row, a block at a time, never one
/// read a row.
template <class Read>
auto gather(const PoolInfo& info, std::span<const std::int64_t> rows, Read read) {
    std::vector<std::size_t> order(rows.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return rows[a] < rows[b]; });
    RowRange block;
    decltype(read(block)) of_block, values(rows.size());
    for (const std::size_t i : order) {
        if (rows[i] >= block.end) {
            block = {rows[i], std::min(info.rows, rows[i] + info.block_rows)};
            of_block = read(block);
        }
        values[i] = of_block[static_cast<std::size_t>(rows[i] - block.begin)];
    }
    return values;
}

}  // namespace

std::vector<std::int64_t> PoolFile::ids_of(std::span<const std::int64_t> rows) const {
    for (const std::int64_t row : rows) {
        THRESHER_CHECK_AS(FileError, row >= 0 && row < info().rows,
                          "{}: row {} was asked for, but the pool has {}", info().path, row,
                          info().rows);
    }
    return gather(info(), rows, [&](RowRange block) {
        std::vector<std::int64_t> ids(static_cast<std::size_t>(block.size()));
        read_ids(block, ids);
        return ids;
    });
}

std::vector<std::int64_t> PoolFile::targets_of(std::span<const std::int64_t> ids) const {
    return gather(info(), rows_of(ids), [&](RowRange block) {
        std::vector<std::int64_t> targets(static_cast<std::size_t>(block.size()));
        read_targets(block, targets);
        return targets;
    });
}

std::vector<std::string> PoolFile::names_of(std::span<const std::int64_t> ids) const {
    return gather(info(), rows_of(ids), [&](RowRange block) { return read_names(block); });
}

namespace {

/// Largest target + 1, for files that do not say how many classes there are.
std::int64_t count_classes(const PoolFile::Contents& contents) {
    constexpr std::int64_t kMost = std::int64_t{1} << 24;
    std::int64_t largest = -1;
    std::vector<std::int64_t> targets;
    for (std::int64_t begin = 0; begin < contents.info.rows; begin += kPieceRows) {
        const RowRange piece{begin, std::min(contents.info.rows, begin + kPieceRows)};
        targets.resize(static_cast<std::size_t>(piece.size()));
        contents.read_column(piece, targets, &PoolShard::targets);
        largest = std::max(largest, *std::max_element(targets.begin(), targets.end()));
    }
    THRESHER_CHECK_AS(
        FileError, largest < kMost,
        "{}: the largest value in {} is {}, more than {} classes cannot be meant; give "
        "the attribute class_names or --classes",
        contents.info.path, contents.paths.targets, largest, kMost);
    return largest + 1;
}

}  // namespace

PoolFile open_pool(const std::string& path, const PoolPaths& paths) {
    std::vector<std::string> problems;
    auto contents = std::make_shared<PoolFile::Contents>();
    contents->paths = paths;
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
        contents->manifest = read_manifest(path, problems);
        fail_with_problems(path, "pool", problems);
    } else {
        contents->manifest.shards.push_back({path, 0, 0, 0, {}});
    }
    ShardEntry& first = contents->manifest.shards.front();
    std::shared_ptr<PoolShard> shard = open_pool_shard(first.path, paths, problems);
    fail_with_problems(first.path, "pool", problems);
    contents->info = shard->info;
    contents->info.path = path;
    if (first.rows == 0) first.rows = shard->info.rows;
    contents->compare(shard->info, first.rows, problems);
    fail_with_problems(first.path, "pool", problems);
    contents->info.rows = contents->manifest.rows();
    contents->info.block_rows = default_block_rows(contents->info.bytes_per_row());
    contents->remember(0, std::move(shard));
    if (paths.classes == 0 && contents->info.class_names.empty()) {
        contents->info.classes = std::max(contents->info.classes, contents->manifest.classes);
    }
    if (contents->info.has_targets && contents->info.classes == 0) {
        contents->info.classes = count_classes(*contents);
    }
    return PoolFile(std::move(contents));
}

}  // namespace thresher::io
