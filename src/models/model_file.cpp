#include "src/models/model_file.hpp"

#include <c10/core/GradMode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "src/base/check.hpp"
#include "src/models/torchscript/torchscript.hpp"
#include "src/models/torchscript/torchscript_detector.hpp"

namespace thresher {
namespace {

using Modules = std::map<std::string, torch::jit::Module>;

/// The module at a dotted path below the root, made on the way where it is not there yet.
torch::jit::Module& module_at(Modules& modules, const std::string& path,
                              const std::shared_ptr<torch::jit::CompilationUnit>& unit) {
    const auto found = modules.find(path);
    if (found != modules.end()) return found->second;
    const std::size_t dot = path.rfind('.');
    const std::string parent = dot == std::string::npos ? "" : path.substr(0, dot);
    torch::jit::Module made("__torch__.Tensors", unit, true);
    module_at(modules, parent, unit)
        .register_module(dot == std::string::npos ? path : path.substr(dot + 1), made);
    return modules.emplace(path, std::move(made)).first->second;
}

/// What lies in an archive beside its tensors.
struct ExtraFiles {
    std::string spec_json, text_model, categories_json;
};

torch::jit::Module read_archive(const std::string& path, const std::string& device,
                                ExtraFiles& files) {
    THRESHER_CHECK_AS(
        FileError, std::filesystem::exists(path),
        "{}: there is no such model file; give the path of a .pt file, or the name of a "
        "built-in model",
        path);
    define_torchvision_nms();
    torch::jit::ExtraFilesMap extra{{kSpecFile, ""}, {kTextModelFile, ""}, {kCategoriesFile, ""}};
    try {
        torch::jit::Module module = torch::jit::load(path, c10::Device(device), extra, false);
        files = {extra[kSpecFile], extra[kTextModelFile], extra[kCategoriesFile]};
        return module;
    } catch (const std::exception& error) {
        std::string magic(2, ' ');
        std::ifstream(path, std::ios::binary).read(magic.data(), 2);
        THRESHER_CHECK_AS(FileError, magic != "PK",
                          "{}: this build's LibTorch cannot load this TorchScript file: {}", path,
                          first_line(error));
        fail<FileError>(
            "{}: this is no model file; allowed are files that thresher train wrote and "
            "TorchScript files (torch.jit.script(model).save(path) in Python). LibTorch "
            "says: {}",
            path, first_line(error));
    }
}

void fill_tensors(const torch::jit::Module& archive, const Model& model, const std::string& path) {
    std::map<std::string, at::Tensor> stored;
    for (const auto& entry : archive.named_parameters()) stored.emplace(entry.name, entry.value);
    for (const auto& entry : archive.named_buffers()) stored.emplace(entry.name, entry.value);
    const c10::NoGradGuard no_grad;
    for (const auto& tensors : {model.parameters(), model.buffers()}) {
        for (const NamedTensor& entry : tensors) {
            const auto found = stored.find(entry.name);
            THRESHER_CHECK_AS(FileError, found != stored.end(),
                              "{}: tensor {} of {} is missing; the file is damaged or of another "
                              "version",
                              path, entry.name, model.spec().name);
            THRESHER_CHECK_AS(FileError, found->second.sizes() == entry.tensor.sizes(),
                              "{}: tensor {} of {} has {} elements, but {} are needed", path,
                              entry.name, model.spec().name, found->second.numel(),
                              entry.tensor.numel());
            entry.tensor.copy_(found->second);
        }
    }
}

ModelSpec parse_spec(const std::string& path, const ExtraFiles& files) {
    if (files.spec_json.empty()) {
        ModelSpec spec;
        spec.name = kTorchScript;
        spec.hidden.clear();
        return spec;
    }
    try {
        ModelSpec spec = model_spec_from_json(files.spec_json);
        if (spec.towers) spec.towers->text_model = files.text_model;
        return spec;
    } catch (const Error& error) {
        fail<FileError>("{}: {}", path, error.what());
    }
}

}  // namespace

std::string first_line(const std::exception& error) {
    const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
    std::string text =
        torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
    text.erase(0, text.find_first_not_of('\n'));
    // An error inside TorchScript comes as a traceback whose last line tells what happened.
    const std::string traceback = "The following operation failed";
    if (text.compare(0, traceback.size(), traceback) != 0) return text.substr(0, text.find('\n'));
    const std::size_t end = text.find_last_not_of('\n');
    const std::size_t begin = text.rfind('\n', end);
    return text.substr(begin + 1, end - begin);
}

std::string archive_of(const ModelSpec& spec, const std::vector<NamedTensor>& parameters,
                       const std::vector<NamedTensor>& buffers) {
    const auto unit = std::make_shared<torch::jit::CompilationUnit>();
    Modules modules;
    modules.emplace("", torch::jit::Module("__torch__.Thresher", unit, true));
    const auto add = [&](const NamedTensor& entry, bool is_buffer) {
        const std::size_t dot = entry.name.rfind('.');
        const std::string parent = dot == std::string::npos ? "" : entry.name.substr(0, dot);
        const std::string leaf = dot == std::string::npos ? entry.name : entry.name.substr(dot + 1);
        // A copy: a tensor may be a view into a larger buffer, all of which would be written.
        module_at(modules, parent, unit)
            .register_parameter(leaf, entry.tensor.detach().cpu().clone(), is_buffer);
    };
    for (const NamedTensor& entry : parameters) add(entry, false);
    for (const NamedTensor& entry : buffers) add(entry, true);
    std::ostringstream bytes;
    torch::jit::ExtraFilesMap extra{{kSpecFile, to_json(spec)}};
    if (spec.towers && !spec.towers->text_model.empty()) {
        extra[kTextModelFile] = spec.towers->text_model;
    }
    modules.at("").save(bytes, extra);
    return bytes.str();
}

ModelSpec read_model_spec(const std::string& path) {
    ExtraFiles files;
    const torch::jit::Module archive = read_archive(path, "cpu", files);
    ModelSpec spec = parse_spec(path, files);
    if (spec.name == kTorchScript && takes_images(archive)) spec.detector.emplace();
    return spec;
}

std::unique_ptr<Model> load_model(const std::string& path, const PoolInfo& pool,
                                  const std::string& device) {
    ExtraFiles files;
    torch::jit::Module archive = read_archive(path, device, files);
    ModelSpec spec = parse_spec(path, files);
    if (files.spec_json.empty()) {
        spec.input_shape = pool.input_shape;
        spec.mean = pool.mean;
        spec.std = pool.std;
    }
    spec.scale = pool.scale;
    if (spec.name == kTorchScript) {
        std::unique_ptr<Model> model;
        if (takes_images(archive)) {
            constexpr std::size_t kImage = 3;  // channels, height, width
            THRESHER_CHECK(
                pool.input_shape.size() == kImage,
                "{}: a detector takes images [channels, height, width], but the inputs of "
                "pool {} have shape [{}]",
                path, pool.path, fmt::join(pool.input_shape, ", "));
            spec.mean = {0.0};
            spec.std = {1.0};
            model =
                wrap_detector(std::move(archive), std::move(spec),
                              DetectorLabels::of(files.categories_json, pool, path), device, path);
        } else {
            model = wrap_torchscript(std::move(archive), std::move(spec), device, path);
        }
        check_fits(model->spec(), pool, path);
        return model;
    }
    THRESHER_CHECK_AS(FileError, is_built_in_model(spec.name),
                      "{}: the file holds a model '{}' that this version of thresher does not know",
                      path, spec.name);
    check_fits(spec, pool, path);
    auto model = make_model_without_values(spec, device);
    fill_tensors(archive, *model, path);
    return model;
}

void check_fits(const ModelSpec& spec, const PoolInfo& pool, const std::string& path) {
    THRESHER_CHECK(
        spec.input_shape == pool.input_shape,
        "{}: the model takes inputs of shape [{}], but those of pool {} have shape [{}]; "
        "use a model trained on inputs of this shape",
        path, fmt::join(spec.input_shape, ", "), pool.path, fmt::join(pool.input_shape, ", "));
    if (spec.towers) {
        const Towers& towers = *spec.towers;
        // Images alone can be embedded.
        if (pool.token_length == 0) return;
        THRESHER_CHECK(towers.token_length == pool.token_length,
                       "{}: the model reads captions of {} tokens, but those of pool {} have {}; "
                       "import with --token-length {}",
                       path, towers.token_length, pool.path, pool.token_length,
                       towers.token_length);
        THRESHER_CHECK(pool.vocabulary <= towers.vocabulary,
                       "{}: the model's vocabulary has {} tokens, but that of pool {} has {}; use "
                       "the vocabulary that the model was trained with",
                       path, towers.vocabulary, pool.path, pool.vocabulary);
        return;
    }
    // Objects can be looked for in images of which none are known.
    if (spec.detector && !pool.has_boxes) return;
    // Without names a pool's classes are its largest target + 1, which may be fewer than there are.
    const bool fits =
        pool.class_names.empty() ? pool.classes <= spec.classes : pool.classes == spec.classes;
    THRESHER_CHECK(fits,
                   "{}: the model tells {} classes apart, but pool {} has {}; use a model with {} "
                   "logits",
                   path, spec.classes, pool.path, pool.classes, pool.classes);
    for (std::size_t i = 0; i < spec.class_names.size(); ++i) {
        const auto begin = pool.class_names.begin(), end = pool.class_names.end();
        const auto place = std::find(begin, end, spec.class_names[i]);
        THRESHER_CHECK(
            place == end || std::cmp_equal(place - begin, i),
            "{}: the model's class {} is \"{}\", which is class {} of pool {}; import it "
            "with --class-names {}",
            path, i, spec.class_names[i], place - begin, pool.path,
            fmt::join(spec.class_names, ","));
    }
}

}  // namespace thresher
