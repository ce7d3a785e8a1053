#include "io/derive/scenes.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "io/derive/scenes_plan.hpp"
#include "io/importers/import_sink.hpp"
#include "io/pool/block_reader.hpp"
#include "io/pool/pool_writer.hpp"
#include "src/base/agreement.hpp"
#include "src/base/thread_team.hpp"
#include "src/environments/images/scene.hpp"

namespace thresher::io {

namespace {

constexpr std::int64_t kRoundBytes = std::int64_t{4} << 20, kCacheBytes = std::int64_t{256} << 20;

/// Consecutive scenes as they travel to the root.
struct Composed {
    std::vector<std::byte> pixels;
    std::vector<std::int64_t> counts;  ///< [scenes], of boxes
    std::vector<LabelledBox> boxes;
};

/// The scenes [begin, end).
Composed compose(const SceneMaker& maker, ExampleSource& source, RowRange scenes) {
    std::vector<SceneItem> items;
    std::vector<std::int64_t> rows;
    std::vector<std::size_t> first{0};
    for (std::int64_t scene = scenes.begin; scene < scenes.end; ++scene) {
        for (const SceneItem& item : maker.items(scene)) {
            items.push_back(item);
            rows.push_back(item.row);
        }
        first.push_back(items.size());
    }
    Examples examples;
    if (!rows.empty()) source.fetch(rows, examples);
    const auto each = static_cast<std::size_t>(source.info().bytes_per_row());
    const std::span images(reinterpret_cast<const std::uint8_t*>(examples.inputs.data()),
                           examples.inputs.size());
    std::vector<Scene> made(static_cast<std::size_t>(scenes.size()));
    parallel_for(scenes.size(), 16, [&](std::int64_t begin, std::int64_t end) {
        for (auto i = static_cast<std::size_t>(begin); std::cmp_less(i, end); ++i) {
            const std::size_t count = first[i + 1] - first[i];
            made[i] = maker.compose(scenes.begin + static_cast<std::int64_t>(i),
                                    std::span(items).subspan(first[i], count),
                                    images.subspan(first[i] * each, count * each));
        }
    });
    Composed composed;
    for (const Scene& scene : made) {
        const auto pixels = std::as_bytes(std::span(scene.pixels));
        composed.pixels.insert(composed.pixels.end(), pixels.begin(), pixels.end());
        composed.counts.push_back(std::ssize(scene.boxes));
        composed.boxes.insert(composed.boxes.end(), scene.boxes.begin(), scene.boxes.end());
    }
    return composed;
}

/// All ranks' scenes at the root, in the order of the ranks.
Composed gather(Collective& collective, Composed own) {
    if (collective.size() == 1) return own;
    return {collective.gather_v(std::span<const std::byte>(own.pixels)).values,
            collective.gather_v(std::span<const std::int64_t>(own.counts)).values,
            collective.gather_v(std::span<const LabelledBox>(own.boxes)).values};
}

/// The pool of scenes while it grows. At the root.
class ScenesFile {
  public:
    ScenesFile(const ScenesOptions& options, std::vector<std::string> class_names,
               const Provenance& provenance)
        : size_(options.size), schema_(schema(options.size, class_names)) {
        report_.class_names = std::move(class_names);
        report_.boxes.resize(report_.class_names.size());
        PoolInfo info;
        info.input_shape = schema_.input_shape;
        info.scale = schema_.scale;
        statistics_ = std::make_unique<ChannelStatistics>(info);
        writer_ =
            std::make_unique<PoolWriter>(options.output, schema_, provenance,
                                         PoolWriterOptions{.overwrite = options.overwrite,
                                                           .rows_per_shard = options.rows_per_shard,
                                                           .append = false,
                                                           .expected_rows = options.scenes});
    }

    void append(const Composed& scenes) {
        Boxes boxes;
        for (const LabelledBox& box : scenes.boxes) {
            boxes.corners.insert(boxes.corners.end(), {box.x0, box.y0, box.x1, box.y1});
            boxes.classes.push_back(box.class_index);
            boxes.flags.push_back(0);
            boxes.areas.push_back(box.area);
            ++report_.boxes[static_cast<std::size_t>(box.class_index)];
        }
        for (const std::int64_t count : scenes.counts) {
            boxes.offsets.push_back(boxes.offsets.back() + count);
            boxes.image_sizes.insert(boxes.image_sizes.end(), 2, static_cast<std::int32_t>(size_));
        }
        PoolRows rows;
        rows.rows = std::ssize(scenes.counts);
        rows.inputs = scenes.pixels;
        rows.boxes = &boxes;
        writer_->append(rows);
        statistics_->add_block(scenes.pixels);
        report_.scenes += rows.rows;
    }

    void count_junk(std::int64_t scenes) { report_.junk += scenes; }

    ScenesReport finish() {
        writer_->set_normalisation(statistics_->mean(), statistics_->std());
        writer_->finish();
        return report_;
    }

  private:
    static PoolSchema schema(std::int64_t size, const std::vector<std::string>& class_names) {
        PoolSchema schema;
        schema.input_shape = {1, size, size};
        schema.scale = 1.0 / 255.0;
        schema.class_names = class_names;
        schema.classes = std::ssize(class_names);
        schema.boxes = {.present = true, .areas = true, .image_sizes = true};
        return schema;
    }

    std::int64_t size_;
    PoolSchema schema_;
    ScenesReport report_;
    std::unique_ptr<ChannelStatistics> statistics_;
    std::unique_ptr<PoolWriter> writer_;
};

}  // namespace

ScenesReport derive_scenes(const PoolFile& pool, const ScenesOptions& options,
                           const Provenance& provenance, Collective& collective) {
    ScenesPlan plan;
    std::unique_ptr<SceneMaker> maker;
    std::unique_ptr<ExampleSource> source;
    std::unique_ptr<ScenesFile> file;
    agree(collective, [&] {
        plan = plan_scenes(pool, options);
        const auto& shape = pool.info().input_shape;
        maker = std::make_unique<SceneMaker>(SceneOptions{.size = options.size,
                                                          .class_shares = plan.shares,
                                                          .junk = options.junk,
                                                          .alike = options.alike,
                                                          .noise = options.noise,
                                                          .seed = options.seed},
                                             plan.rows, shape[1], shape[2]);
        source = make_example_source(pool, kCacheBytes);
        if (collective.is_root()) {
            file = std::make_unique<ScenesFile>(options, plan.class_names, provenance);
        }
    });
    // The root's sums are of rounds, so they are the same for any number of ranks.
    const std::int64_t round =
        std::max<std::int64_t>(1, kRoundBytes / (options.size * options.size));
    const std::int64_t rank = collective.rank(), ranks = collective.size();
    for (std::int64_t begin = 0; begin < options.scenes; begin += round) {
        const std::int64_t count = std::min(round, options.scenes - begin);
        Composed own;
        agree(collective, [&] {
            own = compose(*maker, *source,
                          {begin + count * rank / ranks, begin + count * (rank + 1) / ranks});
        });
        const Composed all = gather(collective, std::move(own));
        agree(collective, [&] {
            if (!file) return;
            file->append(all);
            for (std::int64_t scene = begin; scene < begin + count; ++scene) {
                file->count_junk(maker->is_junk(scene) ? 1 : 0);
            }
        });
    }
    ScenesReport report;
    agree(collective, [&] {
        if (file) report = file->finish();
    });
    return report;
}

}  // namespace thresher::io
