// thresher evaluate: model + pool -> accuracy, loss, per-class table, calibration.

#include "src/training/evaluate.hpp"

#include <fmt/format.h>

#include "io/block_reader.hpp"
#include "jobs/options/pool_options.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"

namespace thresher::jobs {

namespace {

void print_table(const Job& job, const Evaluation& evaluation, const PoolInfo& pool) {
    job.print(fmt::format("rows               {}", evaluation.rows));
    if (evaluation.without_target > 0)
        job.print(fmt::format("without target     {}", evaluation.without_target));
    job.print(fmt::format("accuracy           {:.4f}", evaluation.accuracy()));
    job.print(fmt::format("loss               {:.4f} nats", evaluation.mean_loss));
    job.print(fmt::format("calibration error  {:.4f} (15 bins)", evaluation.calibration_error));
    job.print(fmt::format("\n{:<20} {:>9} {:>9} {:>9}", "class", "rows", "recall", "precision"));
    for (std::size_t c = 0; c < evaluation.classes.size(); ++c) {
        const ClassResult& result = evaluation.classes[c];
        job.print(
            fmt::format("{:<20} {:>9} {:>9.4f} {:>9.4f}",
                        c < pool.class_names.size() ? pool.class_names[c] : fmt::format("{}", c),
                        result.support, result.recall(), result.precision()));
    }
}

}  // namespace

int run_evaluate(Job& job) {
    PoolOptions options;
    std::string file;
    add_pool_options(job.options(), options, true);
    job.options()
        .add_option("--model", file, "Model file: one of ours, or TorchScript")
        ->required();
    job.start();
    const io::PoolFile pool = open_pool(job, options);
    std::unique_ptr<Model> model;
    std::unique_ptr<BlockSource> source;
    agree(job.collective(), [&] {
        model = load_model(file, pool.info(), job.device());
        source = io::make_block_reader(pool, job.collective().rank(), job.collective().size());
    });
    Evaluation evaluation;
    {
        const auto timer = job.phases().time("evaluate");
        evaluation = evaluate(*model, *source, job.collective());
    }
    print_table(job, evaluation, pool.info());
    job.finish({{"rows", evaluation.rows},
                {"accuracy", evaluation.accuracy()},
                {"loss", evaluation.mean_loss},
                {"calibration_error", evaluation.calibration_error}});
    return 0;
}

}  // namespace thresher::jobs
