// Environments of images with boxes, drawn from a pool.

#include <algorithm>
#include <numeric>

#include "io/checksum.hpp"
#include "io/id_set.hpp"
#include "io/pool/block_reader.hpp"
#include "jobs/options/environment_options.hpp"
#include "src/base/check.hpp"
#include "src/environments/images/covering_rows.hpp"
#include "src/environments/images/image_points.hpp"
#include "src/models/detector/detector_spec.hpp"
#include "src/random/permutation.hpp"

namespace thresher::jobs {

namespace {

constexpr std::int64_t kCacheBytes = std::int64_t{1} << 30;

MemoryPool images_of(const io::PoolFile& pool, std::span<const std::int64_t> rows) {
    const auto source = io::make_example_source(pool, rows, kCacheBytes);
    std::vector<std::int64_t> positions(rows.size());
    std::iota(positions.begin(), positions.end(), std::int64_t{0});
    MemoryPool images;
    images.info = source->info();
    source->fetch(positions, images);
    return images;
}

MemoryPool all_images(const std::string& path, const ModelSpec& detector) {
    const io::PoolFile pool = io::open_pool(path);
    check_fits(detector, pool.info(), path);
    THRESHER_CHECK_AS(FileError, pool.info().has_boxes,
                      "{} has no boxes; give a pool of thresher import voc or coco", path);
    std::vector<std::int64_t> rows(static_cast<std::size_t>(pool.info().rows));
    std::iota(rows.begin(), rows.end(), std::int64_t{0});
    return images_of(pool, rows);
}

}  // namespace

ImageSource::ImageSource(const io::PoolFile& pool, const EnvironmentChoice& options)
    : pool_(pool), options_(options.environment) {
    const PoolInfo& info = pool.info();
    THRESHER_CHECK_AS(FileError, info.has_boxes,
                      "{} has no boxes; give a pool of thresher import voc or coco", info.path);
    for (const auto& [option, value] : {std::pair{"--detector", &options.detector},
                                        {"--reward-pool", &options.reward_pool},
                                        {"--test-pool", &options.test_pool}}) {
        THRESHER_CHECK_AS(UsageError, !value->empty(), "environment images needs {}", option);
    }
    std::unique_ptr<Model> detector = load_model(options.detector, info, "cpu");
    THRESHER_CHECK_AS(UsageError, is_detector(detector->spec().name),
                      "{} is no ssd or retinanet, whose trunk the proxy could take",
                      options.detector);
    const std::string rewards = io::inputs_checksum(options.reward_pool);
    THRESHER_CHECK_AS(UsageError,
                      rewards != io::inputs_checksum(info.path) &&
                          rewards != io::inputs_checksum(options.test_pool),
                      "--reward-pool {} is the pool that is chosen from, or that of the results; "
                      "rewards, results and candidates must be of different images",
                      options.reward_pool);
    detector_name_ = io::inputs_checksum(options.detector);
    reward_ = all_images(options.reward_pool, detector->spec());
    test_ = all_images(options.test_pool, detector->spec());
    options_.reward = reward_.info.rows;
    options_.test = test_.info.rows;
    detector_ = std::move(detector);
    if (!options.labelled_rows.empty()) {
        labelled_ = pool.rows_of(io::read_id_set(options.labelled_rows));
        options_.labelled = std::ssize(labelled_);
    }
    if (!options.rows.empty()) {
        candidates_ = pool.rows_of(io::read_id_set(options.rows));
        THRESHER_CHECK_AS(UsageError, std::ssize(candidates_) == options_.candidates,
                          "{} names {} candidates, and --candidates is {}; it must be {}",
                          options.rows, candidates_.size(), options_.candidates,
                          candidates_.size());
        for (const std::int64_t row : labelled_) {
            THRESHER_CHECK_AS(
                UsageError,
                std::find(candidates_.begin(), candidates_.end(), row) == candidates_.end(),
                "row {} of {} is both in {} and in {}", row, info.path, options.labelled_rows,
                options.rows);
        }
    }
    pool.read_boxes({0, info.rows}, boxes_);
}

std::vector<std::int64_t> ImageSource::draw(std::uint64_t seed, Half half) const {
    // Rows that may be drawn, in the order of the seed.
    const KeyedPermutation order(pool_.info().rows, seed, Stream::environment, 0);
    std::vector<std::uint8_t> taken(static_cast<std::size_t>(pool_.info().rows), 0);
    for (const auto* named : {&labelled_, &candidates_}) {
        for (const std::int64_t row : *named) taken[static_cast<std::size_t>(row)] = 1;
    }
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < order.size(); ++i) {
        const std::int64_t row = order(i);
        if (taken[static_cast<std::size_t>(row)] == 0 && half_of(row) == half) rows.push_back(row);
    }
    std::vector<std::int64_t> drawn = labelled_;
    if (drawn.empty()) drawn = covering_rows(rows, boxes_, options_.labelled);
    std::erase_if(rows, [&](std::int64_t row) {
        return std::find(drawn.begin(), drawn.end(), row) != drawn.end();
    });
    if (!candidates_.empty()) rows = candidates_;
    THRESHER_CHECK(
        std::ssize(drawn) == options_.labelled && std::ssize(rows) >= options_.candidates,
        "an environment of {} labelled images and {} candidates needs as many rows, but "
        "the half of {} that it is drawn from has {}; ask for fewer",
        options_.labelled, options_.candidates, pool_.info().path,
        std::ssize(drawn) + std::ssize(rows));
    drawn.insert(drawn.end(), rows.begin(), rows.begin() + options_.candidates);
    return drawn;
}

OpenEnvironment ImageSource::open(std::uint64_t seed, Half half) const {
    const std::vector<std::int64_t> rows = draw(seed, half);
    const auto candidates = std::span(rows).subspan(static_cast<std::size_t>(options_.labelled));
    auto images = std::make_shared<DetectionParts>();
    images->labelled =
        images_of(pool_, std::span(rows).first(static_cast<std::size_t>(options_.labelled)));
    images->candidates = images_of(pool_, candidates);
    images->reward = reward_;
    images->test = test_;
    Points points;
    const auto scoring = detector_->scoring_form();
    for (const MemoryPool* part :
         {&images->labelled, &images->candidates, &images->reward, &images->test}) {
        add_points(*part, *scoring, points);
    }
    OpenEnvironment open;
    open.environment = make_environment(options_, seed, points, detector_->embedding_size(),
                                        detector_->spec().classes + 1);
    open.environment.name = detector_name_;
    open.images = std::move(images);
    open.detector = detector_;
    open.ids = pool_.ids_of({candidates.begin(), candidates.end()});
    return open;
}

}  // namespace thresher::jobs
