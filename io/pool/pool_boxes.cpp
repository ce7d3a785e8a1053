#include "io/pool/pool_boxes.hpp"

#include <algorithm>
#include <cmath>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

using hdf5::Type;

constexpr std::int64_t kChunkBytes = std::int64_t{1} << 20;

/// The dataset `name`, if it holds numbers of this shape; a negative extent may be anything.
std::optional<hdf5::Dataset> array(const hdf5::File& file, const char* name, bool integers,
                                   std::vector<std::int64_t> shape, const char* expected,
                                   std::vector<std::string>& problems) {
    hdf5::Dataset dataset = file.dataset(name);
    bool fits = dataset.shape().size() == shape.size();
    for (std::size_t i = 0; fits && i < shape.size(); ++i) {
        fits = shape[i] < 0 || dataset.shape()[i] == shape[i];
    }
    if (fits && (integers ? dataset.is_integer()
                          : dataset.type() == Type::float32 || dataset.type() == Type::float64)) {
        return dataset;
    }
    problems.push_back(fmt::format("{} is {} of shape [{}], expected {}", name,
                                   hdf5::type_name(dataset.type()),
                                   fmt::join(dataset.shape(), ", "), expected));
    return std::nullopt;
}

/// Offsets begin with 0 and end with the number of boxes.
void check_ends(const hdf5::Dataset& offsets, std::int64_t rows, std::int64_t boxes,
                std::vector<std::string>& problems) {
    std::vector<std::int64_t> first(1), last(1);
    offsets.read({0, 1}, first);
    offsets.read({rows, rows + 1}, last);
    if (first[0] != 0 || last[0] != boxes) {
        problems.push_back(
            fmt::format("/box_offsets goes from {} to {}, expected 0 to {}, the number of /boxes",
                        first[0], last[0], boxes));
    }
}

void check_offsets(const hdf5::Dataset& dataset, RowRange rows, std::int64_t boxes,
                   std::span<const std::int64_t> offsets) {
    std::int64_t before = 0;
    for (std::size_t i = 0; i < offsets.size(); ++i) {
        THRESHER_CHECK_AS(FileError, offsets[i] >= before && offsets[i] <= boxes,
                          "{}: {} holds {} at row {}, after {}; offsets never descend, and end at "
                          "{}, the number of /boxes",
                          dataset.file(), dataset.name(), offsets[i],
                          rows.begin + static_cast<std::int64_t>(i), before, boxes);
        before = offsets[i];
    }
}

/// The boxes from `first_row`, the first of `boxes` that was read, on.
void check_boxes(const std::string& file, RowRange rows, std::int64_t first_row,
                 std::int64_t classes, const Boxes& boxes) {
    for (std::int64_t row = first_row; row < boxes.rows(); ++row) {
        for (auto i = static_cast<std::size_t>(boxes.of(row).begin);
             std::cmp_less(i, boxes.of(row).end); ++i) {
            const float* box = boxes.corners.data() + 4 * i;
            THRESHER_CHECK_AS(
                FileError,
                std::isfinite(box[0]) && std::isfinite(box[1]) && std::isfinite(box[2]) &&
                    std::isfinite(box[3]) && box[0] < box[2] && box[1] < box[3],
                "{}: row {} has the box {}, {}, {}, {}; expected finite x0, y0, x1, y1 with x0 < "
                "x1 and y0 < y1",
                file, rows.begin + row - first_row, box[0], box[1], box[2], box[3]);
            THRESHER_CHECK_AS(FileError,
                              boxes.classes[i] >= 0 && (classes == 0 || boxes.classes[i] < classes),
                              "{}: row {} has a box of class {}; allowed are 0 to {}", file,
                              rows.begin + row - first_row, boxes.classes[i], classes - 1);
        }
    }
}

}  // namespace

std::optional<StoredBoxes> open_boxes(const hdf5::File& file, std::int64_t rows,
                                      std::vector<std::string>& problems) {
    if (!file.is_dataset("/boxes")) {
        if (file.is_dataset("/box_offsets")) {
            problems.emplace_back("there is /box_offsets, but no dataset /boxes");
        }
        return std::nullopt;
    }
    const std::size_t before = problems.size();
    for (const char* name : {"/box_classes", "/box_offsets"}) {
        if (!file.is_dataset(name)) {
            problems.push_back(fmt::format("there is /boxes, but no dataset {}", name));
        }
    }
    if (problems.size() > before) return std::nullopt;
    auto corners = array(file, "/boxes", false, {-1, 4}, "f32 of shape [boxes, 4]", problems);
    const std::int64_t boxes = corners ? corners->rows() : -1;
    auto classes = array(file, "/box_classes", true, {boxes}, "integers, one a box", problems);
    auto offsets = array(file, "/box_offsets", true, {rows + 1},
                         "integers, one more than the pool has rows", problems);
    const auto optional = [&](const char* name, bool integers, std::vector<std::int64_t> shape,
                              const char* expected) -> std::optional<hdf5::Dataset> {
        if (!file.is_dataset(name)) return std::nullopt;
        return array(file, name, integers, std::move(shape), expected, problems);
    };
    auto flags = optional("/box_flags", true, {boxes}, "u8, one a box");
    auto areas = optional("/box_areas", false, {boxes}, "f32, one a box");
    auto sizes = optional("/image_sizes", true, {rows, 2}, "integers, height and width a row");
    if (problems.size() == before) check_ends(*offsets, rows, boxes, problems);
    if (problems.size() > before) return std::nullopt;
    return StoredBoxes{std::move(*corners), std::move(*classes), std::move(*offsets),
                       std::move(flags),    std::move(areas),    std::move(sizes)};
}

void read_offsets(const StoredBoxes& stored, RowRange rows, std::vector<std::int64_t>& offsets) {
    offsets.resize(static_cast<std::size_t>(rows.size() + 1));
    stored.offsets.read({rows.begin, rows.end + 1}, offsets);
    check_offsets(stored.offsets, rows, stored.corners.rows(), offsets);
}

void read_boxes(const StoredBoxes& stored, RowRange rows, std::int64_t classes, Boxes& boxes) {
    std::vector<std::int64_t> offsets;
    read_offsets(stored, rows, offsets);
    const RowRange found{offsets.front(), offsets.back()};
    // The values of `found` behind those that are there.
    const auto read = [](const hdf5::Dataset& dataset, RowRange from, Type type, auto& values) {
        const std::size_t there = values.size();
        values.resize(there + static_cast<std::size_t>(from.size() * dataset.elements_per_row()));
        dataset.read_rows(from, type, std::as_writable_bytes(std::span(values).subspan(there)));
    };
    const std::int64_t first_row = boxes.rows(), first_box = boxes.count();
    read(stored.corners, found, Type::float32, boxes.corners);
    read(stored.classes, found, Type::int64, boxes.classes);
    if (stored.flags) {
        read(*stored.flags, found, Type::uint8, boxes.flags);
    } else {
        boxes.flags.resize(boxes.classes.size(), 0);
    }
    if (stored.areas) read(*stored.areas, found, Type::float32, boxes.areas);
    if (stored.image_sizes) read(*stored.image_sizes, rows, Type::int32, boxes.image_sizes);
    for (std::size_t i = 1; i < offsets.size(); ++i) {
        boxes.offsets.push_back(first_box + offsets[i] - found.begin);
    }
    check_boxes(stored.corners.file(), rows, first_row, classes, boxes);
}

namespace {

hdf5::Dataset make(hdf5::File& file, const char* name, Type type, std::vector<std::int64_t> shape,
                   std::int64_t row_bytes, const char* description, const char* unit = "") {
    return file.create_dataset({.name = name,
                                .type = type,
                                .shape = std::move(shape),
                                .description = description,
                                .unit = unit,
                                .chunk_rows = row_bytes > 0 ? kChunkBytes / row_bytes : 0});
}

}  // namespace

BoxDatasets::BoxDatasets(hdf5::File& file, const BoxSchema& schema, std::int64_t fixed_rows)
    : grows_(fixed_rows == 0),
      corners_(make(file, "/boxes", Type::float32, {0, 4}, 16,
                    "x0, y0, x1, y1 of each box: its edges, the first pixel covers 0 to 1",
                    "pixel of the input")),
      classes_(make(file, "/box_classes", Type::int64, {0}, 8, "class of each box")),
      flags_(make(file, "/box_flags", Type::uint8, {0}, 1,
                  "of each box: 1 difficult, 2 a crowd, 3 both")),
      offsets_(make(file, "/box_offsets", Type::int64, {fixed_rows + 1}, grows_ ? 8 : 0,
                    "row i has the boxes box_offsets[i] to box_offsets[i + 1] - 1")) {
    if (schema.areas) {
        areas_ = make(file, "/box_areas", Type::float32, {0}, 4,
                      "area of the object in each box, as annotated",
                      "square pixel of the original image");
    }
    if (schema.image_sizes) {
        image_sizes_ =
            make(file, "/image_sizes", Type::int32, {fixed_rows, 2}, grows_ ? 8 : 0,
                 "height and width of the image of each row before it was letter-boxed", "pixel");
    }
    const std::vector<std::int64_t> zero{0};
    offsets_.write_rows({0, 1}, Type::int64, std::as_bytes(std::span(zero)));
}

void BoxDatasets::write(const Boxes& boxes, std::int64_t from, RowRange into) {
    const RowRange taken{boxes.offsets[static_cast<std::size_t>(from)],
                         boxes.offsets[static_cast<std::size_t>(from + into.size())]};
    const RowRange place{written_, written_ + taken.size()};
    const auto write = [](hdf5::Dataset& dataset, Type type, const auto& values, RowRange part,
                          RowRange rows, bool grows) {
        if (grows) dataset.resize_rows(rows.end);
        const std::int64_t each = dataset.elements_per_row();
        dataset.write_rows(
            rows, type,
            std::as_bytes(std::span(values).subspan(static_cast<std::size_t>(part.begin * each),
                                                    static_cast<std::size_t>(part.size() * each))));
    };
    write(corners_, Type::float32, boxes.corners, taken, place, true);
    write(classes_, Type::int64, boxes.classes, taken, place, true);
    write(flags_, Type::uint8, boxes.flags, taken, place, true);
    if (areas_) write(*areas_, Type::float32, boxes.areas, taken, place, true);
    if (image_sizes_) {
        write(*image_sizes_, Type::int32, boxes.image_sizes, {from, from + into.size()}, into,
              grows_);
    }
    std::vector<std::int64_t> offsets;
    for (std::int64_t row = from; row < from + into.size(); ++row) {
        offsets.push_back(written_ + boxes.of(row).end - taken.begin);
    }
    write(offsets_, Type::int64, offsets, {0, into.size()}, {into.begin + 1, into.end + 1}, grows_);
    written_ = place.end;
}

}  // namespace thresher::io
