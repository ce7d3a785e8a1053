// thresher info: what a file holds, or what this build can do.

#include <fmt/ranges.h>

#include <filesystem>
#include <thread>

#include "io/describe.hpp"
#include "io/provenance.hpp"
#include "io/verify.hpp"
#include "jobs/job.hpp"
#include "jobs/verbs.hpp"
#include "mpi/cuda_backend.hpp"
#include "src/base/agreement.hpp"
#include "src/base/log.hpp"
#include "src/models/anchors.hpp"
#include "src/models/model.hpp"
#include "src/selection/scan.hpp"

namespace thresher::jobs {

namespace {

std::string build_facts() {
    std::string why_not;
    const bool cuda = mpi::cuda_backend_available(&why_not);
    std::string text =
        fmt::format("thresher    {} ({})\n", io::producer_version(), io::git_commit());
    for (const auto& [library, version] : io::library_versions()) {
        text += fmt::format("{:<11} {}\n", library, version);
    }
    return text + fmt::format(
                      "cores       {}\n"
                      "SIMD        {}\n"
                      "GPU         {}",
                      std::thread::hardware_concurrency(), scan_target(),
                      cuda ? "available" : "none: " + why_not);
}

std::string describe_model(const std::string& path) {
    const ModelSpec spec = read_model_spec(path);
    if (!is_built_in_model(spec.name)) {
        return fmt::format("{}: a TorchScript {}, {} bytes", path,
                           spec.detector ? "detector" : "model", std::filesystem::file_size(path));
    }
    std::string what = fmt::format("classes        {}", spec.classes);
    if (spec.towers) {
        const Towers& towers = *spec.towers;
        what = fmt::format(
            "image tower    {}\n"
            "  text tower     {} layers of {}; {} tokens a caption, of {}\n"
            "  embedding      {}",
            towers.image, towers.text_layers, towers.text_width, towers.token_length,
            towers.vocabulary, towers.embedding);
    }
    if (spec.detector) {
        what += fmt::format("\n  trunk          {}; {} anchors{}{}", spec.detector->trunk,
                            anchor_boxes(spec).size() / 4,
                            spec.detector->class_heads == 2 ? "; two class heads" : "",
                            spec.detector->loss_head ? "; predicts its loss" : "");
    }
    return fmt::format(
        "{}: a model, {} bytes\n"
        "  model          {}\n"
        "  inputs         [{}]\n"
        "  {}\n"
        "  normalisation  (x * {:g} - [{:.4g}]) / [{:.4g}]",
        path, std::filesystem::file_size(path), spec.name, fmt::join(spec.input_shape, ", "), what,
        spec.scale, fmt::join(spec.mean, ", "), fmt::join(spec.std, ", "));
}

}  // namespace

int run_info(Job& job) {
    std::vector<std::string> files;
    job.options().add_option("file", files, "Files or directories to describe; none: this build");
    bool verify = false;
    job.options().add_flag(
        "--verify", verify,
        "Read all of a sharded pool, a batch or a run's checkpoints, and compare "
        "with their checksums");
    job.start();
    nlohmann::json texts;
    agree(job.collective(), [&] {
        if (!job.is_root()) return;
        if (files.empty()) texts["build"] = build_facts();
        for (const std::string& file : files) {
            if (verify) log::info("{}: {} checksums hold", file, io::verify(file));
            texts[file] = std::filesystem::path(file).extension() == ".pt" ? describe_model(file)
                                                                           : io::describe(file);
            job.print(texts[file]);
        }
        if (files.empty()) job.print(texts["build"]);
    });
    job.finish({{"descriptions", texts}});
    return 0;
}

}  // namespace thresher::jobs
