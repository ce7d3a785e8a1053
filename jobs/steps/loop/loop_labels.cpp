#include "jobs/steps/loop/loop_labels.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "io/batch_file.hpp"
#include "io/id_set.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/environments/images/covering_rows.hpp"
#include "src/environments/images/image_points.hpp"
#include "src/random/permutation.hpp"

namespace thresher::jobs {

std::vector<std::int64_t> initial_rows(const io::PoolFile& pool, std::int64_t count,
                                       std::uint64_t seed, std::int64_t repeat, FirstRows kind) {
    const KeyedPermutation order(pool.info().rows, seed, Stream::initial_labels,
                                 static_cast<std::uint32_t>(repeat));
    std::int64_t next = 0;
    const auto take = [&](std::int64_t most) {
        std::vector<std::int64_t> rows;
        for (; std::ssize(rows) < most && next < order.size(); ++next) rows.push_back(order(next));
        return rows;
    };
    if (kind == FirstRows::any) return pool.ids_of(take(count));
    if (kind == FirstRows::covering) {
        Boxes boxes;
        pool.read_boxes({0, pool.info().rows}, boxes);
        return pool.ids_of(covering_rows(take(order.size()), boxes, count));
    }
    std::vector<std::int64_t> found;
    while (std::ssize(found) < count) {
        const std::vector<std::int64_t> ids = pool.ids_of(take(count - std::ssize(found)));
        THRESHER_CHECK_AS(UsageError, !ids.empty(),
                          "--initial is {}, but only {} rows of {} have a target; choose fewer",
                          count, found.size(), pool.info().path);
        const std::vector<std::int64_t> targets = pool.targets_of(ids);
        for (std::size_t i = 0; i < ids.size(); ++i) {
            if (targets[i] >= 0) found.push_back(ids[i]);
        }
    }
    return found;
}

void label_by_pool(Collective& collective, const io::PoolFile& pool,
                   const std::vector<std::int64_t>& ids, LoopTrack& track) {
    agree(collective, [&] {
        std::vector<std::int64_t> targets = pool.targets_of(ids);
        if (pool.info().has_boxes && !pool.info().has_targets) {
            const std::vector<std::int64_t> rows = pool.rows_of(ids);
            for (std::size_t i = 0; i < rows.size(); ++i) {
                Boxes boxes;
                pool.read_boxes({rows[i], rows[i] + 1}, boxes);
                targets[i] = main_class(boxes.classes, pool.info().classes);
            }
        }
        track.ids.insert(track.ids.end(), ids.begin(), ids.end());
        track.labels.insert(track.labels.end(), targets.begin(), targets.end());
    });
}

void take_labels(Collective& collective, const io::PoolFile& pool, const std::string& path,
                 LoopState& state, LoopTrack& track) {
    agree(collective, [&] {
        const io::Labels labels =
            io::read_labels(path, pool.info().class_names, pool.info().classes);
        std::vector<std::int64_t> open;
        for (const std::int64_t id : state.pending) {
            const auto place = std::find(labels.ids.begin(), labels.ids.end(), id);
            if (place == labels.ids.end()) {
                open.push_back(id);
                continue;
            }
            track.ids.push_back(id);
            track.labels.push_back(
                labels.labels[static_cast<std::size_t>(place - labels.ids.begin())]);
        }
        THRESHER_CHECK_AS(
            FileError, open.empty(), "{} has no label for {} of the {} rows of the batch, ids {}{}",
            path, open.size(), state.pending.size(),
            fmt::join(open.begin(), open.begin() + std::min<std::ptrdiff_t>(5, std::ssize(open)),
                      ", "),
            open.size() > 5 ? ", ..." : "");
    });
    state.pending.clear();
    state.pending_scores.clear();
}

void write_pending(Job& job, const std::string& path, const PoolOptions& pool_options,
                   const io::PoolFile& pool, const Method& method, const LoopState& state) {
    agree(job.collective(), [&] {
        if (!job.is_root()) return;
        if (std::filesystem::exists(path) && std::filesystem::exists(io::csv_path_of_batch(path)) &&
            io::read_batch(path).ids == state.pending) {
            return;
        }
        const std::int64_t cycle = std::ssize(state.track(0, 0).labelled) - 1;
        const bool initial = state.pending_scores.empty();
        const Selector selector = method.choice.selector.selector(
            job.common().seed, static_cast<std::uint32_t>(std::max<std::int64_t>(0, cycle)));
        io::Batch batch = initial ? describe_batch({}, "random", {}, false)
                                  : describe_batch(method.choice, method.acquisition, selector,
                                                   picks_jointly(method.acquisition));
        batch.ids = state.pending;
        batch.scores = state.pending_scores;
        batch.scores.resize(batch.ids.size(), std::numeric_limits<float>::quiet_NaN());
        if (pool.info().has_names) batch.names = pool.names_of(batch.ids);
        io::write_batch(path, batch, job.provenance(pool_options.path), io::Overwrite::yes);
    });
}

}  // namespace thresher::jobs
