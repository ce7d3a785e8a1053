#include "io/derive/derive.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <memory>

#include "io/derive/derive_destination.hpp"
#include "io/derive/derive_plan.hpp"
#include "src/base/check.hpp"

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

std::string split_path(const DeriveOptions& options, const DeriveSplit& split) {
    return options.output + "/" + split.name + (options.rows_per_shard > 0 ? "" : ".h5");
}

std::vector<DerivedPool> derive_pool(const PoolFile& pool, const DeriveOptions& options,
                                     const Provenance& provenance) {
    check(pool, options);
    const DerivePlan plan(pool, options);
    std::vector<DerivedSize> sizes;
    for (const std::int64_t rows : plan.sizes()) sizes.push_back({rows});
    if (!options.class_repeats.empty()) {
        auto of_class = plan.class_sizes();
        for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i].of_class = std::move(of_class[i]);
    }
    std::vector<std::unique_ptr<DeriveDestination>> destinations;
    if (options.splits.empty()) {
        destinations.push_back(std::make_unique<DeriveDestination>(pool, options, provenance,
                                                                   options.output, sizes[0], true));
    } else {
        std::error_code error;
        std::filesystem::create_directories(options.output, error);
        THRESHER_CHECK_AS(FileError, std::filesystem::is_directory(options.output),
                          "{}: the directory for the split pools cannot be made: {}",
                          options.output, error ? error.message() : "something else has this name");
        for (std::size_t i = 0; i < options.splits.size(); ++i) {
            const DeriveSplit& split = options.splits[i];
            destinations.push_back(std::make_unique<DeriveDestination>(
                pool, options, provenance, split_path(options, split), sizes[i],
                options.spoil.empty() || options.spoil == split.name));
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
            DeriveDestination& destination = *destinations[place];
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
