#include "tests/fuzz/readers.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "io/atomic_file.hpp"
#include "io/batch_file.hpp"
#include "io/detections/coco_json.hpp"
#include "io/id_set.hpp"
#include "io/importers/caption_list.hpp"
#include "io/importers/image_codec.hpp"
#include "io/importers/importers.hpp"
#include "io/importers/source_files.hpp"
#include "io/importers/voc_annotation.hpp"
#include "io/labelling/answers.hpp"
#include "io/lookup_table_file.hpp"
#include "io/pool/pool_file.hpp"
#include "io/pool/shard_manifest.hpp"
#include "io/predictions/scores_file.hpp"
#include "io/run/run_directory.hpp"
#include "io/run/run_status.hpp"
#include "src/base/check.hpp"

namespace thresher::test {

namespace {

namespace fs = std::filesystem;

/// A PNG of 2 x 1 grey pixels.
constexpr char kPixelImage[] = {-119, 80,  78, 71, 13, 10, 26, 10, 0,   0,  0,   13,  73,  72,
                                68,   82,  0,  0,  0,  2,  0,  0,  0,   1,  8,   0,   0,   0,
                                0,    -47, 73, 32, 86, 0,  0,  0,  11,  73, 68,  65,  84,  120,
                                -100, 99,  16, 80, 0,  0,  0,  67, 0,   49, -22, -35, -77, -51,
                                0,    0,   0,  0,  73, 69, 78, 68, -82, 66, 96,  -126};

void import(const char* format, const std::string& path, const std::string& scratch) {
    io::ImportOptions options;
    options.source = path;
    options.output = scratch + "/pool.h5";
    options.overwrite = io::Overwrite::yes;
    static_cast<void>(io::import_pool(format, options, {}));
}

void read_captions(const std::string& path, const std::string& scratch) {
    const std::string folder = scratch + "/captions";
    fs::create_directories(folder);
    const std::string name = fs::path(path).filename().string();
    fs::copy_file(path, folder + "/" + name, fs::copy_options::overwrite_existing);
    std::ofstream(folder + "/a.jpg") << "x";
    io::ImportOptions options;
    options.source = folder;
    options.captions = name;
    static_cast<void>(io::list_captions(io::SourceFiles(folder), options));
}

/// A file of instances beside its one image, of two pixels.
void import_coco(const std::string& path, const std::string& scratch) {
    const std::string folder = scratch + "/coco";
    fs::create_directories(folder);
    const std::string name = "instances.json";
    fs::copy_file(path, folder + "/" + name, fs::copy_options::overwrite_existing);
    std::ofstream(folder + "/a.png", std::ios::binary)
        << std::string_view(kPixelImage, sizeof kPixelImage);
    import("coco", folder, scratch);
}

const std::vector<Reader> kReaders{
    {"idx", ".idx", true,
     [](const std::string& path, const std::string& scratch) { import("idx", path, scratch); }},
    {"cifar", ".bin", true,
     [](const std::string& path, const std::string& scratch) { import("cifar", path, scratch); }},
    {"csv", ".csv", true,
     [](const std::string& path, const std::string& scratch) { import("csv", path, scratch); }},
    {"captions_tsv", ".tsv", true, read_captions},
    {"captions_json", ".json", true, read_captions},
    {"coco_instances", ".json", true,
     [](const std::string& path, const std::string&) {
         io::ProblemList problems;
         const auto instances = io::read_coco_instances(path, problems);
         io::list_box_problems(instances, problems);
         problems.report(path);
     }},
    {"coco_results", ".json", true,
     [](const std::string& path, const std::string&) {
         io::ProblemList problems;
         io::read_coco_results(path, problems, [](auto, const auto&) {});
         problems.report(path);
     }},
    {"image", ".image", true,
     [](const std::string& path, const std::string&) {
         const std::string bytes = io::read_file(path);
         static_cast<void>(io::decode_image(bytes, io::is_grey(bytes) ? 1 : 3));
         std::vector<std::byte> planes(3 * 16 * 16);
         static_cast<void>(io::decode_letter_boxed(bytes, 3, 16, planes));
     }},
    {"voc_annotation", ".xml", true,
     [](const std::string& path, const std::string&) {
         static_cast<void>(io::parse_voc_annotation(io::read_file(path)));
     }},
    {"coco", ".json", true, import_coco},
    {"archive", ".tar", true,
     [](const std::string& path, const std::string&) {
         const io::SourceFiles files(path);
         for (const std::string& name : files.names()) static_cast<void>(files.read(name));
     }},
    {"manifest", ".json", true,
     [](const std::string& path, const std::string& scratch) {
         fs::copy_file(path, scratch + "/manifest.json", fs::copy_options::overwrite_existing);
         std::vector<std::string> problems;
         static_cast<void>(io::read_manifest(scratch, problems));
     }},
    {"pool", ".h5", false,
     [](const std::string& path, const std::string&) { static_cast<void>(io::open_pool(path)); }},
    {"scores", ".h5", false,
     [](const std::string& path, const std::string&) {
         const io::ScoresFile scores(path);
         static_cast<void>(scores.acquisitions());
     }},
    {"batch", ".h5", false,
     [](const std::string& path, const std::string&) { static_cast<void>(io::read_batch(path)); }},
    {"table", ".h5", false,
     [](const std::string& path, const std::string&) {
         static_cast<void>(io::read_lookup_table(path));
     }},
    {"run", ".h5", false,
     [](const std::string& path, const std::string&) { static_cast<void>(io::read_run(path)); }},
    {"status", ".json", true,
     [](const std::string& path, const std::string&) {
         static_cast<void>(io::read_run_status(path));
     }},
    {"answers_csv", ".csv", true,
     [](const std::string& path, const std::string&) {
         static_cast<void>(io::read_answers(path));
     }},
    {"answers_json", ".json", true,
     [](const std::string& path, const std::string&) {
         static_cast<void>(io::read_answers(path));
     }},
    {"answers_xml", ".xml", true,
     [](const std::string& path, const std::string&) {
         static_cast<void>(io::read_answers(path));
     }},
    {"ids", ".txt", true,
     [](const std::string& path, const std::string&) { static_cast<void>(io::read_id_set(path)); }},
    {"labels", ".csv", true,
     [](const std::string& path, const std::string&) {
         static_cast<void>(io::read_labels(path, {"cat", "dog"}, 2));
     }},
    {"options", ".toml", true,
     [](const std::string& path, const std::string&) {
         // As jobs/job.cpp reads --config; an error of CLI11 becomes one of usage there.
         try {
             std::istringstream stream(io::read_file(path));
             static_cast<void>(CLI::ConfigTOML().from_config(stream));
         } catch (const CLI::Error& error) {
             fail<UsageError>("{}", error.what());
         }
     }},
};

}  // namespace

const std::vector<Reader>& readers() { return kReaders; }

void feed(const Reader& reader, std::string_view bytes, const std::string& scratch) {
    const std::string path = scratch + "/input" + std::string(reader.suffix);
    std::ofstream(path, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    try {
        reader.read(path, scratch);
    } catch (const Error&) {
    }
}

}  // namespace thresher::test
