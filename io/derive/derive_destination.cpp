#include "io/derive/derive_destination.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "src/random/philox.hpp"

namespace thresher::io {

DeriveDestination::DeriveDestination(const PoolFile& source, const DeriveOptions& options,
                                     const Provenance& provenance, const std::string& path,
                                     const DerivedSize& size, bool spoiled)
    : source_(source),
      options_(options),
      spoiled_(spoiled),
      noise_(spoiled ? options.label_noise : 0.0, written_rows(size), options.seed,
             Stream::label_noise),
      captions_(spoiled ? options.shuffle_captions : 0.0, written_rows(size), options.seed) {
    const PoolSchema written = schema();
    keeps_clean_ = written.clean_targets;
    keeps_image_ids_ = written.text.image_ids;
    keeps_caption_of_ = written.text.caption_of;
    result_.path = path;
    result_.rows = written_rows(size);
    result_.repeated = result_.rows - size.rows;
    writer_ =
        std::make_unique<PoolWriter>(path, written, provenance,
                                     PoolWriterOptions{.overwrite = options.overwrite,
                                                       .rows_per_shard = options.rows_per_shard,
                                                       .append = false,
                                                       .expected_rows = result_.rows});
}

PoolSchema DeriveDestination::schema() const {
    const PoolInfo& info = source_.info();
    PoolSchema schema;
    schema.input_shape = info.input_shape;
    schema.element_type = info.element_type;
    schema.scale = info.scale;
    schema.mean = info.mean;
    schema.std = info.std;
    schema.targets = info.has_targets;
    schema.clean_targets = info.has_clean_targets || noise_.rows() > 0;
    schema.source_ids = true;
    schema.names = info.has_names;
    schema.name_bytes = source_.name_bytes();
    schema.class_names = info.class_names;
    schema.classes = info.classes;
    schema.text.image_ids = source_.has_image_ids();
    schema.boxes = {info.has_boxes, info.has_box_areas, info.has_image_sizes};
    if (info.token_length > 0) {
        schema.text = {.length = info.token_length,
                       .vocabulary = source_.vocabulary(),
                       .caption_bytes = std::max<std::int64_t>(1, source_.caption_bytes()),
                       .image_ids = true,
                       .caption_of = info.has_caption_of || captions_.rows() > 0};
    }
    return schema;
}

std::int64_t DeriveDestination::repeats(std::int64_t target) const {
    if (!spoiled_) return 1;
    if (options_.class_repeats.empty()) return options_.repeat;
    return target < 0 ? 1 : options_.class_repeats[static_cast<std::size_t>(target)];
}

std::int64_t DeriveDestination::written_rows(const DerivedSize& size) const {
    if (!spoiled_ || options_.class_repeats.empty()) return size.rows * repeats(-1);
    std::int64_t rows = size.rows;
    for (std::size_t c = 0; c < size.of_class.size(); ++c) {
        rows += size.of_class[c] * (options_.class_repeats[c] - 1);
    }
    return rows;
}

void DeriveDestination::announce(const SourceBlock& block, std::size_t local) {
    if (captions_.rows() > 0) captions_.collect(block, local);
}

void DeriveDestination::add(const SourceBlock& block, std::size_t local, std::int64_t copy) {
    const auto row_bytes = static_cast<std::size_t>(source_.info().bytes_per_row());
    const std::size_t begin = inputs_.size();
    inputs_.insert(inputs_.end(),
                   block.inputs.begin() + static_cast<std::ptrdiff_t>(local * row_bytes),
                   block.inputs.begin() + static_cast<std::ptrdiff_t>((local + 1) * row_bytes));
    if (copy > 0 && options_.jitter > 0.0) {
        jitter(std::span(inputs_).subspan(begin),
               block.first_row + static_cast<std::int64_t>(local), copy);
    }
    source_ids_.push_back(block.ids[local]);
    if (source_.info().has_names) names_.push_back(block.names[local]);
    if (source_.info().has_targets) {
        const std::int64_t target = block.targets[local];
        const std::int64_t noisy = mislabelled(target);
        targets_.push_back(noisy);
        result_.changed_targets += noisy != target;
        if (keeps_clean_) {
            clean_targets_.push_back(source_.info().has_clean_targets ? block.clean_targets[local]
                                                                      : target);
        }
    }
    if (keeps_image_ids_) image_ids_.push_back(block.image_ids[local]);
    if (source_.info().token_length > 0) add_caption(block, local);
    if (source_.info().has_boxes) {
        boxes_.append_row(block.boxes, static_cast<std::int64_t>(local));
    }
    ++written_;
    if (inputs_.size() >= (std::size_t{2} << 20)) flush();
}

void DeriveDestination::add_caption(const SourceBlock& block, std::size_t local) {
    const SourceCaption caption = captions_.caption(block, local, written_);
    tokens_.insert(tokens_.end(), caption.tokens.begin(), caption.tokens.end());
    texts_.emplace_back(caption.text);
    if (keeps_caption_of_) caption_of_.push_back(caption.caption_of);
    result_.changed_captions += caption.caption_of != block.caption_of[local];
}

/// Gaussian noise of `jitter` standard deviations of the channel; u8 is rounded and clipped.
void DeriveDestination::jitter(std::span<std::byte> inputs, std::int64_t row,
                               std::int64_t copy) const {
    const PoolInfo& info = source_.info();
    const KeyedRandom random(options_.seed, Stream::jitter, static_cast<std::uint32_t>(copy));
    const std::int64_t elements = info.elements_per_row();
    const std::int64_t per_channel = elements / info.input_shape[0];
    for (std::int64_t j = 0; j < elements; ++j) {
        const auto channel = info.std.size() == 1 ? 0 : static_cast<std::size_t>(j / per_channel);
        const double noise =
            options_.jitter * info.std[channel] / info.scale * random.normal(row * elements + j);
        if (info.element_type == ElementType::uint8) {
            std::byte& value = inputs[static_cast<std::size_t>(j)];
            value = static_cast<std::byte>(
                std::clamp(std::lround(std::to_integer<int>(value) + noise), 0L, 255L));
        } else {
            float value = 0.0F;
            std::byte* place = inputs.data() + 4 * j;
            std::memcpy(&value, place, 4);
            value = static_cast<float>(static_cast<double>(value) + noise);
            std::memcpy(place, &value, 4);
        }
    }
}

std::int64_t DeriveDestination::mislabelled(std::int64_t target) const {
    if (target < 0 || !noise_.chosen(written_)) return target;
    const std::int64_t classes = source_.info().classes;
    switch (options_.noise_kind) {
        case LabelNoise::uniform:
            return KeyedRandom(options_.seed, Stream::label_noise, 1).integer(written_, classes);
        case LabelNoise::next_class:
            return (target + 1) % classes;
        case LabelNoise::class_map:
            return options_.class_map[static_cast<std::size_t>(target)];
    }
    return target;
}

void DeriveDestination::flush() {
    PoolRows rows;
    rows.rows = static_cast<std::int64_t>(source_ids_.size());
    rows.inputs = inputs_;
    rows.targets = targets_;
    rows.clean_targets = clean_targets_;
    rows.source_ids = source_ids_;
    rows.names = names_;
    rows.tokens = tokens_;
    rows.captions = texts_;
    rows.image_ids = image_ids_;
    rows.caption_of = caption_of_;
    if (source_.info().has_boxes) rows.boxes = &boxes_;
    if (rows.rows > 0) writer_->append(rows);
    inputs_.clear();
    targets_.clear();
    clean_targets_.clear();
    source_ids_.clear();
    names_.clear();
    tokens_.clear();
    texts_.clear();
    image_ids_.clear();
    caption_of_.clear();
    boxes_ = {};
}

DerivedPool DeriveDestination::finish() {
    flush();
    writer_->finish();
    return result_;
}

}  // namespace thresher::io
