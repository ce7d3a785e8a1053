#include "io/pool/pool_contents.hpp"

#include <algorithm>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::size_t kOpenShards = 16;
constexpr std::int64_t kPieceRows = std::int64_t{1} << 20;

}  // namespace

std::shared_ptr<const PoolShard> PoolFile::Contents::shard(std::size_t index) const {
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
    if (problems.empty()) compare(*opened, entry.rows, problems);
    fail_with_problems(entry.path, "shard of the pool " + info.path, problems);
    remember(index, opened);
    return opened;
}

void PoolFile::Contents::remember(std::size_t index,
                                  std::shared_ptr<const PoolShard> opened) const {
    open_shards.emplace_front(index, std::move(opened));
    if (open_shards.size() > kOpenShards) open_shards.pop_back();
}

void PoolFile::Contents::compare(const PoolShard& shard, std::int64_t rows,
                                 std::vector<std::string>& problems) const {
    const PoolInfo& other = shard.info;
    if (other.rows != rows) {
        problems.push_back(fmt::format("it has {} rows, manifest.json says {}", other.rows, rows));
    }
    if (other.input_shape != info.input_shape || other.element_type != info.element_type) {
        problems.push_back(
            fmt::format("its examples have shape [{}], those of the first shard [{}], "
                        "or their types differ",
                        fmt::join(other.input_shape, ", "), fmt::join(info.input_shape, ", ")));
    }
    if (other.has_targets != info.has_targets || other.has_ids != info.has_ids ||
        other.has_clean_targets != info.has_clean_targets || other.has_names != info.has_names ||
        other.has_caption_of != info.has_caption_of ||
        shard.image_ids.has_value() != has_image_ids || other.has_boxes != info.has_boxes ||
        other.has_box_areas != info.has_box_areas ||
        other.has_image_sizes != info.has_image_sizes) {
        problems.emplace_back("it has other datasets than the first shard");
    }
    if (other.token_length != info.token_length || other.vocabulary != info.vocabulary) {
        problems.push_back(fmt::format("it has {} tokens of {} a caption, the first shard {} of {}",
                                       other.token_length, other.vocabulary, info.token_length,
                                       info.vocabulary));
    }
}

void PoolFile::Contents::for_each_part(
    RowRange rows,
    const std::function<void(const PoolShard&, RowRange, std::int64_t)>& body) const {
    THRESHER_CHECK_AS(FileError, rows.begin >= 0 && rows.begin <= rows.end && rows.end <= info.rows,
                      "{}: rows {} to {} were asked for, the pool has {}", info.path, rows.begin,
                      rows.end, info.rows);
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

void PoolFile::Contents::read_column(RowRange rows, std::span<std::int64_t> values,
                                     Column column) const {
    THRESHER_CHECK(std::cmp_equal(values.size(), rows.size()), "{} rows into a buffer of {}",
                   rows.size(), values.size());
    for_each_part(rows, [&](const PoolShard& shard, RowRange part, std::int64_t done) {
        const auto into =
            values.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(part.size()));
        if (shard.*column) {
            (shard.*column)->read(part, into);
        } else {
            std::fill(into.begin(), into.end(), std::int64_t{-1});
        }
    });
}

void PoolFile::Contents::read_classes(RowRange rows, std::span<std::int64_t> targets,
                                      Column column) const {
    read_column(rows, targets, column);
    for (std::int64_t& target : targets) {
        if (target < 0 || target >= info.classes) target = -1;
    }
}

std::vector<std::string> PoolFile::Contents::read_text(RowRange rows, Column column) const {
    std::vector<std::string> texts(static_cast<std::size_t>(rows.size()));
    for_each_part(rows, [&](const PoolShard& shard, RowRange part, std::int64_t done) {
        if (!(shard.*column)) return;
        auto some = (shard.*column)->read_text(part);
        std::move(some.begin(), some.end(), texts.begin() + done);
    });
    return texts;
}

std::int64_t PoolFile::Contents::text_bytes(Column column) const {
    std::int64_t bytes = 0;
    for_each_part({0, info.rows}, [&](const PoolShard& shard, RowRange, std::int64_t) {
        if (shard.*column) bytes = std::max(bytes, (shard.*column)->text_bytes());
    });
    if (bytes > 0 || !((*shard(0)).*column)) return bytes;
    for (std::int64_t begin = 0; begin < info.rows; begin += info.block_rows) {
        const RowRange rows{begin, std::min(info.rows, begin + info.block_rows)};
        for (const std::string& text : read_text(rows, column)) {
            bytes = std::max(bytes, std::ssize(text));
        }
    }
    return bytes;
}

void PoolFile::Contents::read_boxes(RowRange rows, Boxes& boxes) const {
    boxes = {};
    for_each_part(rows, [&](const PoolShard& shard, RowRange part, std::int64_t) {
        if (shard.boxes) {
            io::read_boxes(*shard.boxes, part, info.classes, boxes);
        } else {
            boxes.offsets.resize(boxes.offsets.size() + static_cast<std::size_t>(part.size()),
                                 boxes.count());
        }
    });
}

std::int64_t PoolFile::Contents::most_boxes() const {
    if (!info.has_boxes) return 0;
    std::int64_t most = 0;
    std::vector<std::int64_t> offsets;
    for (std::int64_t begin = 0; begin < info.rows; begin += kPieceRows) {
        const RowRange piece{begin, std::min(info.rows, begin + kPieceRows)};
        for_each_part(piece, [&](const PoolShard& shard, RowRange part, std::int64_t) {
            read_offsets(*shard.boxes, part, offsets);
            for (std::size_t i = 1; i < offsets.size(); ++i) {
                most = std::max(most, offsets[i] - offsets[i - 1]);
            }
        });
    }
    return most;
}

void PoolFile::Contents::for_each_ids(
    const std::function<void(std::int64_t, std::span<const std::int64_t>)>& body) const {
    std::vector<std::int64_t> ids;
    for (std::int64_t begin = 0; begin < info.rows; begin += kPieceRows) {
        const RowRange rows{begin, std::min(info.rows, begin + kPieceRows)};
        ids.resize(static_cast<std::size_t>(rows.size()));
        read_column(rows, ids, &PoolShard::ids);
        body(begin, ids);
    }
}

std::int64_t PoolFile::Contents::count_classes() const {
    constexpr std::int64_t kMost = std::int64_t{1} << 24;
    std::int64_t largest = -1;
    const auto meet = [&](std::span<const std::int64_t> classes) {
        for (const std::int64_t c : classes) largest = std::max(largest, c);
    };
    std::vector<std::int64_t> classes;
    for (std::int64_t begin = 0; begin < info.rows; begin += kPieceRows) {
        const RowRange piece{begin, std::min(info.rows, begin + kPieceRows)};
        if (info.has_boxes) {
            Boxes boxes;
            read_boxes(piece, boxes);
            meet(boxes.classes);
        } else {
            classes.resize(static_cast<std::size_t>(piece.size()));
            read_column(piece, classes, &PoolShard::targets);
            meet(classes);
        }
    }
    THRESHER_CHECK_AS(
        FileError, largest < kMost,
        "{}: the largest value in {} is {}, more than {} classes cannot be meant; give "
        "the attribute class_names or --classes",
        info.path, info.has_boxes ? "/box_classes" : paths.targets, largest, kMost);
    return largest + 1;
}

}  // namespace thresher::io
