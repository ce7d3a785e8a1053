// thresher label: what people answered, in whatever tool, -> labels.csv.

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_map>

#include "io/batch_file.hpp"
#include "io/id_set.hpp"
#include "io/labelling/answers.hpp"
#include "io/problem_list.hpp"
#include "jobs/options/pool_options.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/text.hpp"

namespace thresher::jobs {

namespace {

struct LabelOptions {
    PoolOptions pool;
    std::string batch, answers, output;
    std::vector<std::string> class_names;
};

/// The rows of a batch by id and by name.
class Batch {
  public:
    explicit Batch(const std::string& path) : batch_(io::read_batch(path)) {
        for (std::size_t i = 0; i < batch_.ids.size(); ++i) {
            by_id_[batch_.ids[i]] = i;
            if (!batch_.names.empty()) by_name_[batch_.names[i]].push_back(i);
        }
    }

    std::size_t size() const { return batch_.ids.size(); }
    std::int64_t id(std::size_t place) const { return batch_.ids[place]; }

    /// Where the answer's rows stand in the batch: the one with its id, or all that have its name.
    /// A tool may have put directories before a name.
    std::vector<std::size_t> find(const io::Answer& answer) const {
        if (!answer.id.empty()) {
            std::int64_t id = -1;
            const char* end = answer.id.data() + answer.id.size();
            if (std::from_chars(answer.id.data(), end, id).ptr != end) return {};
            const auto found = by_id_.find(id);
            return found != by_id_.end() ? std::vector{found->second} : std::vector<std::size_t>{};
        }
        for (std::string_view name = answer.name; !name.empty();) {
            if (const auto found = by_name_.find(std::string(name)); found != by_name_.end()) {
                return found->second;
            }
            const std::size_t slash = name.find('/');
            name = slash == std::string_view::npos ? "" : name.substr(slash + 1);
        }
        return {};
    }

  private:
    io::Batch batch_;
    std::unordered_map<std::int64_t, std::size_t> by_id_;
    std::unordered_map<std::string, std::vector<std::size_t>> by_name_;
};

/// Each answer's row and class, in batch order. Throws FileError listing every answer that fits no
/// row or no class, or contradicts another.
io::Labels match(const std::vector<io::Answer>& answers, const Batch& batch,
                 const std::vector<std::string>& class_names, const LabelOptions& options) {
    const io::ClassNumbers numbers(class_names);
    io::ProblemList problems;
    std::vector<std::optional<std::int64_t>> label_of(batch.size());
    std::vector<std::string> place_of(batch.size());
    for (const io::Answer& answer : answers) {
        const std::vector<std::size_t> rows = batch.find(answer);
        const std::optional<std::int64_t> label = numbers.of(answer.label);
        const std::string who = answer.id.empty() ? fmt::format("name \"{}\"", excerpt(answer.name))
                                                  : fmt::format("id {}", excerpt(answer.id));
        const auto other = std::find_if(rows.begin(), rows.end(), [&](std::size_t row) {
            return label && label_of[row] && *label_of[row] != *label;
        });
        if (rows.empty()) {
            problems.add(fmt::format("{}: {} is not in {}", answer.place, who, options.batch));
        } else if (!label) {
            problems.add(
                fmt::format("{}: \"{}\" is no class", answer.place, excerpt(answer.label)));
        } else if (other != rows.end()) {
            problems.add(fmt::format("{}: {} is \"{}\", but {} says \"{}\"", answer.place, who,
                                     excerpt(answer.label), place_of[*other],
                                     class_names[static_cast<std::size_t>(*label_of[*other])]));
        } else {
            for (const std::size_t row : rows) {
                label_of[row] = label;
                place_of[row] = answer.place;
            }
        }
    }
    problems.report(fmt::format("{}: {} of {} answers cannot be used (classes are {})",
                                options.answers, problems.count(), answers.size(),
                                fmt::join(class_names, ", ")));
    io::Labels labels;
    for (std::size_t place = 0; place < batch.size(); ++place) {
        if (!label_of[place]) continue;
        labels.ids.push_back(batch.id(place));
        labels.labels.push_back(*label_of[place]);
    }
    return labels;
}

}  // namespace

int run_label(Job& job) {
    LabelOptions options;
    CLI::App& app = job.options();
    app.add_option("--batch", options.batch, "Batch the answers belong to")->required();
    app.add_option("--answers", options.answers,
                   "What was answered: CSV, Label Studio's JSON, JSON-MIN or CSV, or CVAT's "
                   "annotations.xml")
        ->required();
    app.add_option("--class-names", options.class_names, "Classes, where --pool does not name them")
        ->delimiter(',');
    app.add_option("--pool", options.pool.path, "Pool that names the classes");
    app.add_option("-o,--output", options.output, "Labels file to write (id,label)")->required();
    job.start();
    job.check_output(options.output);
    agree(job.collective(), [&] {
        if (!job.is_root()) return;
        std::vector<std::string> class_names = options.class_names;
        if (class_names.empty() && !options.pool.path.empty()) {
            const PoolInfo info = io::open_pool(options.pool.path).info();
            class_names = info.class_names;
            if (class_names.empty()) {  // then their numbers are their names
                for (std::int64_t c = 0; c < info.classes; ++c)
                    class_names.push_back(std::to_string(c));
            }
        }
        THRESHER_CHECK_AS(UsageError, !class_names.empty(),
                          "the names of the classes are not known; give --class-names, or --pool "
                          "with a pool that has them");
        const Batch batch(options.batch);
        const io::Labels labels =
            match(io::read_answers(options.answers), batch, class_names, options);
        io::write_labels(options.output, labels, class_names, job.overwrite());
        const auto labelled = labels.ids.size();
        job.print(fmt::format("{} of {} rows are labelled, {} are still open; wrote {}", labelled,
                              batch.size(), batch.size() - labelled, options.output));
        job.finish({{"labelled", labelled}, {"open", batch.size() - labelled}});
    });
    return 0;
}

}  // namespace thresher::jobs
