// thresher evaluate: model + pool -> accuracy, loss, per-class table, calibration; of a model that
// reads captions how well it finds images by them, and classes by their names; of a detector its
// average precision.

#include "src/training/evaluation/evaluate.hpp"

#include <fmt/format.h>

#include "io/detections/metric_file.hpp"
#include "io/pool/block_reader.hpp"
#include "jobs/options/pool_options.hpp"
#include "jobs/steps/detection_summary.hpp"
#include "jobs/steps/detections_file.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/pool/vocabulary.hpp"
#include "src/training/evaluation/evaluate_detector.hpp"
#include "src/training/evaluation/retrieval.hpp"
#include "src/training/train_options.hpp"

namespace thresher::jobs {

namespace {

struct Options {
    PoolOptions pool;
    std::string model, prompt = "a photo of {}", vocabulary, contrastive = "softmax";
    std::string metric = "voc10", output, detections, categories;
    double iou = 0.5;
};

void add_options(CLI::App& app, Options& options) {
    add_pool_options(app, options.pool, true);
    app.add_option("--model", options.model, "Model file: one of ours, or TorchScript")->required();
    app.add_option("--prompt", options.prompt,
                   "two-tower, on a pool with classes: what a class is called, {} being its name");
    app.add_option(
        "--vocabulary", options.vocabulary,
        "two-tower: pool that the model was trained on, where its file has no vocabulary");
    app.add_option("--contrastive", options.contrastive,
                   "two-tower: the loss that is told, softmax (CLIP) or sigmoid (SigLIP)");
    app.add_option("--metric", options.metric,
                   "detectors: voc10, the area under the curve; voc07, at 11 recalls; or coco")
        ->check(CLI::IsMember({"coco", "voc07", "voc10"}));
    app.add_option("--iou", options.iou,
                   "detectors, voc07 and voc10: overlap from which an object is found")
        ->check(CLI::Range(0.01, 1.0));
    app.add_option("-o,--output", options.output,
                   "detectors: file of the numbers by class, and the curves of precision over "
                   "recall");
    app.add_option("--detections", options.detections,
                   "detectors: file of all that was found, COCO results in JSON");
    app.add_option("--categories", options.categories,
                   "detectors, --detections: COCO instances whose categories say the id of each "
                   "class, by its name; a class's number unless given")
        ->needs("--detections");
}

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

nlohmann::json facts_of(const Evaluation& evaluation) {
    return {{"rows", evaluation.rows},
            {"accuracy", evaluation.accuracy()},
            {"loss", evaluation.mean_loss},
            {"calibration_error", evaluation.calibration_error}};
}

void print_retrieval(const Job& job, const Retrieval& found, const std::string& contrastive) {
    job.print(fmt::format("pairs              {} of {} images", found.pairs, found.images));
    if (found.without_caption > 0)
        job.print(fmt::format("without caption    {}", found.without_caption));
    job.print(fmt::format("alignment          {:.4f}", found.alignment));
    job.print(fmt::format("{:<18} {:.4f} nats", contrastive + " loss", found.mean_loss));
    std::string head = fmt::format("\n{:<20}", "recall at");
    std::string texts = fmt::format("{:<20}", "image to text"), images = "text to image       ";
    for (std::size_t i = 0; i < kRecallAt.size(); ++i) {
        head += fmt::format(" {:>9}", kRecallAt[i]);
        texts += fmt::format(" {:>9.4f}", found.image_to_text[i]);
        images += fmt::format(" {:>9.4f}", found.text_to_image[i]);
    }
    job.print(head);
    job.print(texts);
    job.print(images);
}

nlohmann::json facts_of(const Retrieval& found) {
    nlohmann::json facts{{"pairs", found.pairs},
                         {"images", found.images},
                         {"alignment", found.alignment},
                         {"loss", found.mean_loss}};
    for (std::size_t i = 0; i < kRecallAt.size(); ++i) {
        const std::string at = fmt::format("recall_at_{}", kRecallAt[i]);
        facts[at] = found.recall(i);
        facts["image_to_text_" + at] = found.image_to_text[i];
        facts["text_to_image_" + at] = found.text_to_image[i];
    }
    return facts;
}

/// What the classes of the pool are called, as tokens [classes, L]. Throws UsageError, FileError.
std::vector<std::int32_t> prompts(const Options& options, const Towers& towers,
                                  const PoolInfo& pool) {
    const std::size_t place = options.prompt.find("{}");
    THRESHER_CHECK_AS(UsageError, place != std::string::npos,
                      "--prompt \"{}\" has no place for the name of a class; put {{}} there",
                      options.prompt);
    std::vector<std::string> texts;
    for (const std::string& name : pool.class_names) {
        texts.push_back(std::string(options.prompt).replace(place, 2, name));
    }
    const std::string model = options.vocabulary.empty()
                                  ? towers.text_model
                                  : io::open_pool(options.vocabulary).vocabulary();
    THRESHER_CHECK_AS(
        UsageError, !model.empty(),
        "{} does not hold the vocabulary it was trained with; give --vocabulary POOL, "
        "the pool that it was trained on",
        options.model);
    const std::int64_t size = Vocabulary(model).size();
    THRESHER_CHECK(size <= towers.vocabulary,
                   "the vocabulary of {} has {} tokens, but that of {} {}; give the pool that the "
                   "model was trained on",
                   options.vocabulary, size, options.model, towers.vocabulary);
    return encode_texts(model, texts, towers.token_length);
}

/// What a detector finds in the pool. Collective.
nlohmann::json run_detector(Job& job, const Options& options, const Model& model,
                            const io::PoolFile& pool) {
    DetectionMetricOptions how = pool_metric(detection_rule(options.metric));
    how.voc_threshold = options.iou;
    how.curves = !options.output.empty();
    std::vector<std::string> names = pool.info().class_names;
    for (std::int64_t c = std::ssize(names); c < model.spec().classes; ++c) {
        names.push_back(fmt::format("{}", c));
    }
    std::vector<std::int64_t> ids;
    std::unique_ptr<BlockSource> source;
    agree(job.collective(), [&] {
        ids = category_ids(options.categories, names);
        source = io::make_block_reader(pool, job.collective().rank(), job.collective().size(),
                                       kImagesInBlock);
    });
    DetectorEvaluation found;
    {
        const auto timer = job.phases().time("evaluate");
        found =
            evaluate_detector(model, *source, how, detect_options(model.spec()), job.collective());
    }
    if (!options.output.empty()) {
        agree(job.collective(), [&] {
            if (!job.is_root()) return;
            io::write_detection_metric(options.output, found.metric, names, options.metric,
                                       job.provenance(options.pool.path), job.overwrite());
        });
    }
    if (!options.detections.empty()) write_detections(job, options.detections, found.own, ids);
    job.print(fmt::format("{} images, {} objects, {} detections{}\n", found.images, found.objects,
                          found.detections,
                          found.mean_loss ? fmt::format(", loss {:.4f}", *found.mean_loss) : ""));
    print_detection_metric(job, found.metric, how, names);
    nlohmann::json facts = detection_facts(found.metric, how, names);
    facts.update(
        {{"images", found.images}, {"objects", found.objects}, {"detections", found.detections}});
    if (found.mean_loss) facts["loss"] = *found.mean_loss;
    return facts;
}

}  // namespace

int run_evaluate(Job& job) {
    Options options;
    add_options(job.options(), options);
    job.start();
    THRESHER_CHECK_AS(
        UsageError, options.detections.empty() || options.detections != options.output,
        "--detections and --output both name {}; give each its own file", options.output);
    THRESHER_CHECK_AS(UsageError, options.metric != "coco" || !job.was_given("--iou"),
                      "--iou is for voc07 and voc10; the metric coco has ten overlaps");
    if (!options.output.empty()) job.check_output(options.output);
    if (!options.detections.empty()) job.check_output(options.detections, "--detections");
    const ContrastiveKind contrastive = contrastive_kind(options.contrastive);
    const io::PoolFile pool = open_pool(job, options.pool);
    const PoolInfo& info = pool.info();
    std::unique_ptr<Model> model;
    std::unique_ptr<BlockSource> source;
    std::vector<std::int32_t> names;
    bool zero_shot = false, pairs = false;
    agree(job.collective(), [&] {
        model = load_model(options.model, info, job.device());
        for (const char* option : {"--output", "--detections", "--metric", "--iou"}) {
            THRESHER_CHECK_AS(UsageError, !job.was_given(option) || model->spec().detector,
                              "{} is for detectors, but {} is none", option, options.model);
        }
        source = io::make_block_reader(pool, job.collective().rank(), job.collective().size());
        if (!model->spec().towers) return;
        check_same_vocabulary(model->spec(), pool, options.model);
        pairs = info.token_length > 0;
        zero_shot = info.has_targets && !info.class_names.empty();
        THRESHER_CHECK_AS(UsageError, pairs || zero_shot,
                          "{} has neither captions nor targets with class names, so there is "
                          "nothing that {} could find",
                          info.path, options.model);
        if (zero_shot) names = prompts(options, *model->spec().towers, info);
    });
    const auto timed = [&](const auto& work) {
        const auto timer = job.phases().time("evaluate");
        return work();
    };
    nlohmann::json facts;
    if (model->spec().detector) facts = run_detector(job, options, *model, pool);
    if (pairs) {
        const Retrieval found = timed(
            [&] { return evaluate_retrieval(*model, *source, job.collective(), contrastive); });
        print_retrieval(job, found, options.contrastive);
        facts = facts_of(found);
    }
    if (zero_shot) {
        const Evaluation evaluation =
            timed([&] { return evaluate_zero_shot(*model, names, *source, job.collective()); });
        job.print(fmt::format("{}zero-shot, \"{}\"", pairs ? "\n" : "", options.prompt));
        print_table(job, evaluation, info);
        facts["zero_shot"] = facts_of(evaluation);
    }
    if (!model->spec().towers && !model->spec().detector) {
        const Evaluation evaluation =
            timed([&] { return evaluate(*model, *source, job.collective()); });
        print_table(job, evaluation, info);
        facts = facts_of(evaluation);
    }
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
