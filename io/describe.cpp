#include "io/describe.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "io/atomic_file.hpp"
#include "io/batch_file.hpp"
#include "io/hdf5/file.hpp"
#include "io/lookup_table_file.hpp"
#include "io/policy_file.hpp"
#include "io/pool/pool_file.hpp"
#include "io/pool/shard_manifest.hpp"
#include "io/predictions/predictions_file.hpp"
#include "io/predictions/scores_file.hpp"
#include "io/provenance.hpp"
#include "io/quarantine_table.hpp"
#include "io/run/run_directory.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

class Lines {
  public:
    void add(const std::string& name, const std::string& value) {
        text_ += fmt::format("  {:<18} {}\n", name, value);
    }
    void heading(const std::string& text) { text_ += text + "\n"; }
    const std::string& text() const { return text_; }

  private:
    std::string text_;
};

/// The first few of `values`, and how many more there are.
template <class Values>
std::string some(const Values& values, std::size_t most = 10) {
    std::string text = fmt::format(
        "{}", fmt::join(values.begin(),
                        values.begin() + static_cast<std::ptrdiff_t>(std::min(most, values.size())),
                        ", "));
    if (values.size() > most) text += fmt::format(", ... ({} in all)", values.size());
    return text;
}

std::string size_in_words(double bytes) {
    const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int unit = 0;
    while (bytes >= 1024.0 && unit < 4) {
        bytes /= 1024.0;
        ++unit;
    }
    return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 1, units[unit]);
}

void add_provenance(Lines& lines, const hdf5::File& file) {
    for (const char* name : {"created_utc", "producer_version", "git_commit", "command_line",
                             "seed", "mpi_ranks", "inputs_checksum"}) {
        if (!hdf5::has_attribute(file.root(), name)) continue;
        const std::string value = hdf5::attribute_text(file.root(), name);
        if (!value.empty()) lines.add(name, value);
    }
}

void add_quarantine(Lines& lines, const std::vector<QuarantinedRow>& rows) {
    if (rows.empty()) return;
    lines.add("quarantined", fmt::format("{} rows", rows.size()));
    for (std::size_t i = 0; i < std::min<std::size_t>(3, rows.size()); ++i) {
        lines.add("", fmt::format("id {}: {}", rows[i].id, rows[i].reason));
    }
}

/// Images are counted in memory: not those of a larger pool.
constexpr std::int64_t kMostCompared = std::int64_t{1} << 24;

/// Captions, how many rows share their images, and how many captions belong to another one.
void describe_text(Lines& lines, const PoolFile& pool) {
    const PoolInfo& info = pool.info();
    lines.add("captions", fmt::format("{} tokens each, of a vocabulary of {}", info.token_length,
                                      info.vocabulary));
    if (pool.has_image_ids() && info.rows <= kMostCompared) {
        std::vector<std::int64_t> images(static_cast<std::size_t>(info.rows)), caption_of(images);
        pool.read_image_ids({0, info.rows}, images);
        pool.read_caption_of({0, info.rows}, caption_of);
        std::int64_t shuffled = 0;
        for (std::size_t i = 0; i < images.size(); ++i) {
            shuffled += caption_of[i] >= 0 && caption_of[i] != images[i];
        }
        if (info.has_caption_of) {
            lines.add("captions shuffled", fmt::format("{} rows have another image's", shuffled));
        }
        std::sort(images.begin(), images.end());
        lines.add("images",
                  fmt::format("{} of their own",
                              std::unique(images.begin(), images.end()) - images.begin()));
    }
    const std::string caption = pool.read_captions({0, 1})[0];
    if (!caption.empty()) lines.add("first caption", caption);
}

/// How many boxes there are, and of which classes.
void describe_boxes(Lines& lines, const PoolFile& pool) {
    const PoolInfo& info = pool.info();
    std::vector<std::int64_t> counts(static_cast<std::size_t>(info.classes), 0);
    std::int64_t all = 0, difficult = 0, crowds = 0, empty = 0;
    Boxes boxes;
    for (std::int64_t begin = 0; begin < info.rows; begin += 1 << 16) {
        pool.read_boxes({begin, std::min<std::int64_t>(info.rows, begin + (1 << 16))}, boxes);
        for (const std::int64_t c : boxes.classes) ++counts[static_cast<std::size_t>(c)];
        for (const std::uint8_t flags : boxes.flags) {
            difficult += (flags & kDifficult) != 0;
            crowds += (flags & kCrowd) != 0;
        }
        for (std::int64_t row = 0; row < boxes.rows(); ++row) empty += boxes.of(row).size() == 0;
        all += boxes.count();
    }
    lines.add("boxes", fmt::format("{} of {} classes; {} difficult, {} crowds; {} rows have none",
                                   all, info.classes, difficult, crowds, empty));
    if (!info.class_names.empty()) lines.add("classes", some(info.class_names, 20));
    lines.add("boxes by class", some(counts, 20));
}

void describe_pool(Lines& lines, const std::string& path) {
    const PoolFile pool = open_pool(path);
    const PoolInfo& info = pool.info();
    lines.add("rows", fmt::format("{}", info.rows));
    lines.add("inputs", fmt::format("{} [{}], {} a row, {} in all",
                                    info.element_type == ElementType::uint8 ? "u8" : "f32",
                                    fmt::join(info.input_shape, ", "),
                                    size_in_words(static_cast<double>(info.bytes_per_row())),
                                    size_in_words(static_cast<double>(info.rows) *
                                                  static_cast<double>(info.bytes_per_row()))));
    lines.add("normalisation", fmt::format("(x * {:.6g} - [{:.4g}]) / [{:.4g}]", info.scale,
                                           fmt::join(info.mean, ", "), fmt::join(info.std, ", ")));
    lines.add("blocks", fmt::format("{} rows each", info.block_rows));
    if (!info.has_targets) {
        if (!info.has_boxes) lines.add("targets", "none");
    } else {
        lines.add("targets", fmt::format("{} classes", info.classes));
        if (!info.class_names.empty()) lines.add("classes", some(info.class_names, 20));
        std::vector<std::int64_t> counts(static_cast<std::size_t>(info.classes), 0), targets;
        std::int64_t unknown = 0;
        for (std::int64_t begin = 0; begin < info.rows; begin += 1 << 20) {
            const RowRange rows{begin, std::min<std::int64_t>(info.rows, begin + (1 << 20))};
            targets.resize(static_cast<std::size_t>(rows.size()));
            pool.read_targets(rows, targets);
            for (std::int64_t target : targets) {
                if (target < 0) {
                    ++unknown;
                } else {
                    ++counts[static_cast<std::size_t>(target)];
                }
            }
        }
        lines.add("rows by class", some(counts, 20));
        if (unknown > 0) lines.add("target unknown", fmt::format("{} rows", unknown));
    }
    if (info.has_clean_targets) lines.add("clean targets", "yes (/targets has noise added)");
    lines.add("ids", info.has_ids ? "stored" : "equal to rows");
    if (info.has_names) {
        lines.add("names", pool.read_names({0, std::min<std::int64_t>(2, info.rows)})[0] + ", ...");
    }
    if (info.token_length > 0) describe_text(lines, pool);
    if (info.has_boxes) describe_boxes(lines, pool);
}

void describe_predictions_file(Lines& lines, const std::string& path) {
    const PredictionsInfo info = describe_predictions(path);
    lines.add("rows", fmt::format("{}", info.rows));
    if (info.output_kind != OutputKind::none) {
        const char* name = info.output_kind == OutputKind::log_probs ? "log-probabilities"
                           : info.output_kind == OutputKind::logits  ? "logits"
                                                                     : "probabilities";
        lines.add(name, fmt::format("{} samples x {} classes", info.samples, info.classes));
    }
    if (info.embedding_size > 0)
        lines.add("embeddings", fmt::format("{} numbers a row", info.embedding_size));
    if (!info.loss_roles.empty()) lines.add("losses", some(info.loss_roles));
    if (info.boxes.most > 0) {
        lines.add("boxes",
                  fmt::format("up to {} a row x {} classes and background{}{}", info.boxes.most,
                              info.boxes.classes - 1,
                              info.boxes.flips ? ", compared with mirrored ones" : "",
                              info.boxes.discrepancies ? ", seen by two class heads" : ""));
    }
    if (!info.strategy.empty()) lines.add("strategy", info.strategy);
    lines.add("ids", info.has_ids ? "stored" : "equal to rows");
}

void describe_scores(Lines& lines, const std::string& path) {
    const ScoresFile file(path);
    lines.add("rows", fmt::format("{}", file.rows()));
    lines.add("ids", file.ids_are_rows() ? "equal to rows" : "stored");
    std::vector<float> scores;
    for (const std::string& acquisition : file.acquisitions()) {
        double least = INFINITY, most = -INFINITY, sum = 0.0;
        std::int64_t finite = 0;
        for (std::int64_t begin = 0; begin < file.rows(); begin += 1 << 22) {
            const RowRange rows{begin, std::min<std::int64_t>(file.rows(), begin + (1 << 22))};
            scores.resize(static_cast<std::size_t>(rows.size()));
            file.read(acquisition, rows, scores);
            for (float score : scores) {
                if (!std::isfinite(score)) continue;
                least = std::min(least, static_cast<double>(score));
                most = std::max(most, static_cast<double>(score));
                sum += static_cast<double>(score);
                ++finite;
            }
        }
        lines.add(acquisition, finite == 0
                                   ? std::string("no finite score")
                                   : fmt::format("lowest {:.6g}, mean {:.6g}, highest {:.6g}",
                                                 least, sum / static_cast<double>(finite), most));
    }
}

void describe_batch(Lines& lines, const std::string& path) {
    const Batch batch = read_batch(path);
    lines.add("picked", fmt::format("{} rows", batch.ids.size()));
    lines.add("acquisition", batch.acquisition);
    lines.add("selector", batch.beta ? fmt::format("{}, beta {:g}", batch.selector, *batch.beta)
                                     : batch.selector);
    lines.add("round", fmt::format("{}", batch.round));
    lines.add("first ids", some(batch.ids, 5));
    if (!batch.scores.empty()) {
        lines.add("scores", fmt::format("{:.6g} (first) to {:.6g} (last)", batch.scores.front(),
                                        batch.scores.back()));
    }
    if (!batch.names.empty()) lines.add("first names", some(batch.names, 3));
}

void describe_policy(Lines& lines, const std::string& path) {
    const TrainedPolicy trained = read_policy(path);
    lines.add("head", trained.policy.head);
    lines.add("reads", fmt::format("{}", fmt::join(trained.feature_kinds, ", ")));
    lines.add("hidden size", fmt::format("{}", trained.policy.shape.hidden));
    lines.add("parameters", fmt::format("{}", trained.policy.parameters.size()));
    lines.add("trained for",
              fmt::format("batches of {} in {}{}", trained.picks, trained.environment,
                          trained.retrainings > 0
                              ? fmt::format(", {} retrained in each", trained.retrainings)
                              : ""));
    const auto gain = trained.curves.find("gain");
    if (gain != trained.curves.end() && !gain->second.empty()) {
        lines.add("last gain", fmt::format("{:+.2f} standard deviations of random batches, after "
                                           "{} updates",
                                           gain->second.back(), gain->second.size()));
    }
}

void describe_run_file(Lines& lines, const std::string& path) {
    const RunRecord run = read_run(path);
    for (const auto& [name, curve] : run.curves) {
        lines.add(name, curve.values.empty()
                            ? std::string("no value yet")
                            : fmt::format("[{}], last {:.6g} {}", fmt::join(curve.shape, ", "),
                                          curve.values.back(), curve.unit));
    }
    if (!run.batches.empty()) lines.add("batches", fmt::format("{}", run.batches.size()));
    for (const auto& [name, value] : run.ledger) lines.add(name, fmt::format("{:.6g}", value));
}

void describe_table(Lines& lines, const std::string& path) {
    const LookupTable table = read_lookup_table(path);
    lines.add("records", fmt::format("{}", table.size()));
    lines.add("candidates", fmt::format("{}", table.subsets.candidates()));
    std::map<std::int64_t, std::int64_t> sizes;
    for (std::int64_t i = 0; i < table.size(); ++i) ++sizes[table.subsets.members_count(i)];
    for (const auto& [size, count] : sizes) {
        lines.add(fmt::format("subsets of {}", size), fmt::format("{}", count));
    }
    for (const auto& [metric, values] : table.metrics) {
        lines.add(metric, fmt::format("{} training{} of each", table.repeats,
                                      table.repeats == 1 ? "" : "s"));
    }
    lines.add("proxy", table.proxy);
}

void describe_map(Lines& lines, const hdf5::File& file) {
    for (const char* name : {"metric", "mean_average_precision"}) {
        lines.add(name, hdf5::attribute_text(file.root(), name));
    }
    const auto names = hdf5::read_strings(file.root(), "class_names");
    if (names) lines.add("classes", some(*names));
}

std::string describe_hdf5(const std::string& path) {
    const hdf5::File file = hdf5::File::open(path);
    const std::string format = format_of(file);
    Lines lines;
    lines.heading(fmt::format("{}: {}, {}", path,
                              format.empty() ? "an HDF5 file that Thresher did not write" : format,
                              size_in_words(static_cast<double>(fs::file_size(path)))));
    if (format == "thresher-pool") {
        describe_pool(lines, path);
    } else if (format == "thresher-predictions") {
        describe_predictions_file(lines, path);
    } else if (format == "thresher-scores") {
        describe_scores(lines, path);
    } else if (format == "thresher-batch") {
        describe_batch(lines, path);
    } else if (format == "thresher-policy") {
        describe_policy(lines, path);
    } else if (format == "thresher-table") {
        describe_table(lines, path);
    } else if (format == "thresher-map") {
        describe_map(lines, file);
    } else if (format == "thresher-run") {
        describe_run_file(lines, path);
    } else {
        for (const std::string& name : file.list("/")) {
            if (!file.is_dataset("/" + name)) {
                lines.add("/" + name, fmt::format("group of {}", some(file.list("/" + name))));
                continue;
            }
            const hdf5::Dataset dataset = file.dataset("/" + name);
            lines.add("/" + name, fmt::format("{} [{}], {}", hdf5::type_name(dataset.type()),
                                              fmt::join(dataset.shape(), ", "), dataset.layout()));
        }
        lines.add("use it as a pool", "--inputs /path/in/file --targets /path/in/file");
    }
    if (!format.empty()) add_quarantine(lines, read_quarantine(file));
    add_provenance(lines, file);
    return lines.text();
}

std::string describe_directory(const std::string& path) {
    Lines lines;
    const std::string manifest = path + "/manifest.json";
    if (fs::exists(manifest)) {
        const auto json = nlohmann::json::parse(read_file(manifest), nullptr, false);
        THRESHER_CHECK_AS(FileError, json.is_object(), "{}: is damaged", manifest);
        if (json.value("format", "") == "thresher-checkpoint") {
            lines.heading(path + ": a checkpoint");
            lines.add("step", json.at("step").dump());
            for (const auto& file : json.at("files")) {
                lines.add(file.at("file").get<std::string>(),
                          size_in_words(file.at("bytes").get<double>()));
            }
            return lines.text();
        }
        std::vector<std::string> problems;
        const ShardManifest shards = read_manifest(path, problems);
        lines.heading(fmt::format("{}: a pool of {} shards", path, shards.shards.size()));
        for (const std::string& problem : problems) lines.add("problem", problem);
        if (problems.empty()) describe_pool(lines, path);
        return lines.text();
    }
    if (fs::exists(path + "/run.h5") || fs::exists(path + "/checkpoints")) {
        lines.heading(path + ": a run directory");
        if (fs::exists(path + "/checkpoints")) {
            std::vector<std::string> names;
            for (const auto& entry : fs::directory_iterator(path + "/checkpoints")) {
                names.push_back(entry.path().filename().string());
            }
            std::sort(names.begin(), names.end());
            lines.add("checkpoints", some(names));
        }
        return lines.text() + (fs::exists(path + "/run.h5") ? describe_hdf5(path + "/run.h5") : "");
    }
    fail<FileError>(
        "{}: is a directory, but neither a sharded pool (manifest.json), a checkpoint nor a run "
        "(run.h5); a folder of images becomes a pool with `thresher import images`",
        path);
}

/// A text file: labels, ids, or something else.
std::string describe_text(const std::string& path) {
    const std::string text = read_file(path);
    const std::string first =
        text.substr(0, std::min(text.find_first_of("\r\n"), std::size_t{200}));
    const bool printable = std::all_of(first.begin(), first.end(), [](char c) {
        return c == '\t' || static_cast<unsigned char>(c) >= 32;
    });
    if (text.empty()) return path + ": an empty file\n";
    if (!printable)
        return path +
               ": no file of Thresher's, and no text; `thresher list` shows what can be "
               "imported\n";
    const auto count = std::count(text.begin(), text.end(), '\n');
    const bool labels =
        first.find("id") != std::string::npos && first.find("label") != std::string::npos;
    return fmt::format("{}: {}, {} lines, the first is \"{}\"\n", path,
                       labels ? "a list of labels (CSV)" : "a text file", count, first);
}

}  // namespace

std::string describe(const std::string& path) {
    THRESHER_CHECK_AS(FileError, fs::exists(path), "{}: does not exist", path);
    if (fs::is_directory(path)) {
        const bool slash = path.size() > 1 && path.back() == '/';
        return describe_directory(slash ? path.substr(0, path.size() - 1) : path);
    }
    const std::string extension = fs::path(path).extension().string();
    if (extension == ".csv" || extension == ".txt" || extension == ".toml")
        return describe_text(path);
    char signature[4] = {};
    if (std::FILE* file = std::fopen(path.c_str(), "rb")) {
        const std::size_t count = std::fread(signature, 1, sizeof signature, file);
        std::fclose(file);
        const std::string_view found(signature, count);
        if (extension != ".h5" && found != "\x89HDF") return describe_text(path);
    }
    return describe_hdf5(path);
}

}  // namespace thresher::io
