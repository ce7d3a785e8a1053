#pragma once

// Where a run of active-learning cycles is: everything that a checkpoint must hold, and what run.h5
// shows.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/run/run_directory.hpp"

namespace thresher::jobs {

/// One acquisition in one repeat.
struct LoopTrack {
    std::vector<std::int64_t> ids, labels;  ///< labelled so far, in the order they were labelled
    std::vector<std::vector<std::int64_t>> batches;  ///< ids picked after each cycle
    std::vector<double> labelled, test_metric, test_loss,
        seconds;               ///< one entry a finished cycle
    std::vector<float> agent;  ///< parameters of the policy that is trained further in every cycle
};

struct LoopState {
    std::map<std::string, std::string> settings;  ///< must be the same when the run is resumed
    std::vector<std::string> acquisitions;
    std::int64_t repeats = 1, cycles = 1;
    std::string metric = "accuracy";    ///< or average_precision, of a detector
    std::vector<LoopTrack> tracks;      ///< [acquisitions, repeats]
    std::vector<std::int64_t> pending;  ///< ids that wait for a person's labels
    std::vector<float> pending_scores;  ///< of `pending`; empty for the first, random rows
    std::map<std::string, double> ledger;
    std::int64_t checkpoints = 0;  ///< written so far; numbers the next

    LoopTrack& track(std::size_t acquisition, std::int64_t repeat) {
        return tracks[acquisition * static_cast<std::size_t>(repeats) +
                      static_cast<std::size_t>(repeat)];
    }
    const LoopTrack& track(std::size_t acquisition, std::int64_t repeat) const {
        return tracks[acquisition * static_cast<std::size_t>(repeats) +
                      static_cast<std::size_t>(repeat)];
    }
};

std::string to_json(const LoopState& state);
/// Throws FileError on text that is no loop state.
LoopState loop_state_from_json(const std::string& text);

/// Curves /curves/<acquisition>/{labelled,test_<metric>,test_loss,seconds} as [repeats, cycles],
/// NaN where a cycle has not run yet, and the batches as /cycles/<acquisition>/<repeat>/<cycle>.
io::RunRecord to_record(const LoopState& state);

}  // namespace thresher::jobs
