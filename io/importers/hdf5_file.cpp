// A user's own HDF5 file, or another pool, copied into a pool with the layout and the attributes
// that Thresher likes.

#include <algorithm>
#include <unordered_set>

#include "io/importers/formats.hpp"
#include "io/importers/import_sink.hpp"
#include "src/base/check.hpp"

namespace thresher::io {
namespace {

/// The captions of a block of rows, as one row after the other asks for them.
class Captions {
  public:
    explicit Captions(const PoolFile& source) : source_(source) {}

    bool exist() const { return source_.info().token_length > 0; }

    TextSchema schema() const {
        if (!exist()) return {};
        return {.length = source_.info().token_length,
                .vocabulary = source_.vocabulary(),
                .caption_bytes = std::max<std::int64_t>(1, source_.caption_bytes()),
                .image_ids = source_.has_image_ids(),
                .caption_of = source_.info().has_caption_of};
    }

    void read(RowRange rows) {
        if (!exist()) return;
        const auto count = static_cast<std::size_t>(rows.size());
        tokens_.resize(count * static_cast<std::size_t>(source_.info().token_length));
        image_ids_.resize(count);
        caption_of_.resize(count);
        source_.read_tokens(rows, tokens_);
        source_.read_image_ids(rows, image_ids_);
        source_.read_caption_of(rows, caption_of_);
        texts_ = source_.read_captions(rows);
    }

    CaptionRow row(std::size_t i) const {
        if (!exist()) return {};
        const auto length = static_cast<std::size_t>(source_.info().token_length);
        return {std::span(tokens_).subspan(i * length, length), texts_[i], number(image_ids_[i]),
                number(caption_of_[i])};
    }

    /// Adds this to all ids of images.
    void number_from(std::int64_t first) { first_image_id_ = first; }

  private:
    std::int64_t number(std::int64_t image_id) const {
        return image_id < 0 ? image_id : first_image_id_ + image_id;
    }

    std::int64_t first_image_id_ = 0;
    const PoolFile& source_;
    std::vector<std::int32_t> tokens_;
    std::vector<std::int64_t> image_ids_, caption_of_;
    std::vector<std::string> texts_;
};

/// Whether an image of one has the id of an image of the other, as it has where they come from
/// different sources; parts of one split have none in common.
bool share_image_ids(const PoolFile& one, const PoolFile& other) {
    const std::vector<std::int64_t> ids = image_ids_of(one), others = image_ids_of(other);
    const std::unordered_set<std::int64_t> known(ids.begin(), ids.end());
    return std::any_of(others.begin(), others.end(),
                       [&](std::int64_t id) { return known.contains(id); });
}

}  // namespace

ImportReport import_hdf5(const ImportOptions& options, const Provenance& provenance) {
    const PoolFile source = open_pool(options.source, options.paths);
    const PoolInfo& info = source.info();
    PoolSchema schema;
    schema.input_shape = info.input_shape;
    schema.element_type = info.element_type;
    schema.scale = info.scale;
    schema.targets = info.has_targets;
    schema.ids = info.has_ids;
    schema.names = info.has_names;
    schema.name_bytes = source.name_bytes();
    schema.clean_targets = info.has_clean_targets;
    schema.class_names = info.class_names;
    schema.classes = info.classes;
    Captions captions(source);
    schema.text = captions.schema();
    if (options.append && captions.exist()) {
        const PoolFile there = open_pool(options.output);
        schema.text.image_ids = schema.text.image_ids || there.has_image_ids();
        if (share_image_ids(source, there)) captions.number_from(free_image_id(there));
    }
    schema.boxes = {info.has_boxes, info.has_box_areas, info.has_image_sizes};
    ImportSink sink(options, schema, provenance);
    std::vector<std::byte> inputs;
    std::vector<std::int64_t> targets, clean_targets, ids;
    Boxes boxes;
    const auto row_bytes = static_cast<std::size_t>(info.bytes_per_row());
    for (std::int64_t begin = 0; begin < info.rows; begin += info.block_rows) {
        const RowRange rows{begin, std::min(info.rows, begin + info.block_rows)};
        const auto count = static_cast<std::size_t>(rows.size());
        inputs.resize(count * row_bytes);
        targets.resize(count);
        clean_targets.resize(count);
        ids.resize(count);
        source.read_inputs(rows, inputs);
        source.read_targets(rows, targets);
        if (info.has_clean_targets) source.read_clean_targets(rows, clean_targets);
        source.read_ids(rows, ids);
        const std::vector<std::string> names = source.read_names(rows);
        captions.read(rows);
        if (info.has_boxes) source.read_boxes(rows, boxes);
        const std::vector<QuarantinedRow> bad = source.bad_targets(rows);
        auto next_bad = bad.begin();
        for (std::size_t i = 0; i < count; ++i) {
            if (next_bad != bad.end() && next_bad->id == ids[i]) {
                sink.quarantine(begin + static_cast<std::int64_t>(i), (next_bad++)->reason);
                continue;
            }
            sink.add(begin + static_cast<std::int64_t>(i),
                     std::span(inputs).subspan(i * row_bytes, row_bytes), targets[i], ids[i],
                     names[i], clean_targets[i], captions.row(i),
                     {&boxes, static_cast<std::int64_t>(i)});
        }
    }
    return sink.finish();
}

}  // namespace thresher::io
