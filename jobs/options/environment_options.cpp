#include "jobs/options/environment_options.hpp"

#include <cstring>
#include <numeric>

#include "io/checksum.hpp"
#include "io/id_set.hpp"
#include "io/pool/block_reader.hpp"
#include "jobs/options/numbers.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"

namespace thresher::jobs {

namespace {

constexpr std::int64_t kCacheBytes = std::int64_t{1} << 30;

/// Rows of a pool as points: inputs as a model would see them, flattened.
Points points_of(const io::PoolFile& pool, std::span<const std::int64_t> rows) {
    const PoolInfo& info = pool.info();
    const auto source = io::make_example_source(pool, rows, kCacheBytes);
    std::vector<std::int64_t> positions(rows.size());
    std::iota(positions.begin(), positions.end(), std::int64_t{0});
    Examples examples;
    source->fetch(positions, examples);
    Points points;
    points.rows = std::ssize(rows);
    const std::int64_t d = info.elements_per_row();
    const auto channels = std::ssize(info.mean);
    const std::int64_t of_channel = d / channels;
    points.features.resize(rows.size() * static_cast<std::size_t>(d));
    for (std::size_t i = 0; i < points.features.size(); ++i) {
        float raw = 0.0F;
        if (info.element_type == ElementType::uint8) {
            raw = static_cast<float>(std::to_integer<int>(examples.inputs[i]));
        } else {
            std::memcpy(&raw, examples.inputs.data() + i * sizeof raw, sizeof raw);
        }
        const auto c = static_cast<std::size_t>(static_cast<std::int64_t>(i) % d / of_channel);
        points.features[i] =
            static_cast<float>((double{raw} * info.scale - info.mean[c]) / info.std[c]);
    }
    for (const std::int64_t target : examples.targets) {
        points.targets.push_back(static_cast<std::int32_t>(target));
    }
    return points;
}

std::string checksum_of(const OpenEnvironment& open) {
    std::string bytes;
    const auto add = [&](const auto& values) {
        bytes.append(reinterpret_cast<const char*>(values.data()),
                     values.size() * sizeof values[0]);
    };
    add(open.ids);
    for (const Points* points :
         {&open.environment.labelled, &open.environment.candidates, &open.environment.reward}) {
        add(points->features);
        add(points->targets);
    }
    if (open.images) {
        for (const MemoryPool* part :
             {&open.images->labelled, &open.images->candidates, &open.images->reward}) {
            add(part->boxes);
        }
    }
    return io::checksum_of_bytes(bytes);
}

}  // namespace

void add_environment_options(CLI::App& app, EnvironmentChoice& options) {
    EnvironmentOptions& environment = options.environment;
    app.add_option("--environment", environment.name,
                   "Where batches are chosen; thresher list environments shows the known ones");
    add_pool_options(app, options.pool, false);
    app.add_option("--rows", options.rows,
                   "pool: the candidates, as a set of ids (batch.h5, csv or text); none are drawn")
        ->check(CLI::ExistingFile);
    app.add_option("--candidates", environment.candidates, "Candidates, their copies included");
    app.add_option("--labelled", environment.labelled, "Points labelled to begin with");
    app.add_option("--reward-points", environment.reward, "Points that rewards are measured on");
    app.add_option("--test-points", environment.test, "Points that results are measured on");
    app.add_option("--repeat", environment.repeat,
                   "Each candidate so many times, copies with noise");
    app.add_option("--repeat-noise", environment.repeat_noise,
                   "Noise of the copies, in standard deviations of the features");
    app.add_option("--components", environment.components,
                   "pool: principal components instead of the inputs; 0 = the inputs");
    app.add_option("--detector", options.detector,
                   "images: a trained ssd or retinanet, whose trunk the proxy takes");
    app.add_option("--reward-pool", options.reward_pool, "images: pool for rewards");
    app.add_option("--test-pool", options.test_pool, "images: pool for results");
    app.add_option("--labelled-rows", options.labelled_rows,
                   "images: what is labelled to begin with, as a set of ids; none are drawn")
        ->check(CLI::ExistingFile);
}

void add_proxy_options(CLI::App& app, EnvironmentChoice& options) {
    LearnerOptions& learner = options.proxy.learner;
    app.add_option("--proxy", options.supervision,
                   "Trained anew for each batch: supervised, pseudo-label or mean-teacher");
    app.add_option("--retrain", options.retrain,
                   "Each training begins from scratch, or warm: from the learner of the labelled "
                   "set alone")
        ->check(CLI::IsMember({"scratch", "warm"}));
    app.add_option("--warm-steps", options.warm_steps, "warm: steps of a training")
        ->check(above_zero());
    app.add_option("--proxy-hidden", options.hidden,
                   "Width of its hidden layer; 0 = softmax regression, -1 = the environment's own");
    app.add_option("--proxy-steps", options.steps,
                   "Steps of its training; 0 = the environment's own");
    app.add_option("--proxy-learning-rate", options.learning_rate,
                   "Of its first step; falls to 0 in a straight line; 0 = the environment's own");
    app.add_option("--proxy-weight-decay", learner.weight_decay, "Of its weights, not its biases");
    app.add_option("--trainings", options.proxy.repeats,
                   "Trainings of a batch that are averaged, from other weights each");
    app.add_option("--consistency", learner.consistency,
                   "pseudo-label, mean-teacher: weight of the candidates that are not labelled");
    app.add_option("--ramp", learner.ramp, "Share of the steps over which that weight grows");
    app.add_option("--threshold", options.threshold,
                   "pseudo-label, images: probability from which a prediction counts; 0 = the "
                   "environment's own");
    app.add_option("--teacher-decay", learner.teacher_decay,
                   "mean-teacher: what the teacher keeps of itself in a step");
    app.add_option("--proxy-noise", learner.noise, "mean-teacher: noise of the inputs");
    app.add_flag("--proxy-full", options.full,
                 "images: train all of the detector, not its heads alone");
    app.add_option("--proxy-batch", options.proxy_batch, "images: of a step")->check(above_zero());
}

void refuse_unless(bool takes_effect, const Job& job, const char* option,
                   const std::string& where) {
    THRESHER_CHECK_AS(UsageError, takes_effect || !job.was_given(option),
                      "{} has no effect here: it is for {}; leave it out", option, where);
}

void refuse_unused(const Job& job, const EnvironmentChoice& options) {
    refuse_unless(options.retrain == "warm", job, "--warm-steps", "--retrain warm");
    const bool images = options.has_images();
    for (const char* option : {"--detector", "--reward-pool", "--test-pool", "--labelled-rows",
                               "--proxy-full", "--proxy-batch"}) {
        refuse_unless(images, job, option, "--environment images");
    }
    for (const char* option : {"--reward-points", "--test-points", "--repeat", "--repeat-noise",
                               "--proxy-hidden", "--proxy-noise"}) {
        refuse_unless(!images, job, option, "environments of points");
    }
}

ProxyOptions EnvironmentChoice::proxy_options(std::uint64_t seed) const {
    ProxyOptions chosen = proxy;
    chosen.seed = seed;
    chosen.learner.supervision = supervision_named(supervision);
    chosen.warm_steps = retrain == "warm" ? warm_steps : 0;
    if (steps != 0) chosen.learner.steps = steps;
    if (learning_rate != 0.0) chosen.learner.learning_rate = learning_rate;
    if (threshold != 0.0) chosen.learner.threshold = threshold;
    THRESHER_CHECK_AS(UsageError, hidden >= -1,
                      "--proxy-hidden is {}; allowed are -1 (the environment's own), 0 (none) and "
                      "more",
                      hidden);
    chosen.learner.hidden = hidden >= 0 ? hidden : find_environment(environment.name).hidden;
    return chosen;
}

DetectionProxyOptions EnvironmentChoice::detection_options(std::uint64_t seed) const {
    DetectionProxyOptions chosen;
    chosen.supervision = supervision_named(supervision);
    chosen.consistency = proxy.learner.consistency;
    chosen.ramp = proxy.learner.ramp;
    chosen.teacher_decay = proxy.learner.teacher_decay;
    chosen.weight_decay = proxy.learner.weight_decay;
    chosen.batch_size = proxy_batch;
    chosen.repeats = proxy.repeats;
    chosen.warm = retrain == "warm";
    chosen.full = full;
    chosen.seed = seed;
    if (chosen.warm) chosen.steps = warm_steps;
    if (steps != 0) chosen.steps = steps;
    if (learning_rate != 0.0) chosen.learning_rate = learning_rate;
    if (threshold != 0.0) chosen.threshold = threshold;
    return chosen;
}

std::unique_ptr<Proxy> make_proxy(const OpenEnvironment& open, const EnvironmentChoice& options,
                                  std::uint64_t seed) {
    if (!open.images) {
        return std::make_unique<PointProxy>(open.environment, options.proxy_options(seed));
    }
    return std::make_unique<DetectionProxy>(*open.detector, open.environment.name, *open.images,
                                            options.detection_options(seed));
}

EnvironmentSource::EnvironmentSource(Job& job, const EnvironmentChoice& options)
    : collective_(job.collective()), options_(options) {
    check_environment_options(options.environment);
    const bool reads_pool = find_environment(options.environment.name).reads_pool;
    THRESHER_CHECK_AS(UsageError, reads_pool != options.pool.path.empty(), "environment {} {}",
                      options.environment.name,
                      reads_pool ? "is drawn from a pool; give --pool"
                                 : "reads no pool; leave --pool out, or take --environment pool");
    const EnvironmentOptions& environment = options.environment;
    THRESHER_CHECK_AS(UsageError, reads_pool || options.rows.empty(),
                      "--rows names rows of a pool, and environment {} reads none",
                      environment.name);
    if (!reads_pool) return;
    pool_ = open_pool(job, options.pool);
    if (options.has_images()) {
        agree(collective_, [&] { images_.emplace(*pool_, options); });
        return;
    }
    agree(collective_, [&] {
        const PoolInfo& info = pool_->info();
        THRESHER_CHECK(info.has_targets && info.classes >= 2,
                       "{} has no targets of 2 classes or more to learn from", info.path);
        std::vector<std::int64_t> targets(static_cast<std::size_t>(info.rows));
        pool_->read_targets({0, info.rows}, targets);
        if (!options.rows.empty()) {
            candidates_ = pool_->rows_of(io::read_id_set(options.rows));
            const std::int64_t distinct = environment.candidates / environment.repeat;
            THRESHER_CHECK_AS(
                UsageError, std::ssize(candidates_) == distinct,
                "{} names {} candidates, and --candidates is {}{}; it must be {}", options.rows,
                candidates_.size(), environment.candidates,
                environment.repeat > 1 ? fmt::format(" with --repeat {}", environment.repeat) : "",
                std::ssize(candidates_) * environment.repeat);
        }
        for (const std::int64_t row : candidates_) {
            std::int64_t& target = targets[static_cast<std::size_t>(row)];
            THRESHER_CHECK(target >= 0, "row {} of {}, which {} names, has no target to learn from",
                           row, info.path, options.rows);
            target = -1;  // no other part of an environment has it
        }
        for (const Half half : {Half::training, Half::fresh}) {
            targets_[static_cast<std::size_t>(half)] = targets_of_half(targets, half);
        }
    });
}

OpenEnvironment EnvironmentSource::open(std::uint64_t seed, Half half) const {
    OpenEnvironment open;
    agree(collective_, [&] {
        open = make(seed, half);
        open.checksum = checksum_of(open);
    });
    return open;
}

OpenEnvironment EnvironmentSource::make(std::uint64_t seed, Half half) const {
    if (images_) return images_->open(seed, half);
    const EnvironmentOptions& options = options_.environment;
    OpenEnvironment open;
    open.ids = candidate_origins(options, seed);
    if (!pool_) {
        open.environment = make_environment(options, seed);
        return open;
    }
    const PoolInfo& info = pool_->info();
    const std::vector<std::int64_t> rows = rows_of(seed, half);
    open.environment = make_environment(options, seed, points_of(*pool_, rows),
                                        info.elements_per_row(), info.classes);
    std::vector<std::int64_t> of_candidates;
    for (const std::int64_t origin : open.ids) {
        of_candidates.push_back(rows[static_cast<std::size_t>(options.labelled + origin)]);
    }
    open.ids = pool_->ids_of(of_candidates);
    return open;
}

std::vector<std::int64_t> EnvironmentSource::rows_of(std::uint64_t seed, Half half) const {
    EnvironmentOptions drawn = options_.environment;
    if (!candidates_.empty()) drawn.candidates = 0;
    std::vector<std::int64_t> rows =
        draw_rows(targets_[static_cast<std::size_t>(half)], drawn, seed);
    rows.insert(rows.begin() + drawn.labelled, candidates_.begin(), candidates_.end());
    return rows;
}

std::vector<float> label_counts_of(const OpenEnvironment& open) {
    const Environment& environment = open.environment;
    const auto classes = static_cast<std::size_t>(environment.classes);
    std::vector<float> counts(static_cast<std::size_t>(environment.candidates.rows) * classes);
    const auto count = [&](std::size_t row, std::int64_t c) {
        ++counts[row * classes + static_cast<std::size_t>(c)];
    };
    for (std::size_t row = 0; row < environment.candidates.targets.size(); ++row) {
        if (!open.images) {
            count(row, environment.candidates.targets[row]);
            continue;
        }
        const MemoryPool& images = open.images->candidates;
        const auto most = static_cast<std::size_t>(images.info.most_boxes);
        for (const LabelledBox& box : std::span(images.boxes).subspan(row * most, most)) {
            if (box.is_object()) count(row, box.class_index);
        }
    }
    return counts;
}

CandidateFacts facts_of(const OpenEnvironment& open, const Proxy& proxy) {
    const Environment& environment = open.environment;
    CandidateFacts facts{environment.dimensions, environment.classes,
                         environment.candidates.features, environment.labelled.features,
                         proxy.log_probs({}, Part::candidates, {})};
    facts.label_counts = label_counts_of(open);
    return facts;
}

}  // namespace thresher::jobs
