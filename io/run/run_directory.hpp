#pragma once

// One directory holding everything a job wrote, held by one job at a time.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/file_lock.hpp"
#include "io/provenance.hpp"
#include "src/base/collective.hpp"

namespace thresher::io {

/// What a job does with the run directory it was given.
enum class RunStart {
    fresh,     ///< must not hold a run yet
    resume,    ///< goes on with what is there; an empty or missing directory starts afresh
    overwrite  ///< removes the earlier run's files first
};

class RunDirectory {
  public:
    /// Makes the directory (and its parents) where missing, locks it, and throws the same FileError
    /// on all ranks where it cannot be written, is held by another job, or holds a run although
    /// `start` is fresh. The lock is held until destruction. Collective.
    RunDirectory(const std::string& path, RunStart start, Collective& collective);

    const std::string& path() const { return path_; }
    std::string file(const std::string& name) const { return path_ + "/" + name; }
    std::string log_file() const { return file("log.txt"); }
    std::string status_file() const { return file("status.json"); }
    std::string curves_file() const { return file("run.h5"); }
    std::string checkpoints() const { return file("checkpoints"); }

    /// Writes config.toml, atomically. Local: the root's business.
    void write_config(const std::string& toml) const;

  private:
    std::string path_;
    std::vector<FileLock> lock_;  ///< one at the root, none elsewhere
};

/// One dataset under /curves/. The first axis is the step or cycle; with repeats, [repeats,
/// cycles].
struct Curve {
    std::vector<std::int64_t> shape;
    std::vector<double> values;  ///< row major
    std::string description, unit;
};

/// What run.h5 holds.
struct RunRecord {
    std::map<std::string, Curve> curves;  ///< "train_loss", or "entropy/test_accuracy"
    /// Name under /cycles/ -> the ids picked there: "3", or "entropy/0/3"; written as
    /// /cycles/<name>/batch_ids.
    std::map<std::string, std::vector<std::int64_t>> batches;
    std::map<std::string, double> ledger;  ///< "flops/learner", "seconds/read", "bytes/select"
};

/// Replaces run.h5 in `run`, atomically. Throws FileError. Local: the root's business.
void write_run(const std::string& path, const RunRecord& record, const Provenance& provenance);

/// Throws FileError. Local.
RunRecord read_run(const std::string& path);

}  // namespace thresher::io
