#include "jobs/steps/loop/loop_state.hpp"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "src/base/check.hpp"

namespace thresher::jobs {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LoopTrack, ids, labels, batches, labelled, test_metric,
                                   test_loss, seconds, agent)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LoopState, settings, acquisitions, repeats, cycles, metric,
                                   tracks, pending, pending_scores, ledger, checkpoints)

std::string to_json(const LoopState& state) { return nlohmann::json(state).dump(); }

namespace {

/// JSON writes what is no number as null; the loss of a model that diverged is one.
void nulls_to_nan(nlohmann::json& value) {
    if (value.is_null()) value = std::numeric_limits<double>::quiet_NaN();
    if (value.is_structured()) {
        for (nlohmann::json& part : value) nulls_to_nan(part);
    }
}

}  // namespace

LoopState loop_state_from_json(const std::string& text) {
    try {
        nlohmann::json state = nlohmann::json::parse(text);
        nulls_to_nan(state);
        return state.get<LoopState>();
    } catch (const nlohmann::json::exception& error) {
        fail<FileError>("the checkpoint's loop.json cannot be read: {}", error.what());
    }
}

io::RunRecord to_record(const LoopState& state) {
    struct Column {
        const char *name, *description, *unit;
        std::vector<double> LoopTrack::*values;
    };
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    const std::string metric = "test_" + state.metric;
    const bool finds_objects = state.metric != "accuracy";
    const Column columns[] = {
        {"labelled", "labelled examples the model was trained on", "examples",
         &LoopTrack::labelled},
        {metric.c_str(),
         finds_objects ? "mean average precision at an overlap of one half, on the test pool"
                       : "accuracy on the test pool",
         "", &LoopTrack::test_metric},
        {"test_loss", "mean loss on the test pool", finds_objects ? "" : "nats",
         &LoopTrack::test_loss},
        {"seconds", "time of the cycle, selection included", "s", &LoopTrack::seconds}};
    io::RunRecord record;
    for (std::size_t a = 0; a < state.acquisitions.size(); ++a) {
        for (const Column& column : columns) {
            io::Curve curve{{state.repeats, state.cycles}, {}, column.description, column.unit};
            for (std::int64_t repeat = 0; repeat < state.repeats; ++repeat) {
                std::vector<double> row = state.track(a, repeat).*column.values;
                row.resize(static_cast<std::size_t>(state.cycles), kNan);
                curve.values.insert(curve.values.end(), row.begin(), row.end());
            }
            record.curves[state.acquisitions[a] + "/" + column.name] = std::move(curve);
        }
        for (std::int64_t repeat = 0; repeat < state.repeats; ++repeat) {
            const auto& batches = state.track(a, repeat).batches;
            for (std::size_t cycle = 0; cycle < batches.size(); ++cycle) {
                record.batches[fmt::format("{}/{}/{}", state.acquisitions[a], repeat, cycle)] =
                    batches[cycle];
            }
        }
    }
    record.ledger = state.ledger;
    return record;
}

}  // namespace thresher::jobs
