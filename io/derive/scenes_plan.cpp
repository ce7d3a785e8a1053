#include "io/derive/scenes_plan.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::int64_t kUsualClasses = 5, kLargestScene = 4096;

std::string name_of_class(const PoolInfo& info, std::int64_t index) {
    return info.class_names.empty() ? std::to_string(index)
                                    : info.class_names[static_cast<std::size_t>(index)];
}

/// The class with this name or number; -1: there is none.
std::int64_t class_of(const PoolInfo& info, const std::string& text) {
    const auto named = std::find(info.class_names.begin(), info.class_names.end(), text);
    if (named != info.class_names.end()) return named - info.class_names.begin();
    std::int64_t number = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool good = error == std::errc{} && end == text.data() + text.size();
    return good && number >= 0 && number < info.classes ? number : -1;
}

class Problems {
  public:
    template <class... Values>
    void add_unless(bool good, fmt::format_string<Values...> message, Values&&... values) {
        if (!good) text_ += "\n  " + fmt::format(message, std::forward<Values>(values)...);
    }
    void report(const std::string& path) const {
        THRESHER_CHECK_AS(UsageError, text_.empty(), "{}: no scenes can be made:{}", path, text_);
    }

  private:
    std::string text_;
};

void check_pool(const PoolInfo& info, std::int64_t size, Problems& problems) {
    const auto& shape = info.input_shape;
    const bool grey = shape.size() == 3 && shape[0] == 1 && info.element_type == ElementType::uint8;
    problems.add_unless(
        grey, "items are grey images, u8 [1, height, width], but the inputs are {} [{}]",
        info.element_type == ElementType::uint8 ? "u8" : "f32", fmt::join(shape, ", "));
    problems.add_unless(!grey || (shape[1] <= size && shape[2] <= size),
                        "the images are {} x {}, larger than scenes of {} x {}; give a "
                        "--scene-size of {} or more",
                        grey ? shape[1] : 0, grey ? shape[2] : 0, size, size,
                        grey ? std::max(shape[1], shape[2]) : 0);
    problems.add_unless(info.has_targets,
                        "the pool has no targets, so the classes of its images are not known");
}

void check_numbers(const ScenesOptions& options, Problems& problems) {
    problems.add_unless(options.scenes >= 1, "--scenes is {}; allowed are 1 and more",
                        options.scenes);
    problems.add_unless(options.size >= 8 && options.size <= kLargestScene,
                        "--scene-size is {}; allowed are 8 to {}", options.size, kLargestScene);
    problems.add_unless(options.junk >= 0.0 && options.junk <= 1.0,
                        "--junk is {}; a share is between 0 and 1", options.junk);
    problems.add_unless(options.alike >= 0.0 && options.alike <= 1.0,
                        "--alike is {}; a share is between 0 and 1", options.alike);
    problems.add_unless(options.noise >= 0.0 && options.noise <= 10.0,
                        "--scene-noise is {}; allowed are 0 to 10", options.noise);
}

/// The classes of the scenes and their shares.
ScenesPlan plan_classes(const PoolInfo& info, const ScenesOptions& options, Problems& problems) {
    ScenesPlan plan;
    for (const std::string& text : options.classes) {
        const std::int64_t index = class_of(info, text);
        problems.add_unless(
            index >= 0 || !info.has_targets,
            "--scene-classes has \"{}\", which is no class of the pool; allowed are 0 to {}{}",
            text, info.classes - 1,
            info.class_names.empty() ? ""
                                     : fmt::format(" or {}", fmt::join(info.class_names, ", ")));
        problems.add_unless(index < 0 || std::find(plan.classes.begin(), plan.classes.end(),
                                                   index) == plan.classes.end(),
                            "--scene-classes has the class {} twice", text);
        plan.classes.push_back(index);
    }
    if (plan.classes.empty()) {
        plan.classes.resize(static_cast<std::size_t>(std::min(kUsualClasses, info.classes)));
        std::iota(plan.classes.begin(), plan.classes.end(), std::int64_t{0});
    }
    const auto classes = plan.classes.size();
    plan.shares = options.class_shares;
    if (plan.shares.empty()) plan.shares.assign(classes, 1.0 / static_cast<double>(classes));
    const double sum = std::accumulate(plan.shares.begin(), plan.shares.end(), 0.0);
    problems.add_unless(plan.shares.size() == classes || !info.has_targets,
                        "--class-shares has {} shares, the scenes have {} classes",
                        plan.shares.size(), classes);
    problems.add_unless(
        (std::all_of(plan.shares.begin(), plan.shares.end(), [](double s) { return s >= 0.0; }) &&
         std::abs(sum - 1.0) < 1e-6) ||
            classes == 0,
        "--class-shares is {} with the sum {:.6g}; shares are 0 and more, and their sum is 1",
        fmt::join(plan.shares, ","), sum);
    return plan;
}

/// Which rows are items of which class. One pass over the targets.
SceneRows find_rows(const PoolFile& pool, const ScenesPlan& plan) {
    const PoolInfo& info = pool.info();
    std::vector<std::int64_t> targets(static_cast<std::size_t>(info.rows));
    pool.read_targets({0, info.rows}, targets);
    SceneRows rows;
    rows.of_class.resize(plan.classes.size());
    for (std::int64_t row = 0; row < info.rows; ++row) {
        const std::int64_t target = targets[static_cast<std::size_t>(row)];
        if (target < 0) continue;
        const auto at = std::find(plan.classes.begin(), plan.classes.end(), target);
        const auto index = static_cast<std::size_t>(at - plan.classes.begin());
        (at == plan.classes.end() ? rows.clutter : rows.of_class[index]).push_back(row);
    }
    if (rows.clutter.empty()) {
        for (const auto& some : rows.of_class) {
            rows.clutter.insert(rows.clutter.end(), some.begin(), some.end());
        }
    }
    return rows;
}

}  // namespace

ScenesPlan plan_scenes(const PoolFile& pool, const ScenesOptions& options) {
    const PoolInfo& info = pool.info();
    Problems problems;
    check_pool(info, options.size, problems);
    check_numbers(options, problems);
    ScenesPlan plan = plan_classes(info, options, problems);
    problems.report(info.path);
    plan.rows = find_rows(pool, plan);
    for (const std::int64_t c : plan.classes) plan.class_names.push_back(name_of_class(info, c));
    for (std::size_t c = 0; c < plan.classes.size(); ++c) {
        problems.add_unless(plan.shares[c] <= 0.0 || !plan.rows.of_class[c].empty(),
                            "class {} is to have the share {}, but no image is of it",
                            plan.class_names[c], plan.shares[c]);
    }
    problems.add_unless(options.junk <= 0.0 || !plan.rows.clutter.empty(),
                        "no image of a known class is there to be cut to the fragments of junk");
    problems.report(info.path);
    return plan;
}

}  // namespace thresher::io
