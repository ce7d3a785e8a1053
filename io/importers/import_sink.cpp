#include "io/importers/import_sink.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "src/base/check.hpp"
#include "src/base/collective.hpp"
#include "src/base/tree_sum.hpp"
#include "src/pool/blocks.hpp"
#include "src/selection/unique_ids.hpp"

namespace thresher::io {

namespace {

PoolInfo info_of(const PoolSchema& schema) {
    PoolInfo info;
    info.input_shape = schema.input_shape;
    info.element_type = schema.element_type;
    info.scale = schema.scale;
    return info;
}

bool are_finite(std::span<const std::byte> floats) {
    for (std::size_t at = 0; at < floats.size(); at += sizeof(float)) {
        float value = 0.0F;
        std::memcpy(&value, floats.data() + at, sizeof(value));
        if (!std::isfinite(value)) return false;
    }
    return true;
}

PoolWriterOptions writer_options(const ImportOptions& options, std::int64_t expected_rows) {
    return {.overwrite = options.overwrite,
            .rows_per_shard = options.rows_per_shard,
            .append = options.append,
            .expected_rows = expected_rows};
}

}  // namespace

ChannelStatistics::ChannelStatistics(const PoolInfo& info)
    : info_(info),
      channels_(static_cast<std::size_t>(info.input_shape.at(0))),
      per_channel_(static_cast<std::size_t>(info.elements_per_row()) / channels_) {}

double ChannelStatistics::element(std::span<const std::byte> inputs, std::size_t index) const {
    if (info_.element_type == ElementType::uint8) {
        return static_cast<double>(std::to_integer<int>(inputs[index]));
    }
    float value = 0.0F;
    std::memcpy(&value, inputs.data() + 4 * index, 4);
    return static_cast<double>(value);
}

void ChannelStatistics::add_block(std::span<const std::byte> inputs) {
    const auto elements = static_cast<std::size_t>(info_.elements_per_row());
    const std::size_t rows = inputs.size() / static_cast<std::size_t>(info_.bytes_per_row());
    if (rows == 0) return;
    if (shifts_.empty()) {
        for (std::size_t c = 0; c < channels_; ++c) {
            double sum = 0.0;
            for (std::size_t j = 0; j < per_channel_; ++j)
                sum += element(inputs, c * per_channel_ + j);
            shifts_.push_back(sum / static_cast<double>(per_channel_));
        }
    }
    for (std::size_t c = 0; c < channels_; ++c) {
        double sum = 0.0, square = 0.0;
        for (std::size_t row = 0; row < rows; ++row) {
            for (std::size_t j = 0; j < per_channel_; ++j) {
                const double x =
                    element(inputs, row * elements + c * per_channel_ + j) - shifts_[c];
                sum += x;
                square += x * x;
            }
        }
        sums_.push_back(sum);
        squares_.push_back(square);
    }
    rows_ += static_cast<std::int64_t>(rows);
}

double ChannelStatistics::total(const std::vector<double>& sums, std::size_t channel) const {
    std::vector<double> terms;
    for (std::size_t i = channel; i < sums.size(); i += channels_) terms.push_back(sums[i]);
    return tree_sum(terms) / (static_cast<double>(rows_) * static_cast<double>(per_channel_));
}

std::vector<double> ChannelStatistics::mean() const {
    std::vector<double> means;
    for (std::size_t c = 0; c < channels_; ++c) {
        means.push_back((total(sums_, c) + shift(c)) * info_.scale);
    }
    return means;
}

std::vector<double> ChannelStatistics::std() const {
    std::vector<double> deviations;
    for (std::size_t c = 0; c < channels_; ++c) {
        const double mean = total(sums_, c);
        const double variance = std::max(0.0, total(squares_, c) - mean * mean);
        deviations.push_back(variance > 0.0 ? std::sqrt(variance) * info_.scale : 1.0);
    }
    return deviations;
}

ImportSink::ImportSink(const ImportOptions& options, const PoolSchema& schema,
                       const Provenance& provenance, std::int64_t expected_rows)
    : options_(options),
      schema_(schema),
      info_(info_of(schema)),
      writer_(options.output, schema, provenance, writer_options(options, expected_rows)),
      statistics_(info_),
      block_rows_(default_block_rows(info_.bytes_per_row())) {
    if (!options.class_names.empty()) set_class_names(options.class_names);
}

void ImportSink::set_class_names(std::vector<std::string> class_names) {
    schema_.class_names = class_names;
    writer_.set_class_names(std::move(class_names));
}

void ImportSink::add(std::int64_t position, std::span<const std::byte> inputs, std::int64_t target,
                     std::int64_t id, const std::string& name, std::int64_t clean_target,
                     const CaptionRow& caption, const BoxRow& boxes) {
    const auto classes = static_cast<std::int64_t>(schema_.class_names.size());
    if (schema_.targets && (target < -1 || (classes > 0 && target >= classes))) {
        quarantine(position, fmt::format("target {} is out of range, allowed are 0 to {}", target,
                                         classes - 1));
        return;
    }
    if (schema_.element_type == ElementType::float32 && !are_finite(inputs)) {
        quarantine(position, "an input is not finite");
        return;
    }
    inputs_.insert(inputs_.end(), inputs.begin(), inputs.end());
    if (schema_.targets) targets_.push_back(target);
    if (schema_.clean_targets) clean_targets_.push_back(clean_target);
    if (schema_.ids) ids_.push_back(id);
    if (schema_.names) names_.push_back(name);
    if (schema_.text.length > 0) {
        tokens_.insert(tokens_.end(), caption.tokens.begin(), caption.tokens.end());
        captions_.emplace_back(caption.text);
    }
    if (schema_.text.image_ids) image_ids_.push_back(caption.image_id);
    if (schema_.text.caption_of) caption_of_.push_back(caption.caption_of);
    if (schema_.boxes.present) {
        boxes_.append_row(*boxes.boxes, boxes.row);
        box_count_ += boxes.boxes->of(boxes.row).size();
    }
    if (std::cmp_greater_equal(inputs_.size(), block_rows_ * info_.bytes_per_row())) flush();
}

void ImportSink::quarantine(std::int64_t position, std::string reason) {
    bad_.push_back({position, std::move(reason)});
}

void ImportSink::quarantine_box(std::int64_t position, std::string reason) {
    bad_boxes_.push_back({position, std::move(reason)});
}

std::int64_t ImportSink::rows() const {
    return writer_.rows() + static_cast<std::int64_t>(inputs_.size()) / info_.bytes_per_row();
}

void ImportSink::flush() {
    PoolRows rows;
    rows.rows = static_cast<std::int64_t>(inputs_.size()) / info_.bytes_per_row();
    if (rows.rows == 0) return;
    rows.inputs = inputs_;
    rows.targets = targets_;
    rows.clean_targets = clean_targets_;
    rows.ids = ids_;
    rows.names = names_;
    rows.tokens = tokens_;
    rows.captions = captions_;
    rows.image_ids = image_ids_;
    rows.caption_of = caption_of_;
    if (schema_.boxes.present) rows.boxes = &boxes_;
    writer_.append(rows);
    all_ids_.insert(all_ids_.end(), ids_.begin(), ids_.end());
    statistics_.add_block(inputs_);
    inputs_.clear();
    targets_.clear();
    clean_targets_.clear();
    ids_.clear();
    names_.clear();
    tokens_.clear();
    captions_.clear();
    image_ids_.clear();
    caption_of_.clear();
    boxes_ = {};
}

void ImportSink::check_ids() {
    if (!schema_.ids) return;
    if (options_.append) {
        const PoolFile there = open_pool(options_.output);
        const std::size_t own = all_ids_.size();
        all_ids_.resize(own + static_cast<std::size_t>(there.info().rows));
        there.read_ids({0, there.info().rows}, std::span(all_ids_).subspan(own));
    }
    check_unique_ids(
        *make_local_collective(), all_ids_,
        options_.append ? options_.source + " and " + options_.output : options_.source);
}

ImportReport ImportSink::finish() {
    flush();
    check_ids();
    const auto by_position = [](const auto& a, const auto& b) { return a.id < b.id; };
    std::stable_sort(bad_.begin(), bad_.end(), by_position);
    std::stable_sort(bad_boxes_.begin(), bad_boxes_.end(), by_position);
    const auto alone = make_local_collective();
    const std::int64_t total = writer_.rows() + static_cast<std::int64_t>(bad_.size());
    check_bad_rows(*alone, bad_, total, options_.max_bad);
    check_bad_rows(*alone, bad_boxes_, box_count_ + std::ssize(bad_boxes_), options_.max_bad,
                   "boxes");
    bad_.insert(bad_.end(), bad_boxes_.begin(), bad_boxes_.end());
    std::stable_sort(bad_.begin(), bad_.end(), by_position);
    THRESHER_CHECK_AS(FileError, writer_.rows() > 0, "{}: holds no usable row", options_.source);
    // A pool is normalised as a whole: rows that are added keep what it has.
    if (!options_.append) writer_.set_normalisation(statistics_.mean(), statistics_.std());
    writer_.set_quarantine(bad_);
    writer_.finish();
    return {open_pool(options_.output).info(), std::move(bad_), {}};
}

std::vector<std::int64_t> image_ids_of(const PoolFile& pool) {
    std::vector<std::int64_t> ids(static_cast<std::size_t>(pool.info().rows));
    pool.read_image_ids({0, pool.info().rows}, ids);
    return ids;
}

std::int64_t free_image_id(const PoolFile& pool) {
    const std::int64_t rows = pool.info().rows;
    if (!pool.has_image_ids()) return rows;
    const std::vector<std::int64_t> ids = image_ids_of(pool);
    return std::max(rows, *std::max_element(ids.begin(), ids.end()) + 1);
}

}  // namespace thresher::io
