#pragma once

// The root's part of building a lookup table: which records are there already, which are missing,
// and the table in the end.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/run/record_log.hpp"
#include "jobs/options/environment_options.hpp"
#include "src/environments/record_workers.hpp"
#include "src/environments/table_plan.hpp"
#include "src/policy/lookup_table/lookup_table.hpp"

namespace thresher::jobs {

class TableBuilder {
  public:
    /// Records are kept beside `output` as they come in. Mutations are made of the records with the
    /// best `metric`. All references must outlive it. Throws FileError where the records are of
    /// another table. Local.
    TableBuilder(Job& job, const std::string& output, const std::string& metric,
                 const TablePlan& plan, const OpenEnvironment& open, const Proxy& proxy);

    /// Throws Requeue after a stop signal.
    LookupTable build(RecordWorkers& workers);
    /// Removes the records, once the table is written.
    void finish() { log_.remove(); }

  private:
    std::vector<std::int32_t> drawn_subset(std::int64_t number) const;
    void retrain(RecordWorkers& workers, const std::vector<std::int64_t>& numbers);
    std::vector<std::vector<std::int32_t>> good_subsets() const;
    LookupTable table() const;

    Job& job_;
    const std::string& metric_;
    const TablePlan& plan_;
    const OpenEnvironment& open_;
    const Proxy& proxy_;
    std::int64_t metrics_each_;
    io::RecordLog log_;
    std::optional<Strata> strata_;  ///< where records are drawn by class
    std::vector<std::int64_t> drawn_, near_;
    std::map<std::int64_t, std::vector<std::int32_t>> subsets_;  ///< by number
    std::unique_ptr<Progress> progress_;
};

}  // namespace thresher::jobs
