// CIFAR-10 and CIFAR-100 in their binary layout: one or two label bytes and 3072 bytes [3, 32, 32]
// a row.

#include <algorithm>
#include <filesystem>
#include <optional>

#include "io/atomic_file.hpp"
#include "io/csv.hpp"
#include "io/importers/byte_stream.hpp"
#include "io/importers/formats.hpp"
#include "io/importers/import_sink.hpp"
#include "io/importers/tar.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kPixels = 3 * 32 * 32;
constexpr std::int64_t kMostNames = std::int64_t{1} << 20;

bool is_train_file(const std::string& name) {
    return name.starts_with("data_batch_") || name == "train.bin";
}

bool is_test_file(const std::string& name) {
    return name == "test_batch.bin" || name == "test.bin";
}

class CifarImport {
  public:
    CifarImport(const ImportOptions& options, const Provenance& provenance) : options_(options) {
        THRESHER_CHECK_AS(
            UsageError,
            options.split == "train" || options.split == "test" || options.split == "all",
            "--split is \"{}\"; allowed for cifar: train, test, all", options.split);
        PoolSchema schema;
        schema.input_shape = {3, 32, 32};
        schema.scale = 1.0 / 255.0;
        schema.targets = true;
        sink_.emplace(options, schema, provenance);
    }

    bool wants(const std::string& name) const {
        if (!name.ends_with(".bin")) return false;
        if (options_.split == "all") return is_train_file(name) || is_test_file(name);
        return options_.split == "train" ? is_train_file(name) : is_test_file(name);
    }

    /// `size` bytes of `stream` are one binary file called `name`.
    void add_file(ByteStream& stream, const std::string& name, std::int64_t size) {
        const bool fine_and_coarse =
            name == "train.bin" || name == "test.bin" || size % (kPixels + 1) != 0;
        const std::int64_t labels = fine_and_coarse ? 2 : 1;
        THRESHER_CHECK_AS(
            FileError, size > 0 && size % (kPixels + labels) == 0,
            "{}: {} has {} bytes, no whole number of CIFAR rows ({} or {} bytes each); it "
            "is truncated or of another format",
            stream.path(), name, size, kPixels + 1, kPixels + 2);
        const std::int64_t classes = labels == 1 ? 10 : options_.coarse_labels ? 20 : 100;
        THRESHER_CHECK_AS(FileError, classes_ == 0 || classes == classes_,
                          "{}: mixes CIFAR-10 and CIFAR-100 files", stream.path());
        classes_ = classes;
        std::vector<std::byte> row(static_cast<std::size_t>(kPixels + labels));
        for (std::int64_t done = 0; done < size; done += kPixels + labels) {
            stream.read_exactly(row.data(), row.size(), name);
            const std::size_t at = labels == 2 && !options_.coarse_labels ? 1 : 0;
            const auto target = std::to_integer<std::int64_t>(row[at]);
            if (target >= classes) {
                sink_->quarantine(position_++,
                                  fmt::format("label {} is out of range, allowed are 0 to {}",
                                              target, classes - 1));
                continue;
            }
            sink_->add(position_++, std::span(row).subspan(static_cast<std::size_t>(labels)),
                       target);
        }
    }

    bool is_names_file(const std::string& name) const {
        return name == "batches.meta.txt" ||
               name == (options_.coarse_labels ? "coarse_label_names.txt" : "fine_label_names.txt");
    }

    void set_names(std::string_view text) {
        std::string_view line;
        names_.clear();
        while (next_line(text, line)) {
            if (!line.empty()) names_.emplace_back(line);
        }
    }

    ImportReport finish() {
        THRESHER_CHECK_AS(
            FileError, classes_ > 0,
            "{}: holds no CIFAR file of the split {} (data_batch_1.bin, test_batch.bin, "
            "train.bin, test.bin)",
            options_.source, options_.split);
        if (options_.class_names.empty() && std::cmp_equal(names_.size(), classes_)) {
            sink_->set_class_names(names_);
        }
        return sink_->finish();
    }

  private:
    const ImportOptions& options_;
    std::optional<ImportSink> sink_;
    std::int64_t classes_ = 0, position_ = 0;
    std::vector<std::string> names_;
};

void import_archive(CifarImport& import, const std::string& path) {
    ByteStream stream(path);
    for_each_in_tar(stream, [&](const TarEntry& entry) {
        const std::string name = fs::path(entry.name).filename().string();
        if (import.wants(name)) {
            import.add_file(stream, name, entry.size);
        } else if (import.is_names_file(name) && entry.size <= kMostNames) {
            std::string text(static_cast<std::size_t>(entry.size), '\0');
            stream.read_exactly(text.data(), text.size(), name);
            import.set_names(text);
        } else {
            stream.skip(entry.size);
        }
    });
}

void import_directory(CifarImport& import, const std::string& directory) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(directory)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
        const std::string name = file.filename().string();
        if (import.is_names_file(name)) import.set_names(read_file(file.string()));
        if (!import.wants(name)) continue;
        ByteStream stream(file.string());
        import.add_file(stream, name, static_cast<std::int64_t>(fs::file_size(file)));
    }
}

}  // namespace

ImportReport import_cifar(const ImportOptions& options, const Provenance& provenance) {
    THRESHER_CHECK_AS(FileError, fs::exists(options.source), "{}: does not exist", options.source);
    CifarImport import(options, provenance);
    if (fs::is_directory(options.source)) {
        import_directory(import, options.source);
    } else if (options.source.ends_with(".bin")) {
        ByteStream stream(options.source);
        import.add_file(stream, fs::path(options.source).filename().string(),
                        static_cast<std::int64_t>(fs::file_size(options.source)));
    } else {
        import_archive(import, options.source);
    }
    return import.finish();
}

}  // namespace thresher::io
