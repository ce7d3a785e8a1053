#pragma once

// When to write a checkpoint, when to stop, and states as checkpoint files.

#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "io/run/checkpoint.hpp"
#include "jobs/job.hpp"
#include "src/base/check.hpp"
#include "src/training/trainer.hpp"

namespace thresher::jobs {

enum class Due { nothing, checkpoint, stop };

/// Every so many seconds a checkpoint; after a stop signal, or when the time is up, an end.
class CheckpointClock {
  public:
    CheckpointClock(double every_s, double max_walltime_s);

    /// What is due now, the same on all ranks. The next interval begins with the first call after
    /// it has said checkpoint. Collective.
    Due due(Collective& collective);

  private:
    using Clock = std::chrono::steady_clock;
    double every_s_, max_walltime_s_;
    Clock::time_point start_, last_;
    bool written_ = false;  ///< since the last call
};

/// Trains to the end, calling `write_checkpoint` whenever one is due. After a stop signal, or when
/// training has diverged, the checkpoint is written and Requeue, or Diverged, is thrown, on all
/// ranks. Collective over the ranks that train.
TrainEnd train_with_checkpoints(Job& job, Collective& collective, Trainer& trainer,
                                CheckpointClock& clock, const std::string& title,
                                const std::function<void()>& write_checkpoint);

/// A state as files called "<whose>.<entry>", and back; empty where there are none. Local.
void add_state(const std::string& whose, const TrainState& state, io::CheckpointFiles& files);
TrainState state_in(const std::string& whose, const io::CheckpointFiles& files);

/// The file of a checkpoint that every one of this verb has. Throws FileError where it is missing,
/// as the run is then that of another verb. Local.
const std::string& required_file(const io::Checkpoint& checkpoint, const std::string& name);
/// What it holds as JSON. Throws FileError as required_file(), or where it cannot be read. Local.
template <class T>
T required_json(const io::Checkpoint& checkpoint, const std::string& name) {
    const std::string& text = required_file(checkpoint, name);
    try {
        return nlohmann::json::parse(text).get<T>();
    } catch (const nlohmann::json::exception& error) {
        fail<FileError>("{}/{}: cannot be read: {}", checkpoint.path, name, error.what());
    }
}

/// Files of checkpoints: what a resume must have in common with it, and the costs until then.
inline constexpr const char *kSettings = "settings.json", *kLedger = "ledger.json";

/// Whose a trainer's state is.
inline constexpr const char* kTrainer = "trainer";

/// Ranks that train, and their threads, for check_same_settings. Local.
std::map<std::string, std::string> parallel_settings(const Collective& collective);

/// Sets the entries seconds/<phase> and bytes/exchanged of `ledger` to what `phases` and `traffic`
/// say of this job, and those of `others`, on top of what they are in `before`, of the parts it
/// goes on from. Local.
void add_costs(const Phases& phases, const Traffic& traffic,
               const std::map<std::string, double>& before, std::map<std::string, double>& ledger,
               const std::map<std::string, double>& others = {});

/// Throws UsageError naming every setting in which a run that is resumed differs from its
/// beginning. Of other ranks or threads, which change only how sums are rounded, it warns. Local.
void check_same_settings(const std::map<std::string, std::string>& then,
                         const std::map<std::string, std::string>& now, const std::string& run);

}  // namespace thresher::jobs
