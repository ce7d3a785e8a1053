#include "io/pool_writer.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "io/checksum.hpp"
#include "io/hdf5/file.hpp"
#include "io/pool_file.hpp"
#include "io/quarantine_table.hpp"
#include "io/shard_manifest.hpp"
#include "src/base/check.hpp"
#include "src/pool/blocks.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kColumnChunkRows = (std::int64_t{1} << 20) / 8;

/// A directory that goes away again, with what is in it, unless kept.
class NewDirectory {
  public:
    explicit NewDirectory(const std::string& path) : path_(path) {
        std::error_code error;
        made_ = fs::create_directory(path, error);
        THRESHER_CHECK_AS(FileError, !error, "{}: the directory cannot be made: {}", path,
                          error.message());
    }
    ~NewDirectory() {
        std::error_code ignored;
        if (made_) fs::remove_all(path_, ignored);
    }
    NewDirectory(const NewDirectory&) = delete;
    NewDirectory& operator=(const NewDirectory&) = delete;
    void keep() { made_ = false; }

  private:
    std::string path_;
    bool made_ = false;
};

/// What every row of a pool has, for messages.
std::string described(const std::vector<std::int64_t>& shape, ElementType type, bool targets,
                      bool ids, bool names, bool clean_targets) {
    std::string text =
        fmt::format("{} [{}]", type == ElementType::uint8 ? "u8" : "f32", fmt::join(shape, ", "));
    for (const auto& [has, name] :
         {std::pair(targets, "targets"), std::pair(ids, "ids"), std::pair(names, "names"),
          std::pair(clean_targets, "clean targets")}) {
        if (has) text += fmt::format(" with {}", name);
    }
    return text;
}

}  // namespace

class PoolWriter::Body {
  public:
    Body(const std::string& path, PoolSchema schema, Provenance provenance,
         PoolWriterOptions options)
        : path_(path),
          schema_(std::move(schema)),
          provenance_(std::move(provenance)),
          options_(options) {
        info_.input_shape = schema_.input_shape;
        info_.element_type = schema_.element_type;
        THRESHER_CHECK(!schema_.input_shape.empty() && info_.elements_per_row() > 0,
                       "{}: a pool of examples of shape [{}]", path,
                       fmt::join(schema_.input_shape, ", "));
        if (sharded()) {
            prepare_directory();
        } else {
            THRESHER_CHECK_AS(UsageError, !options_.append,
                              "{}: rows can only be added to a pool that is a directory of shards",
                              path);
        }
        open_shard();
    }

    void append(PoolRows rows) {
        check(rows);
        if (fills_clean_targets_ || fills_source_ids_) {
            unknown_.resize(static_cast<std::size_t>(rows.rows), -1);
            const auto unknown = std::span(unknown_).first(static_cast<std::size_t>(rows.rows));
            if (fills_clean_targets_) rows.clean_targets = unknown;
            if (fills_source_ids_) rows.source_ids = unknown;
        }
        for (std::int64_t done = 0; done < rows.rows;) {
            if (sharded() && shards_.back().rows == options_.rows_per_shard) {
                close_shard();
                open_shard();
            }
            const std::int64_t room =
                sharded() ? options_.rows_per_shard - shards_.back().rows : rows.rows;
            const std::int64_t count = std::min(rows.rows - done, room);
            write(rows, done, count);
            done += count;
        }
    }

    std::int64_t rows() const { return rows_; }
    PoolSchema& schema() { return schema_; }
    std::vector<QuarantinedRow>& quarantine() { return quarantine_; }

    void finish() {
        THRESHER_CHECK_AS(FileError, rows_ > 0, "{}: no row to write, a pool cannot be empty",
                          path_);
        close_shard();
        if (schema_.classes == 0) {
            schema_.classes = std::max(largest_target_ + 1,
                                       static_cast<std::int64_t>(schema_.class_names.size()));
        }
        THRESHER_CHECK_AS(FileError, !options_.append || schema_.class_names == class_names_there_,
                          "{}: the rows to add have the classes [{}], the pool there [{}]; give "
                          "--class-names in the order of the pool",
                          path_, fmt::join(schema_.class_names, ", "),
                          fmt::join(class_names_there_, ", "));
        const std::string manifest = path_ + "/manifest.json";
        for (std::size_t i = 0; i < shards_.size(); ++i) describe(shards_[i], i == 0);
        if (sharded() && !options_.append) fs::remove(manifest);
        for (Shard& shard : shards_) {
            shard.place->commit();
            if (!sharded()) continue;
            manifest_.shards.push_back(
                {shard.place->path(), manifest_.rows(), shard.rows,
                 static_cast<std::int64_t>(fs::file_size(shard.place->path())),
                 checksum_of_file(shard.place->path())});
        }
        if (!sharded()) return;
        manifest_.classes = std::max(manifest_.classes, schema_.classes);
        write_manifest(path_, manifest_);
        directory_->keep();
        // A longer pool that was replaced leaves shards that no manifest names.
        for (std::size_t i = first_shard_ + shards_.size(); fs::remove(shard_path(i)); ++i) {
        }
    }

  private:
    struct Shard {
        std::unique_ptr<AtomicFile> place;
        std::int64_t rows = 0;
    };

    std::string shard_path(std::size_t index) const {
        return fmt::format("{}/{:06}.h5", path_, index);
    }
    bool sharded() const { return options_.rows_per_shard > 0 || options_.append; }

    void prepare_directory() {
        if (options_.rows_per_shard == 0) options_.rows_per_shard = std::int64_t{1} << 40;
        THRESHER_CHECK_AS(
            FileError, !fs::exists(path_) || fs::is_directory(path_),
            "{}: is a file, a directory of shards is to be written; choose another name", path_);
        if (options_.append) {
            std::vector<std::string> problems;
            manifest_ = read_manifest(path_, problems);
            const PoolInfo old = open_pool(path_).info();
            THRESHER_CHECK_AS(FileError,
                              old.input_shape == schema_.input_shape &&
                                  old.element_type == schema_.element_type &&
                                  old.has_targets == schema_.targets &&
                                  old.has_ids == schema_.ids && old.has_names == schema_.names &&
                                  (old.has_clean_targets || !schema_.clean_targets),
                              "{}: rows of {} do not fit the pool there, of {}", path_,
                              described(schema_.input_shape, schema_.element_type, schema_.targets,
                                        schema_.ids, schema_.names, schema_.clean_targets),
                              described(old.input_shape, old.element_type, old.has_targets,
                                        old.has_ids, old.has_names, old.has_clean_targets));
            // What is known of the rows there and not of these is unknown.
            fills_clean_targets_ = old.has_clean_targets && !schema_.clean_targets;
            fills_source_ids_ = !schema_.source_ids &&
                                hdf5::File::open(manifest_.shards[0].path).has("/source_ids");
            first_shard_ = manifest_.shards.size();
            schema_.scale = old.scale;
            schema_.mean = old.mean;
            schema_.std = old.std;
            schema_.class_names = class_names_there_ = old.class_names;
        } else {
            THRESHER_CHECK_AS(
                FileError,
                options_.overwrite == Overwrite::yes || !fs::exists(path_) || fs::is_empty(path_),
                "{}: exists already; pass --overwrite to replace it, or choose another "
                "name",
                path_);
        }
        directory_.emplace(path_);
    }

    void open_shard() {
        const std::string path = sharded() ? shard_path(first_shard_ + shards_.size()) : path_;
        shards_.push_back({std::make_unique<AtomicFile>(
                               path, options_.append ? Overwrite::yes : options_.overwrite),
                           0});
        file_.emplace(hdf5::File::create(shards_.back().place->temporary()));
        columns_.clear();
        write_provenance(*file_, "thresher-pool", provenance_);
        if (!schema_.ids) hdf5::write_attribute(file_->root(), "ids", std::string("rows"));
        if (sharded()) hdf5::write_attribute(file_->root(), "first_row", manifest_.rows() + rows_);
        fixed_rows_ = options_.expected_rows == 0 ? 0 : options_.expected_rows - rows_;
        if (sharded()) fixed_rows_ = std::min(fixed_rows_, options_.rows_per_shard);
        std::vector<std::int64_t> shape{fixed_rows_};
        shape.insert(shape.end(), schema_.input_shape.begin(), schema_.input_shape.end());
        inputs_.emplace(file_->create_dataset(
            {.name = "/inputs",
             .type = input_type(),
             .shape = shape,
             .description = "one example a row",
             .chunk_rows = fixed_rows_ > 0 ? 0 : default_block_rows(info_.bytes_per_row())}));
        make_column(schema_.targets, "/targets", "class of each row, -1 = unknown");
        make_column(schema_.clean_targets || fills_clean_targets_, "/clean_targets",
                    "true class, where /targets has noise added");
        make_column(schema_.ids, "/ids", "permanent global id of each row");
        make_column(schema_.source_ids || fills_source_ids_, "/source_ids",
                    "id of the row in the pool that this one was derived from");
        if (schema_.names) {
            names_.emplace(file_->create_dataset(
                {.name = "/names",
                 .type = hdf5::Type::text,
                 .shape = {fixed_rows_},
                 .description = "name of each row, such as its file",
                 .text_bytes = schema_.name_bytes > 0 ? schema_.name_bytes : 255,
                 .chunk_rows = fixed_rows_ > 0 ? 0 : kColumnChunkRows}));
        }
    }

    void make_column(bool wanted, const char* name, const char* description) {
        if (!wanted) return;
        columns_.emplace(
            name, file_->create_dataset({.name = name,
                                         .type = hdf5::Type::int64,
                                         .shape = {fixed_rows_},
                                         .description = description,
                                         .chunk_rows = fixed_rows_ > 0 ? 0 : kColumnChunkRows}));
    }

    hdf5::Type input_type() const {
        return schema_.element_type == ElementType::uint8 ? hdf5::Type::uint8 : hdf5::Type::float32;
    }

    void check(const PoolRows& rows) const {
        const auto count = static_cast<std::size_t>(rows.rows);
        const auto fits = [&](std::size_t size, bool wanted) {
            return size == (wanted ? count : 0);
        };
        THRESHER_CHECK(
            rows.inputs.size() == count * static_cast<std::size_t>(info_.bytes_per_row()) &&
                fits(rows.targets.size(), schema_.targets) &&
                fits(rows.clean_targets.size(), schema_.clean_targets) &&
                fits(rows.ids.size(), schema_.ids) &&
                fits(rows.source_ids.size(), schema_.source_ids) &&
                fits(rows.names.size(), schema_.names),
            "{}: the arrays of {} rows to append do not fit the pool's datasets", path_, rows.rows);
    }

    void write(const PoolRows& rows, std::int64_t from, std::int64_t count) {
        const std::int64_t first = shards_.back().rows;
        const RowRange into{first, first + count};
        THRESHER_CHECK(fixed_rows_ == 0 || into.end <= fixed_rows_,
                       "{}: more rows are appended than the {} that were announced", path_,
                       options_.expected_rows);
        const auto offset = static_cast<std::size_t>(from), size = static_cast<std::size_t>(count);
        const auto row_bytes = static_cast<std::size_t>(info_.bytes_per_row());
        if (fixed_rows_ == 0) grow(into.end);
        inputs_->write_rows(into, input_type(),
                            rows.inputs.subspan(offset * row_bytes, size * row_bytes));
        const auto column = [&](const char* name, std::span<const std::int64_t> values) {
            if (values.empty()) return;
            columns_.at(name).write_rows(into, hdf5::Type::int64,
                                         std::as_bytes(values.subspan(offset, size)));
        };
        column("/targets", rows.targets);
        column("/clean_targets", rows.clean_targets);
        column("/ids", rows.ids);
        column("/source_ids", rows.source_ids);
        if (names_) names_->write_text(into, rows.names.subspan(offset, size));
        for (auto classes : {rows.targets, rows.clean_targets}) {
            for (std::int64_t target : classes) largest_target_ = std::max(largest_target_, target);
        }
        shards_.back().rows += count;
        rows_ += count;
    }

    void grow(std::int64_t rows) {
        inputs_->resize_rows(rows);
        for (auto& [name, column] : columns_) column.resize_rows(rows);
        if (names_) names_->resize_rows(rows);
    }

    void close_shard() {
        if (!file_) return;
        THRESHER_CHECK(fixed_rows_ == 0 || shards_.back().rows == fixed_rows_,
                       "{}: {} rows were announced, but only {} appended", path_,
                       options_.expected_rows, rows_);
        inputs_.reset();
        columns_.clear();
        names_.reset();
        file_->close();
        file_.reset();
    }

    /// Attributes that are known only at the end.
    void describe(const Shard& shard, bool first) {
        hdf5::File file = hdf5::File::open_writable(shard.place->temporary());
        {
            const hdf5::Dataset inputs = file.dataset("/inputs");
            hdf5::write_attribute(inputs.ref(), "scale", schema_.scale);
            hdf5::write_attribute(inputs.ref(), "mean", schema_.mean);
            hdf5::write_attribute(inputs.ref(), "std", schema_.std);
        }
        for (const char* name : {"/targets", "/clean_targets"}) {
            if (!file.has(name)) continue;
            const hdf5::Dataset targets = file.dataset(name);
            hdf5::write_attribute(targets.ref(), "classes", schema_.classes);
            if (!schema_.class_names.empty()) {
                hdf5::write_attribute(targets.ref(), "class_names", schema_.class_names);
            }
        }
        if (!file.has("/targets") && !schema_.class_names.empty()) {
            hdf5::write_attribute(file.root(), "class_names", schema_.class_names);
        }
        if (first && !quarantine_.empty()) write_quarantine(file, quarantine_);
        file.close();
    }

    std::string path_;
    PoolSchema schema_;
    Provenance provenance_;
    PoolWriterOptions options_;
    PoolInfo info_;
    std::vector<std::string> class_names_there_;  ///< of the pool that rows are added to
    /// Whether that pool has what the rows that are added lack.
    bool fills_clean_targets_ = false, fills_source_ids_ = false;
    std::vector<std::int64_t> unknown_;  ///< -1 throughout
    ShardManifest manifest_;
    std::size_t first_shard_ = 0;
    std::int64_t rows_ = 0, fixed_rows_ = 0, largest_target_ = -1;
    std::vector<QuarantinedRow> quarantine_;
    // Destroyed in reverse: the open file, then the temporary files, then the directory.
    std::optional<NewDirectory> directory_;
    std::vector<Shard> shards_;
    std::optional<hdf5::File> file_;
    std::optional<hdf5::Dataset> inputs_, names_;
    std::map<std::string, hdf5::Dataset> columns_;
};

PoolWriter::PoolWriter(const std::string& path, PoolSchema schema, Provenance provenance,
                       PoolWriterOptions options)
    : body_(std::make_unique<Body>(path, std::move(schema), std::move(provenance), options)) {}

PoolWriter::~PoolWriter() = default;

void PoolWriter::append(const PoolRows& rows) { body_->append(rows); }
std::int64_t PoolWriter::rows() const { return body_->rows(); }

void PoolWriter::set_normalisation(std::vector<double> mean, std::vector<double> std) {
    body_->schema().mean = std::move(mean);
    body_->schema().std = std::move(std);
}

void PoolWriter::set_class_names(std::vector<std::string> class_names) {
    body_->schema().class_names = std::move(class_names);
}

void PoolWriter::set_quarantine(std::vector<QuarantinedRow> rows) {
    body_->quarantine() = std::move(rows);
}

void PoolWriter::finish() { body_->finish(); }

}  // namespace thresher::io
