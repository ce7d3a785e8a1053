#include "io/pool/pool_file.hpp"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "io/pool/pool_contents.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::int64_t kPieceRows = std::int64_t{1} << 20;

}  // namespace

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

bool PoolFile::has_image_ids() const { return contents_->has_image_ids; }

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

void PoolFile::read_boxes(RowRange rows, Boxes& boxes) const { contents_->read_boxes(rows, boxes); }

void PoolFile::read_boxes(RowRange rows, std::int64_t most_boxes, std::span<LabelledBox> boxes,
                          std::span<std::int32_t> image_sizes) const {
    THRESHER_CHECK(std::cmp_equal(boxes.size(), rows.size() * most_boxes),
                   "{} rows of {} boxes into a buffer of {}", rows.size(), most_boxes,
                   boxes.size());
    Boxes found;
    read_boxes(rows, found);
    std::fill(boxes.begin(), boxes.end(), LabelledBox{});
    for (std::int64_t row = 0; row < rows.size(); ++row) {
        const RowRange of_row = found.of(row);
        THRESHER_CHECK_AS(FileError, of_row.size() <= most_boxes,
                          "{}: row {} has {} boxes, but none had more than {} when the pool was "
                          "opened; a pool must not be changed while it is read",
                          info().path, rows.begin + row, of_row.size(), most_boxes);
        for (std::int64_t i = of_row.begin; i < of_row.end; ++i) {
            boxes[static_cast<std::size_t>(row * most_boxes + i - of_row.begin)] = found.box(i);
        }
    }
    std::copy(found.image_sizes.begin(), found.image_sizes.end(), image_sizes.begin());
}

std::int64_t PoolFile::most_boxes() const { return contents_->most_boxes(); }

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
    contents->has_image_ids = shard->image_ids.has_value();
    contents->compare(*shard, first.rows, problems);
    fail_with_problems(first.path, "pool", problems);
    contents->info.rows = contents->manifest.rows();
    contents->info.block_rows = default_block_rows(contents->info.bytes_per_row());
    contents->remember(0, std::move(shard));
    if (paths.classes == 0 && contents->info.class_names.empty()) {
        contents->info.classes = std::max(contents->info.classes, contents->manifest.classes);
    }
    if ((contents->info.has_targets || contents->info.has_boxes) && contents->info.classes == 0) {
        contents->info.classes = contents->count_classes();
    }
    return PoolFile(std::move(contents));
}

}  // namespace thresher::io
