// thresher score: predictions, or pool + models, -> scores.h5.

#include <fmt/ranges.h>

#include <cmath>

#include "io/predictions/scores_file.hpp"
#include "jobs/options/aggregate_options.hpp"
#include "jobs/steps/scoring/score_source.hpp"
#include "jobs/verbs.hpp"
#include "src/acquisition/acquisition.hpp"
#include "src/acquisition/joint/joint.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/selection/unique_ids.hpp"

namespace thresher::jobs {

namespace {

/// Rows whose score came out NaN without another reason.
std::vector<QuarantinedRow> rows_without_score(const ShardScores& shard) {
    std::vector<QuarantinedRow> rows;
    for (const auto& [name, scores] : shard.scores) {
        for (std::size_t i = 0; i < scores.size(); ++i) {
            if (std::isfinite(scores[i])) continue;
            const std::int64_t row = shard.rows.begin + static_cast<std::int64_t>(i);
            rows.push_back(
                {shard.ids.empty() ? row : shard.ids[i], fmt::format("{} is {}", name, scores[i])});
        }
    }
    return rows;
}

}  // namespace

int run_score(Job& job) {
    ScoreSourceOptions source;
    std::string output;
    AggregateOptions aggregate;
    add_score_source_options(job.options(), source, false);
    add_aggregate_options(job.options(), aggregate);
    job.options().add_option("-o,--output", output, "Scores file to write")->required();
    job.start();
    THRESHER_CHECK_AS(UsageError, !source.acquisitions.empty(),
                      "--acquisition is missing; thresher list acquisitions shows the known ones");
    for (const std::string& name : source.acquisitions) {
        THRESHER_CHECK_AS(
            UsageError, find_joint_acquisition(name) == nullptr,
            "acquisition {} picks a batch jointly and gives no score to each row; use "
            "thresher select",
            name);
        static_cast<void>(find_acquisition(name));
    }
    job.check_output(output);

    const auto needs = needs_of(source.acquisitions);
    check_aggregation(aggregate, needs);
    const auto stream = open_stream(job, source, needs);
    const std::string& input = source.predictions.empty() ? source.pool.path : source.predictions;
    check_unique_ids(job.collective(), stream->ids(), input);
    const auto target = open_target_stream(job, source, needs);
    const std::vector<std::uint8_t> labelled = mark_ids(
        job.collective(), read_ids(job, source.labelled), {stream->owned_rows(), stream->ids()},
        fmt::format("{}", fmt::join(source.labelled, ", ")));
    const ShardScores shard =
        score_stream(job, *stream, source.acquisitions, source.strategy.predictor.round,
                     {labelled, target.get(), aggregate.aggregation()});
    std::vector<QuarantinedRow> quarantine =
        gather_reasons(job.collective(), shard.quarantine, rows_without_score(shard));
    check_bad_rows(job.collective(), quarantine, shard.total_rows, job.max_bad());
    log_quarantine(quarantine);

    const auto timer = std::make_unique<Phases::Timer>(job.phases(), "write");
    io::OwnScores own{shard.total_rows, shard.rows, shard.ids, {}, quarantine};
    std::map<std::string, std::string> descriptions;
    for (const auto& [name, scores] : shard.scores) {
        own.scores[name] = scores;
        const Acquisition& acquisition = find_acquisition(name);
        descriptions[name] = fmt::format("{}: {}", acquisition.description, acquisition.formula);
        if (acquisition.reads("boxes")) {
            descriptions[name] += fmt::format("; A = {}", aggregate.text());
        }
    }
    const io::ScoresTransfer transfer =
        io::write_scores(output, own, descriptions, job.provenance(input), job.overwrite(),
                         job.collective(), job.shared_files());
    log::info("scored {} rows ({}), {} quarantined, wrote {}", shard.total_rows,
              fmt::join(source.acquisitions, ", "), quarantine.size(), output);
    job.finish({{"rows", shard.total_rows},
                {"quarantined", quarantine.size()},
                {"bytes_written", transfer.bytes}});
    return 0;
}

}  // namespace thresher::jobs
