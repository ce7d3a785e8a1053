#include "jobs/steps/training/checkpointing.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/stop_flag.hpp"
#include "src/base/thread_team.hpp"

namespace thresher::jobs {

namespace {

/// Entries are paths such as "best/parameters"; checkpoint files have plain names.
std::string with(std::string name, char from, char to) {
    std::replace(name.begin(), name.end(), from, to);
    return name;
}

}  // namespace

CheckpointClock::CheckpointClock(double every_s, double max_walltime_s)
    : every_s_(every_s), max_walltime_s_(max_walltime_s), start_(Clock::now()), last_(start_) {}

Due CheckpointClock::due(Collective& collective) {
    const auto now = Clock::now();
    // The interval is what lies between checkpoints, however long one takes to write: on a slow
    // disk every step would be followed by one.
    if (std::exchange(written_, false)) last_ = now;
    const auto seconds = [&](Clock::time_point since) {
        return std::chrono::duration<double>(now - since).count();
    };
    const bool stop =
        stop_requested() || (max_walltime_s_ > 0 && seconds(start_) >= max_walltime_s_);
    // The root's clock decides for all; any rank may have been sent the signal.
    std::array<std::int64_t, 2> flags{stop ? 1 : 0,
                                      collective.is_root() && seconds(last_) >= every_s_ ? 1 : 0};
    collective.all_reduce_max(flags);
    if (flags[0] != 0) return Due::stop;
    if (flags[1] == 0) return Due::nothing;
    written_ = true;
    return Due::checkpoint;
}

TrainEnd train_with_checkpoints(Job& job, Collective& collective, Trainer& trainer,
                                CheckpointClock& clock, const std::string& title,
                                const std::function<void()>& write_checkpoint) {
    const auto progress = job.progress(title, trainer.steps_planned(), "updates");
    const auto after_step = [&](const TrainProgress& now) {
        progress->update(
            now.step, fmt::format("epoch {}/{} loss {:.4f}", now.epoch + 1, now.epochs, now.loss));
        if (now.evaluated) {
            const auto& curves = trainer.curves().evaluations;
            const auto last = [&](const char* name) {
                const auto curve = curves.find(name);
                return curve == curves.end() || curve->second.empty()
                           ? std::string()
                           : fmt::format("  {} {:.4f}", name, curve->second.back());
            };
            log::debug("{} update {}{}{}{}{}", title, now.step, last("train_loss"),
                       last("train_accuracy"), last("validation_loss"),
                       last("validation_accuracy"));
        }
        const Due due = clock.due(collective);
        if (due == Due::nothing) return true;
        const auto timer = job.phases().time("checkpoint");
        write_checkpoint();
        return due != Due::stop;
    };
    TrainEnd end = TrainEnd::finished;
    try {
        end = trainer.run(after_step);
    } catch (const Diverged& diverged) {
        try {
            write_checkpoint();
        } catch (const std::exception&) {
            log::error("{}", diverged.what());
            throw;
        }
        throw Diverged(
            fmt::format("{}; the newest checkpoint holds the state before it", diverged.what()));
    }
    if (end == TrainEnd::interrupted) {
        throw Requeue(fmt::format(
            "asked to stop after update {} of {}: a checkpoint was written; run the same command "
            "with --resume to go on",
            trainer.steps_done(), trainer.steps_planned()));
    }
    progress->finish();
    return end;
}

void add_state(const std::string& whose, const TrainState& state, io::CheckpointFiles& files) {
    for (const auto& [name, bytes] : state) {
        files[whose + '.' + with(name, '/', '+')].assign(
            reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
}

TrainState state_in(const std::string& whose, const io::CheckpointFiles& files) {
    TrainState state;
    for (const auto& [name, text] : files) {
        if (name.rfind(whose + '.', 0) != 0) continue;
        put(state, with(name.substr(whose.size() + 1), '+', '/'), std::span<const char>(text));
    }
    return state;
}

const std::string& required_file(const io::Checkpoint& checkpoint, const std::string& name) {
    const auto found = checkpoint.files.find(name);
    THRESHER_CHECK_AS(
        FileError, found != checkpoint.files.end(),
        "{} is of the run of another verb, or of another version (it has no {}); give the "
        "--run of this one, or start over with --overwrite",
        checkpoint.path, name);
    return found->second;
}

void add_costs(const Phases& phases, const Traffic& traffic,
               const std::map<std::string, double>& before, std::map<std::string, double>& ledger,
               const std::map<std::string, double>& others) {
    const auto add = [&](const std::string& name, double cost) {
        const auto entry = before.find(name);
        ledger[name] = cost + (entry == before.end() ? 0.0 : entry->second);
    };
    for (const auto& [name, cost] : before) {
        // What is not met again so far. The trainer's state holds the operations.
        if (name.rfind("flops/", 0) != 0) ledger[name] = cost;
    }
    for (const auto& [name, seconds] : phases.seconds()) add("seconds/" + name, seconds);
    for (const auto& [name, cost] : others) add(name, cost);
    add("bytes/exchanged", static_cast<double>(traffic.bytes));
}

std::map<std::string, std::string> parallel_settings(const Collective& collective) {
    return {{"ranks", std::to_string(collective.size())},
            {"threads", std::to_string(threads_in_use())}};
}

void check_same_settings(const std::map<std::string, std::string>& then,
                         const std::map<std::string, std::string>& now, const std::string& run) {
    std::vector<std::string> differences;
    std::map<std::string, std::string> names = now;
    names.insert(then.begin(), then.end());
    const auto value_in = [](const std::map<std::string, std::string>& settings,
                             const std::string& name) {
        const auto setting = settings.find(name);
        return setting == settings.end() ? "not set" : setting->second;
    };
    for (const auto& [name, any] : names) {
        const std::string old_value = value_in(then, name), value = value_in(now, name);
        if (old_value == value) continue;
        const std::string difference = fmt::format("{} was {}, now {}", name, old_value, value);
        if (name == "ranks" || name == "threads") {
            log::warn("{}: {}; sums are rounded in another way from here on", run, difference);
        } else {
            differences.push_back(difference);
        }
    }
    THRESHER_CHECK_AS(UsageError, differences.empty(),
                      "{} was begun with other settings: {}; resume with the same, or start over "
                      "with --overwrite",
                      run, fmt::join(differences, "; "));
}

}  // namespace thresher::jobs
