#include "io/pool/pool_datasets.hpp"

#include <span>

#include "src/pool/blocks.hpp"
#include "src/pool/vocabulary.hpp"

namespace thresher::io {

namespace {

constexpr std::int64_t kColumnChunkRows = (std::int64_t{1} << 20) / 8;

hdf5::Type input_type(const PoolSchema& schema) {
    return schema.element_type == ElementType::uint8 ? hdf5::Type::uint8 : hdf5::Type::float32;
}

std::int64_t row_bytes(const PoolSchema& schema) {
    PoolInfo info;
    info.input_shape = schema.input_shape;
    info.element_type = schema.element_type;
    return info.bytes_per_row();
}

}  // namespace

PoolDatasets::PoolDatasets(hdf5::File& file, const PoolSchema& schema, std::int64_t fixed_rows)
    : file_(file), fixed_rows_(fixed_rows) {
    make("/inputs", input_type(schema), schema.input_shape, default_block_rows(row_bytes(schema)),
         "one example a row");
    const auto column = [&](bool wanted, const char* name, const char* description) {
        if (wanted) make(name, hdf5::Type::int64, {}, kColumnChunkRows, description);
    };
    column(schema.targets, "/targets", "class of each row, -1 = unknown");
    column(schema.clean_targets, "/clean_targets", "true class, where /targets has noise added");
    column(schema.ids, "/ids", "permanent global id of each row");
    column(schema.source_ids, "/source_ids",
           "id of the row in the pool that this one was derived from");
    const TextSchema& text = schema.text;
    column(text.image_ids, "/image_ids", "image of each row; captions of one image share it");
    column(text.caption_of, "/caption_of",
           "image that the caption was written for, -1 = unknown, where captions were shuffled");
    if (schema.names) {
        const std::int64_t bytes = schema.name_bytes > 0 ? schema.name_bytes : 255;
        make("/names", hdf5::Type::text, {}, default_block_rows(bytes),
             "name of each row, such as its file", bytes);
    }
    if (text.length > 0) make_text(file, text);
    if (schema.boxes.present) boxes_.emplace(file, schema.boxes, fixed_rows);
}

void PoolDatasets::make(const char* name, hdf5::Type type, std::vector<std::int64_t> row_shape,
                        std::int64_t chunk_rows, const char* description, std::int64_t text_bytes) {
    row_shape.insert(row_shape.begin(), fixed_rows_);
    columns_.emplace(name, file_.create_dataset({.name = name,
                                                 .type = type,
                                                 .shape = std::move(row_shape),
                                                 .description = description,
                                                 .text_bytes = text_bytes,
                                                 .chunk_rows = fixed_rows_ > 0 ? 0 : chunk_rows}));
}

void PoolDatasets::make_text(hdf5::File& file, const TextSchema& text) {
    make("/tokens", hdf5::Type::int32, {text.length}, default_block_rows(4 * text.length),
         "caption of each row in pieces of /vocabulary, 0 = padding");
    hdf5::write_attribute(columns_.at("/tokens").ref(), "vocabulary",
                          Vocabulary(text.vocabulary).size());
    make("/captions", hdf5::Type::text, {}, default_block_rows(text.caption_bytes),
         "caption of each row", text.caption_bytes);
    const auto bytes = std::as_bytes(std::span(text.vocabulary));
    hdf5::Dataset vocabulary =
        file.create_dataset({.name = "/vocabulary",
                             .type = hdf5::Type::uint8,
                             .shape = {std::ssize(bytes)},
                             .description = "SentencePiece model that made /tokens"});
    vocabulary.write_rows({0, std::ssize(bytes)}, hdf5::Type::uint8, bytes);
}

void PoolDatasets::write(const PoolRows& rows, std::int64_t from, RowRange into) {
    if (fixed_rows_ == 0) {
        for (auto& [name, column] : columns_) column.resize_rows(into.end);
    }
    // Of `values`, which hold all of `rows`, the part that is written.
    const auto part = [&](auto values) {
        const std::size_t per_row = values.size() / static_cast<std::size_t>(rows.rows);
        return values.subspan(static_cast<std::size_t>(from) * per_row,
                              static_cast<std::size_t>(into.size()) * per_row);
    };
    const auto write = [&](const char* name, hdf5::Type type, auto values) {
        if (!values.empty()) columns_.at(name).write_rows(into, type, std::as_bytes(part(values)));
    };
    hdf5::Dataset& inputs = columns_.at("/inputs");
    inputs.write_rows(into, inputs.type(), part(rows.inputs));
    write("/targets", hdf5::Type::int64, rows.targets);
    write("/clean_targets", hdf5::Type::int64, rows.clean_targets);
    write("/ids", hdf5::Type::int64, rows.ids);
    write("/source_ids", hdf5::Type::int64, rows.source_ids);
    write("/tokens", hdf5::Type::int32, rows.tokens);
    write("/image_ids", hdf5::Type::int64, rows.image_ids);
    write("/caption_of", hdf5::Type::int64, rows.caption_of);
    if (!rows.names.empty()) columns_.at("/names").write_text(into, part(rows.names));
    if (!rows.captions.empty()) columns_.at("/captions").write_text(into, part(rows.captions));
    if (boxes_) boxes_->write(*rows.boxes, from, into);
}

}  // namespace thresher::io
