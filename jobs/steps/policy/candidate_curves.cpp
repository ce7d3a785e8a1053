#include "jobs/steps/policy/candidate_curves.hpp"

namespace thresher::jobs {

namespace {

template <class T>
void add(io::RunRecord& record, const std::string& name, const char* description,
         std::vector<std::int64_t> shape, const std::vector<T>& values) {
    io::Curve& curve = record.curves["candidates/" + name];
    shape.insert(shape.begin(), curve.shape.empty() ? 1 : curve.shape.front() + 1);
    curve.shape = std::move(shape);
    curve.description = description;
    for (const T value : values) curve.values.push_back(static_cast<double>(value));
}

}  // namespace

void add_candidates(const OpenEnvironment& open, io::RunRecord& record) {
    const Points& candidates = open.environment.candidates;
    add(record, "features", "features of the candidates of each environment",
        {candidates.rows, open.environment.dimensions}, candidates.features);
    add(record, "target", "their classes", {candidates.rows}, candidates.targets);
    add(record, "id", "their ids", {candidates.rows}, open.ids);
}

}  // namespace thresher::jobs
