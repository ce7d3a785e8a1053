// A batch picked as a whole by a formula.

#include <algorithm>

#include "jobs/steps/choice/choice_parts.hpp"
#include "src/base/agreement.hpp"

namespace thresher::jobs {

namespace {

/// A rank's predictions in memory, as joint acquisitions want them.
struct ShardPredictions {
    std::vector<float> log_probs, embeddings, class_counts;

    void keep(const PredictionView& view, std::size_t first, const PredictionsShape& shape,
              std::int64_t label_classes) {
        copy(view.log_probs, log_probs, first, shape.samples * shape.classes);
        copy(view.embeddings, embeddings, first, shape.embedding_size);
        if (!class_counts.empty()) count_labels(view, first, label_classes);
    }

  private:
    /// Of boxes where there are any, of the target otherwise.
    void count_labels(const PredictionView& view, std::size_t first, std::int64_t label_classes) {
        const std::size_t rows = view.ids.size(), most = view.boxes.size() / rows;
        const auto count = [&](std::size_t row, std::int64_t label) {
            if (label < 0 || label >= label_classes) return;
            ++class_counts[(first + row) * static_cast<std::size_t>(label_classes) +
                           static_cast<std::size_t>(label)];
        };
        for (std::size_t row = 0; row < rows; ++row) {
            for (const LabelledBox& box : view.boxes.subspan(row * most, most)) {
                count(row, box.class_index);
            }
            if (most == 0 && !view.targets.empty()) count(row, view.targets[row]);
        }
    }

    static void copy(std::span<const float> from, std::vector<float>& to, std::size_t first,
                     std::int64_t width) {
        if (to.empty()) return;
        std::copy(from.begin(), from.end(),
                  to.begin() + static_cast<std::ptrdiff_t>(first) * width);
    }
};

}  // namespace

JointOptions joint_settings(const ChoiceOptions& options, std::int64_t k) {
    JointOptions settings = options.joint;
    settings.k = k;
    settings.similarity = similarity_named(options.similarity);
    return settings;
}

Choice choose_jointly(Job& job, PredictionStream& stream, const ChoiceOptions& options,
                      const JointAcquisition& acquisition, std::int64_t k, std::uint32_t round,
                      std::span<const std::uint8_t> excluded, const Comparisons& comparisons) {
    check_fits(acquisition, stream.available());
    const auto rows = static_cast<std::size_t>(stream.owned_rows().size());
    const PredictionsShape& shape = stream.shape();
    ShardPredictions predictions;
    agree(job.collective(), [&] {
        const auto room = [&](std::int64_t width) {
            return rows * static_cast<std::size_t>(width);
        };
        if (acquisition.reads("log_probs"))
            predictions.log_probs.resize(room(shape.samples * shape.classes));
        if (acquisition.reads("embeddings"))
            predictions.embeddings.resize(room(shape.embedding_size));
        if (acquisition.reads("class-counts"))
            predictions.class_counts.resize(room(stream.label_classes()));
    });
    std::vector<std::string> pointwise;
    if (options.candidates > 0) pointwise.push_back(options.candidates_by);
    const ShardScores shard = score_stream(
        job, stream, pointwise, round, comparisons,
        [&](const PredictionView& view, RowRange block) {
            predictions.keep(view,
                             static_cast<std::size_t>(block.begin - stream.owned_rows().begin),
                             shape, stream.label_classes());
        });

    return timed_choice(job, shard, [&] {
        std::vector<std::uint8_t> others(excluded.begin(), excluded.end());
        if (options.candidates > 0) {
            others =
                exclude_all_but(job, shard, options.candidates_by, options.candidates, excluded);
        }
        // What is labelled takes part, as what is covered already.
        for (std::size_t i = 0; i < comparisons.labelled.size(); ++i) {
            if (comparisons.labelled[i] != 0) others[i] = 0;
        }
        const std::vector<std::size_t> bad = quarantined_offsets(shard);
        if (!bad.empty()) others.resize(rows, 0);
        for (const std::size_t offset : bad) others[offset] = 1;
        JointRows joint{.rows = static_cast<std::int64_t>(rows),
                        .first_row = shard.rows.begin,
                        .ids = shard.ids,
                        .log_probs = predictions.log_probs,
                        .samples = shape.samples,
                        .classes = shape.classes,
                        .embeddings = predictions.embeddings,
                        .embedding_size = shape.embedding_size,
                        .class_counts = predictions.class_counts,
                        .label_classes = stream.label_classes(),
                        .excluded = others,
                        .labelled = comparisons.labelled};
        JointOptions settings = joint_settings(options, k);
        settings.seed = job.common().seed;
        settings.round = round;
        return select_jointly(job.collective(), acquisition, joint, settings);
    });
}

}  // namespace thresher::jobs
