#include "io/derive.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "io/caption_shuffle.hpp"
#include "io/derive_plan.hpp"
#include "io/pool_writer.hpp"
#include "src/base/check.hpp"
#include "src/random/philox.hpp"

namespace thresher::io {

std::vector<double> exponential_shares(double factor, std::int64_t classes) {
    THRESHER_CHECK_AS(
        UsageError, std::isfinite(factor) && factor >= 1.0 && classes >= 1,
        "an exponential imbalance of factor {} over {} classes; the factor is 1 or more", factor,
        classes);
    std::vector<double> shares;
    for (std::int64_t c = 0; c < classes; ++c) {
        const double place =
            static_cast<double>(c) / static_cast<double>(std::max<std::int64_t>(1, classes - 1));
        shares.push_back(std::pow(factor, -place));
    }
    return shares;
}

std::vector<DeriveSplit> parse_splits(const std::string& text) {
    constexpr const char* kExpected =
        "name=rows,name=rows,...; the last may be name=rest or just a name";
    std::vector<DeriveSplit> splits;
    std::size_t begin = 0;
    while (begin <= text.size()) {
        const std::size_t comma = std::min(text.find(',', begin), text.size());
        const std::string part = text.substr(begin, comma - begin);
        begin = comma + 1;
        const std::size_t equals = part.find('=');
        DeriveSplit split{part.substr(0, equals), -1};
        const std::string size = equals == std::string::npos ? "rest" : part.substr(equals + 1);
        if (size != "rest") {
            const auto [end, error] =
                std::from_chars(size.data(), size.data() + size.size(), split.rows);
            THRESHER_CHECK_AS(
                UsageError,
                error == std::errc{} && end == size.data() + size.size() && split.rows > 0,
                "--split is \"{}\", \"{}\" is no number of rows; expected {}", text, size,
                kExpected);
        }
        THRESHER_CHECK_AS(
            UsageError, !split.name.empty() && split.name.find('/') == std::string::npos,
            "--split is \"{}\", \"{}\" has no usable name; expected {}", text, part, kExpected);
        for (const DeriveSplit& other : splits) {
            THRESHER_CHECK_AS(UsageError, other.name != split.name, "--split names {} twice",
                              split.name);
            THRESHER_CHECK_AS(UsageError, other.rows >= 0 || split.rows >= 0,
                              "--split is \"{}\"; only one pool can take the rest", text);
        }
        splits.push_back(std::move(split));
    }
    return splits;
}

namespace {

/// Rows of a pool before repeats, and of each class, where that is asked for.
struct Size {
    std::int64_t rows = 0;
    std::vector<std::int64_t> of_class{};
};

/// One pool being written: rows are copied, jittered and mislabelled on their way.
class Destination {
  public:
    Destination(const PoolFile& source, const DeriveOptions& options, const Provenance& provenance,
                const std::string& path, const Size& size, bool spoiled)
        : source_(source),
          options_(options),
          spoiled_(spoiled),
          noise_(spoiled ? options.label_noise : 0.0, written_rows(size), options.seed,
                 Stream::label_noise),
          captions_(spoiled ? options.shuffle_captions : 0.0, written_rows(size), options.seed) {
        const PoolInfo& info = source.info();
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
        schema.name_bytes = source.name_bytes();
        schema.class_names = info.class_names;
        schema.classes = info.classes;
        if (info.token_length > 0) schema.text = text_schema();
        keeps_clean_ = schema.clean_targets;
        keeps_caption_of_ = schema.text.caption_of;
        result_.path = path;
        result_.rows = written_rows(size);
        result_.repeated = result_.rows - size.rows;
        writer_ =
            std::make_unique<PoolWriter>(path, schema, provenance,
                                         PoolWriterOptions{.overwrite = options.overwrite,
                                                           .rows_per_shard = options.rows_per_shard,
                                                           .append = false,
                                                           .expected_rows = result_.rows});
    }

    /// How often a row with this target is written.
    std::int64_t repeats(std::int64_t target) const {
        if (!spoiled_) return 1;
        if (options_.class_repeats.empty()) return options_.repeat;
        return target < 0 ? 1 : options_.class_repeats[static_cast<std::size_t>(target)];
    }

    /// A row to come, where captions are shuffled: before the first is added.
    void announce(const SourceBlock& block, std::size_t local) {
        if (captions_.rows() > 0) captions_.collect(block, local);
    }

    /// Row `local` of the block, for copy number `copy`.
    void add(const SourceBlock& block, std::size_t local, std::int64_t copy) {
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
                clean_targets_.push_back(
                    source_.info().has_clean_targets ? block.clean_targets[local] : target);
            }
        }
        if (source_.info().token_length > 0) add_caption(block, local);
        ++written_;
        if (inputs_.size() >= (std::size_t{2} << 20)) flush();
    }

    DerivedPool finish() {
        flush();
        writer_->finish();
        return result_;
    }

  private:
    TextSchema text_schema() const {
        return {.length = source_.info().token_length,
                .vocabulary = source_.vocabulary(),
                .caption_bytes = std::max<std::int64_t>(1, source_.caption_bytes()),
                .image_ids = true,
                .caption_of = source_.info().has_caption_of || captions_.rows() > 0};
    }

    void add_caption(const SourceBlock& block, std::size_t local) {
        const SourceCaption caption = captions_.caption(block, local, written_);
        tokens_.insert(tokens_.end(), caption.tokens.begin(), caption.tokens.end());
        texts_.emplace_back(caption.text);
        image_ids_.push_back(block.image_ids[local]);
        if (keeps_caption_of_) caption_of_.push_back(caption.caption_of);
        result_.changed_captions += caption.caption_of != block.caption_of[local];
    }

    std::int64_t written_rows(const Size& size) const {
        if (!spoiled_ || options_.class_repeats.empty()) return size.rows * repeats(-1);
        std::int64_t rows = size.rows;
        for (std::size_t c = 0; c < size.of_class.size(); ++c) {
            rows += size.of_class[c] * (options_.class_repeats[c] - 1);
        }
        return rows;
    }

    void flush() {
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
    }

    /// Gaussian noise of `jitter` standard deviations of the channel; u8 is rounded and clipped.
    void jitter(std::span<std::byte> inputs, std::int64_t row, std::int64_t copy) const {
        const PoolInfo& info = source_.info();
        const KeyedRandom random(options_.seed, Stream::jitter, static_cast<std::uint32_t>(copy));
        const std::int64_t elements = info.elements_per_row();
        const std::int64_t per_channel = elements / info.input_shape[0];
        for (std::int64_t j = 0; j < elements; ++j) {
            const auto channel =
                info.std.size() == 1 ? 0 : static_cast<std::size_t>(j / per_channel);
            const double noise = options_.jitter * info.std[channel] / info.scale *
                                 random.normal(row * elements + j);
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

    std::int64_t mislabelled(std::int64_t target) const {
        if (target < 0 || !noise_.chosen(written_)) return target;
        const std::int64_t classes = source_.info().classes;
        switch (options_.noise_kind) {
            case LabelNoise::uniform:
                return KeyedRandom(options_.seed, Stream::label_noise, 1)
                    .integer(written_, classes);
            case LabelNoise::next_class:
                return (target + 1) % classes;
            case LabelNoise::class_map:
                return options_.class_map[static_cast<std::size_t>(target)];
        }
        return target;
    }

    const PoolFile& source_;
    const DeriveOptions& options_;
    bool spoiled_, keeps_clean_ = false, keeps_caption_of_ = false;
    std::int64_t written_ = 0;
    RandomShare noise_;
    CaptionShuffle captions_;
    DerivedPool result_;
    std::unique_ptr<PoolWriter> writer_;
    std::vector<std::byte> inputs_;
    std::vector<std::int64_t> targets_, clean_targets_, source_ids_;
    std::vector<std::string> names_, texts_;
    std::vector<std::int32_t> tokens_;
    std::vector<std::int64_t> image_ids_, caption_of_;
};

void check(const PoolFile& pool, const DeriveOptions& options) {
    const PoolInfo& info = pool.info();
    const auto classes = static_cast<std::size_t>(info.classes);
    THRESHER_CHECK_AS(UsageError, options.repeat >= 1, "--repeat is {}; allowed are 1 and more",
                      options.repeat);
    THRESHER_CHECK_AS(UsageError, options.class_repeats.empty() || options.repeat == 1,
                      "--repeat and --class-repeats were both given; choose one");
    THRESHER_CHECK_AS(UsageError,
                      options.class_repeats.empty() || options.class_repeats.size() == classes,
                      "--class-repeats has {} entries, the pool has {} classes",
                      options.class_repeats.size(), classes);
    for (const std::int64_t repeat : options.class_repeats) {
        THRESHER_CHECK_AS(UsageError, repeat >= 1,
                          "--class-repeats holds {}; allowed are 1 and more", repeat);
    }
    THRESHER_CHECK_AS(UsageError, options.jitter >= 0.0 && std::isfinite(options.jitter),
                      "--jitter is {} standard deviations; allowed are 0 and more", options.jitter);
    THRESHER_CHECK_AS(UsageError, options.label_noise >= 0.0 && options.label_noise <= 1.0,
                      "--label-noise is {}; a share is between 0 and 1", options.label_noise);
    THRESHER_CHECK_AS(
        UsageError,
        info.has_targets || (options.label_noise == 0.0 && options.class_shares.empty() &&
                             options.class_repeats.empty()),
        "{}: the pool has no targets, so neither label noise nor imbalance can be made", info.path);
    THRESHER_CHECK_AS(
        UsageError, options.class_shares.empty() || options.class_shares.size() == classes,
        "--imbalance has {} shares, the pool has {} classes", options.class_shares.size(), classes);
    for (double share : options.class_shares) {
        THRESHER_CHECK_AS(UsageError, share >= 0.0 && share <= 1.0,
                          "--imbalance has the share {}; allowed are 0 to 1", share);
    }
    if (options.noise_kind == LabelNoise::class_map && options.label_noise > 0.0) {
        THRESHER_CHECK_AS(
            UsageError, options.class_map.size() == classes,
            "the class map of the label noise has {} entries, the pool has {} classes",
            options.class_map.size(), classes);
        for (std::int64_t target : options.class_map) {
            THRESHER_CHECK_AS(UsageError, target >= 0 && target < info.classes,
                              "the class map of the label noise holds {}; allowed are 0 to {}",
                              target, info.classes - 1);
        }
    }
    THRESHER_CHECK_AS(
        UsageError, options.shuffle_captions >= 0.0 && options.shuffle_captions <= 1.0,
        "--shuffle-captions is {}; a share is between 0 and 1", options.shuffle_captions);
    THRESHER_CHECK_AS(UsageError, options.shuffle_captions == 0.0 || info.token_length > 0,
                      "{}: the pool has no captions to shuffle; `thresher import image-text` makes "
                      "pools that have",
                      info.path);
    const auto is_spoiled = [&](const DeriveSplit& split) { return split.name == options.spoil; };
    THRESHER_CHECK_AS(UsageError,
                      options.spoil.empty() ||
                          std::any_of(options.splits.begin(), options.splits.end(), is_spoiled),
                      "--spoil is \"{}\", which is none of the pools of --split", options.spoil);
}

}  // namespace

std::vector<DerivedPool> derive_pool(const PoolFile& pool, const DeriveOptions& options,
                                     const Provenance& provenance) {
    check(pool, options);
    const DerivePlan plan(pool, options);
    std::vector<Size> sizes;
    for (const std::int64_t rows : plan.sizes()) sizes.push_back({rows});
    if (!options.class_repeats.empty()) {
        auto of_class = plan.class_sizes();
        for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i].of_class = std::move(of_class[i]);
    }
    std::vector<std::unique_ptr<Destination>> destinations;
    if (options.splits.empty()) {
        destinations.push_back(std::make_unique<Destination>(pool, options, provenance,
                                                             options.output, sizes[0], true));
    } else {
        std::error_code error;
        std::filesystem::create_directories(options.output, error);
        THRESHER_CHECK_AS(FileError, std::filesystem::is_directory(options.output),
                          "{}: the directory for the split pools cannot be made: {}",
                          options.output, error ? error.message() : "something else has this name");
        for (std::size_t i = 0; i < options.splits.size(); ++i) {
            const std::string& name = options.splits[i].name;
            destinations.push_back(std::make_unique<Destination>(
                pool, options, provenance,
                options.output + "/" + name + (options.rows_per_shard > 0 ? "" : ".h5"), sizes[i],
                options.spoil.empty() || options.spoil == name));
        }
    }
    if (options.shuffle_captions > 0.0) {
        plan.for_each_row_of_columns(
            [&](const SourceBlock& block, std::size_t local, std::size_t place) {
                destinations[place]->announce(block, local);
            });
    }
    std::int64_t copies = options.repeat;
    for (const std::int64_t repeat : options.class_repeats) copies = std::max(copies, repeat);
    // Copy by copy, so that the repeats of a row lie far apart, as they do in collected data.
    for (std::int64_t copy = 0; copy < copies; ++copy) {
        plan.for_each_row([&](const SourceBlock& block, std::size_t local, std::size_t place) {
            Destination& destination = *destinations[place];
            if (copy < destination.repeats(block.targets[local])) {
                destination.add(block, local, copy);
            }
        });
    }
    std::vector<DerivedPool> derived;
    for (const auto& destination : destinations) derived.push_back(destination->finish());
    return derived;
}

}  // namespace thresher::io
