#include "jobs/policy_training.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "io/policy_file.hpp"
#include "io/run/run_directory.hpp"
#include "jobs/options/policy_options.hpp"
#include "jobs/options/training_options.hpp"
#include "jobs/steps/policy/candidate_curves.hpp"
#include "jobs/steps/policy/estimate_fidelity.hpp"
#include "jobs/steps/policy/policy_grounds.hpp"
#include "jobs/steps/training/checkpointing.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/stop_flag.hpp"

namespace thresher::jobs {

namespace {

constexpr const char* kAgent = "agent";

/// One training of a policy: its environments, its run, and what is kept of both.
class PolicyTraining {
  public:
    PolicyTraining(Job& job, const PolicyOptions& options, const io::RunDirectory& run)
        : job_(job),
          options_(options),
          run_(run),
          clock_(options.checkpoint_every_s, options.max_walltime_s),
          grounds_(make_grounds(job, options)) {
        agree(job.collective(), [&] {
            const Ground& first = grounds_.front();
            settings_ =
                options.settings(job.common().seed, first.open.checksum, first.proxy->describe());
        });
        const io::CheckpointFiles begun =
            options.resume ? load_checkpoint() : io::CheckpointFiles();
        if (options.rewards == "table") make_tables(begun);
        // The same work on all ranks, which share out the retraining on its way.
        agent_ = std::make_unique<Reinforce>(
            options.untrained(grounds_.front().candidates.width, job.common().seed),
            training_environments(), options.reinforce(job.common().seed),
            [this](std::int64_t update, std::size_t ground, auto batches) {
                return refresh(update, ground, batches);
            });
        if (const TrainState state = state_in(kAgent, begun); !state.empty()) {
            agree(job.collective(), [&] { agent_->import_state(state); });
        }
        if (!begun.empty()) {
            log::info("goes on at update {} of {}", agent_->updates_done(),
                      options_.training.updates);
        }
    }

    void train() {
        const auto progress = job_.progress("policy", options_.training.updates, "updates");
        while (!agent_->finished()) {
            {
                const auto timer = job_.phases().time("train");
                agent_->update();
            }
            for (const std::string& warning : agent_->new_warnings()) log::warn("{}", warning);
            progress->update(agent_->updates_done(),
                             fmt::format("{} {:+.2f} SD{}", estimated("gain"),
                                         agent_->curves().at("gain").back(), retrained_note()));
            stop_if_due("update", agent_->updates_done(), options_.training.updates);
        }
        progress->finish();
        write_checkpoint();
    }

    /// The policy's file and the run's curves.
    void write() {
        io::RunRecord record;
        if (from_table() && find_head(options_.head).exact) {
            const auto timer = job_.phases().time("compare");
            for (const Ground& ground : grounds_)
                compare_estimates(ground, agent_->policy(), options_.picks, record);
            fidelity_ = rank_correlations(record);
        }
        add_costs();
        agree(job_.collective(), [&] {
            if (!job_.is_root()) return;
            const io::Provenance provenance = job_.provenance(options_.choice.pool.path);
            std::vector<std::string> checksums;
            for (const Ground& ground : grounds_) checksums.push_back(ground.open.checksum);
            io::write_policy(
                run_.file("policy.h5"),
                {agent_->policy(), options_.features, options_.picks,
                 options_.choice.environment.name, retrainings(), agent_->curves(), checksums},
                provenance, io::Overwrite::yes);
            for (const auto& [name, values] : agent_->curves()) {
                record.curves["updates/" + name] = {{std::ssize(values)}, values, name, ""};
            }
            const PickShares& picking = agent_->pick_shares();
            const std::int64_t snapshots = std::ssize(picking.updates);
            record.curves["picking/update"] = {
                {snapshots}, picking.updates, "updates made before", "updates"};
            record.curves["picking/share"] = {
                {snapshots, grounds_.front().candidates.rows},
                picking.shares,
                "share of the rollouts that pick each candidate of the first environment",
                ""};
            add_candidates(grounds_.front().open, record);
            record.ledger = ledger_;
            io::write_run(run_.curves_file(), record, provenance);
        });
    }

    nlohmann::json report() {
        const Curves& curves = agent_->curves();
        const auto last = [&](const char* name) {
            const auto& values = curves.at(name);
            const std::size_t count = std::min<std::size_t>(20, values.size());
            return std::accumulate(values.end() - static_cast<std::ptrdiff_t>(count), values.end(),
                                   0.0) /
                   static_cast<double>(count);
        };
        job_.print(fmt::format(
            "{} {:+.2f} standard deviations of random batches{}, entropy {:.0f} % of the uniform "
            "law's, in the last updates of {}; wrote {}",
            estimated("reward"), last("gain"), retrained_note(), 100.0 * last("entropy"),
            agent_->updates_done(), run_.file("policy.h5")));
        nlohmann::json facts{
            {"updates", agent_->updates_done()},
            {from_table() ? "estimated_gain" : "gain", last("gain")},
            {"entropy", last("entropy")},
            {"records", records()},
            {"flops", {{"policy", agent_->flops()}, {"proxy", ledger_["flops/proxy"]}}},
            {"environments", grounds_.size()}};
        if (!fidelity_.empty()) {
            job_.print(described(fidelity_));
            facts["rank_correlation"] = fidelity_;
        }
        if (const auto gain = retrained_gain()) facts["retrained_gain"] = *gain;
        return facts;
    }

  private:
    /// What the run has come to, in the settings of this one; empty where that is nothing.
    io::CheckpointFiles load_checkpoint() {
        auto checkpoint = io::load_newest_checkpoint(run_.checkpoints(), job_.collective());
        if (!checkpoint) {
            log::info("{} has no checkpoint yet: starting from the beginning", run_.path());
            return {};
        }
        agree(job_.collective(), [&] {
            const auto then =
                required_json<std::map<std::string, std::string>>(*checkpoint, kSettings);
            check_same_settings(then, settings_, run_.path());
            costs_before_ = required_json<std::map<std::string, double>>(*checkpoint, kLedger);
        });
        log::info("resumed from {}", checkpoint->path);
        return std::move(checkpoint->files);
    }

    /// Tables as they were, and those that are still missing by retraining.
    void make_tables(const io::CheckpointFiles& begun) {
        const auto timer = job_.phases().time("environments");
        const auto progress = job_.progress("tables", std::ssize(grounds_), "tables");
        for (std::size_t i = 0; i < grounds_.size(); ++i) {
            const TrainState state = state_in(name_of_table(i), begun);
            give_table(job_, grounds_[i], options_, state);
            progress->update(static_cast<std::int64_t>(i) + 1);
            if (state.empty())
                stop_if_due("table", static_cast<std::int64_t>(i) + 1, std::ssize(grounds_));
        }
        progress->finish();
        fit_tables(grounds_, job_.collective());
        for (const Ground& ground : grounds_) {
            log::debug("{}: {}", ground.open.environment.name, ground.table->summary());
        }
    }

    /// Writes a checkpoint when one is due; throws Requeue after a stop signal. Collective.
    void stop_if_due(const char* what, std::int64_t done, std::int64_t all) {
        const Due due = clock_.due(job_.collective());
        if (due == Due::nothing) return;
        write_checkpoint();
        if (due == Due::checkpoint) return;
        throw Requeue(fmt::format(
            "asked to stop after {} {} of {}: a checkpoint was written; run the same command with "
            "--resume to go on",
            what, done, all));
    }

    static std::string name_of_table(std::size_t ground) { return fmt::format("table{}", ground); }

    bool from_table() const { return grounds_.front().table != nullptr; }

    std::string estimated(const char* what) const {
        return fmt::format("{}{}", from_table() ? "estimated " : "", what);
    }

    /// Of the last refresh that had proposals to retrain.
    std::optional<double> retrained_gain() const {
        const auto found = agent_->curves().find("retrained_gain");
        if (found == agent_->curves().end()) return std::nullopt;
        const std::vector<double>& gains = found->second;
        const auto last = std::find_if(gains.rbegin(), gains.rend(),
                                       [](double gain) { return std::isfinite(gain); });
        return last == gains.rend() ? std::nullopt : std::optional(*last);
    }

    std::string retrained_note() const {
        const auto gain = retrained_gain();
        return gain ? fmt::format(" ({:+.2f} retrained at the last refresh)", *gain) : "";
    }

    std::span<const TrainingEnvironment> training_environments() {
        for (std::size_t i = 0; i < grounds_.size(); ++i) {
            Ground& ground = grounds_[i];
            environments_.push_back(
                {fmt::format("{} {}", ground.open.environment.name, i), ground.candidates,
                 ground.table ? static_cast<Metric*>(ground.table.get()) : ground.reward.get()});
        }
        return environments_;
    }

    std::int64_t records() const {
        std::int64_t count = 0;
        for (const Ground& ground : grounds_) count += ground.table ? ground.table->size() : 0;
        return count;
    }

    /// In each environment, by this count or by that of all rewards where each was retrained.
    std::int64_t retrainings() const {
        const std::int64_t rewards = options_.training.updates * options_.training.rollouts;
        return (from_table() ? records() : rewards) / std::ssize(grounds_);
    }

    std::optional<RefreshReport> refresh(std::int64_t update, std::size_t ground,
                                         std::span<const std::int32_t> batches) {
        if (!grounds_[ground].table) return std::nullopt;
        const auto timer = job_.phases().time("refresh");
        const RefreshReport report = grounds_[ground].table->refresh(batches, options_.picks);
        if (ground + 1 == grounds_.size()) fit_tables(grounds_, job_.collective());
        if (!std::isfinite(report.retrained)) {
            log::info("update {}, {}: no proposal of {} without a record", update,
                      environments_[ground].name, options_.picks);
            return report;
        }
        log::info("update {}, {}: proposals predicted {:.4f}, retrained {:.4f}, off by {:.4f}",
                  update, environments_[ground].name, report.predicted, report.retrained,
                  report.error);
        return report;
    }

    /// Brings the ledger to what this part and those before it have cost. Collective.
    void add_costs() {
        double proxies = 0.0;
        for (const Ground& ground : grounds_) proxies += ground.retrained->flops();
        ledger_.clear();
        jobs::add_costs(job_.phases(), job_.collective().traffic(), costs_before_, ledger_,
                        sum_flops(job_.collective(), {{"flops/proxy", proxies}}));
        // All ranks do the same work on the policy, which counts once.
        if (agent_) ledger_["flops/policy"] = agent_->flops();
        ledger_["records"] = static_cast<double>(records());
    }

    void write_checkpoint() {
        add_costs();
        const auto timer = job_.phases().time("checkpoint");
        const std::int64_t updates = agent_ ? agent_->updates_done() : 0;
        io::write_checkpoint(run_.checkpoints(), updates, job_.collective(), [&] {
            io::CheckpointFiles files;
            files[kSettings] = nlohmann::json(settings_).dump(2);
            files[kLedger] = nlohmann::json(ledger_).dump(2);
            if (agent_) add_state(kAgent, agent_->export_state(), files);
            for (std::size_t i = 0; i < grounds_.size(); ++i) {
                if (!grounds_[i].table) continue;
                add_state(name_of_table(i), grounds_[i].table->export_state(), files);
            }
            return files;
        });
    }

    Job& job_;
    const PolicyOptions& options_;
    const io::RunDirectory& run_;
    CheckpointClock clock_;
    std::vector<Ground> grounds_;
    std::vector<TrainingEnvironment> environments_;
    std::unique_ptr<Reinforce> agent_;
    std::map<std::string, std::string> settings_;
    std::map<std::string, double> ledger_, costs_before_;  ///< the second of the parts before this
    std::map<std::string, double> fidelity_;  ///< rank correlation, of random and policy batches
};

}  // namespace

int train_policy(Job& job) {
    PolicyOptions options;
    add_policy_training_options(job.options(), options);
    job.start();
    if (options.metric.empty()) options.metric = options.choice.metric();
    install_stop_signals();
    check_policy_options(options);
    refuse_unused(job, options);
    const io::RunDirectory run(options.run, run_start(options.resume, job.common()),
                               job.collective());
    job.log_to(run);
    agree(job.collective(), [&] {
        if (job.is_root()) run.write_config(job.config_text());
    });
    PolicyTraining training(job, options, run);
    training.train();
    training.write();
    job.finish(training.report());
    return 0;
}

}  // namespace thresher::jobs
