#include "io/pool/pool_writer.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "io/checksum.hpp"
#include "io/file_lock.hpp"
#include "io/hdf5/file.hpp"
#include "io/pool/pool_datasets.hpp"
#include "io/pool/pool_file.hpp"
#include "io/pool/shard_manifest.hpp"
#include "io/quarantine_table.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

/// Shards are written by one process at a time.
class ShardLock {
  public:
    explicit ShardLock(const std::string& pool)
        : lock_(pool + kName, "this pool, which is being written,", "write another") {}
    ~ShardLock() { lock_.remove(); }
    ShardLock(const ShardLock&) = delete;
    ShardLock& operator=(const ShardLock&) = delete;

    /// Whether a process was killed here before there was a pool.
    static bool left_alone(const std::string& pool) {
        return fs::exists(pool + kName) && !fs::exists(pool + "/manifest.json");
    }

  private:
    static constexpr const char* kName = "/writer.lock";
    FileLock lock_;
};

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
std::string described(const PoolSchema& schema) {
    std::string text =
        fmt::format("{} [{}]", schema.element_type == ElementType::uint8 ? "u8" : "f32",
                    fmt::join(schema.input_shape, ", "));
    for (const auto& [has, name] :
         {std::pair(schema.targets, "targets"), std::pair(schema.ids, "ids"),
          std::pair(schema.names, "names"), std::pair(schema.clean_targets, "clean targets"),
          std::pair(schema.text.image_ids, "image ids"),
          std::pair(schema.text.caption_of, "shuffled captions"),
          std::pair(schema.boxes.present, "boxes"), std::pair(schema.boxes.areas, "box areas"),
          std::pair(schema.boxes.image_sizes, "image sizes")}) {
        if (has) text += fmt::format(" with {}", name);
    }
    if (schema.text.length > 0) text += fmt::format(" with {} tokens", schema.text.length);
    return text;
}

/// What every row of a pool there has, as far as it says whether others can be added.
PoolSchema schema_of(const PoolFile& pool) {
    const PoolInfo& info = pool.info();
    PoolSchema schema;
    schema.input_shape = info.input_shape;
    schema.element_type = info.element_type;
    schema.targets = info.has_targets;
    schema.clean_targets = info.has_clean_targets;
    schema.ids = info.has_ids;
    schema.names = info.has_names;
    schema.text.length = info.token_length;
    schema.text.image_ids = pool.has_image_ids();
    schema.text.caption_of = info.has_caption_of;
    schema.boxes = {info.has_boxes, info.has_box_areas, info.has_image_sizes};
    return schema;
}

/// Whether rows of `added` can stand in a pool whose rows have `there`. What is known of those
/// there alone, such as the truth behind noise, is unknown of the others.
bool fits(const PoolSchema& added, const PoolSchema& there) {
    return added.input_shape == there.input_shape && added.element_type == there.element_type &&
           added.targets == there.targets && added.ids == there.ids && added.names == there.names &&
           added.text.length == there.text.length && added.text.image_ids == there.text.image_ids &&
           added.boxes.present == there.boxes.present && added.boxes.areas == there.boxes.areas &&
           added.boxes.image_sizes == there.boxes.image_sizes &&
           (there.clean_targets || !added.clean_targets) &&
           (there.text.caption_of || !added.text.caption_of);
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
        unknown_.resize(static_cast<std::size_t>(rows.rows), -1);
        if (fills_.clean_targets) rows.clean_targets = unknown_;
        if (fills_.source_ids) rows.source_ids = unknown_;
        if (fills_.text.caption_of) rows.caption_of = unknown_;
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
        lock_.reset();
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
            if (fs::is_directory(path_)) lock_.emplace(path_);
            std::vector<std::string> problems;
            manifest_ = read_manifest(path_, problems);
            const PoolFile pool = open_pool(path_);
            const PoolSchema there = schema_of(pool);
            THRESHER_CHECK_AS(FileError, fits(schema_, there),
                              "{}: rows of {} do not fit the pool there, of {}", path_,
                              described(schema_), described(there));
            THRESHER_CHECK_AS(
                FileError, there.text.length == 0 || pool.vocabulary() == schema_.text.vocabulary,
                "{}: the captions to add were encoded in another vocabulary than those there; "
                "give that one with --vocabulary",
                path_);
            fills_.clean_targets = there.clean_targets && !schema_.clean_targets;
            fills_.text.caption_of = there.text.caption_of && !schema_.text.caption_of;
            fills_.source_ids = !schema_.source_ids &&
                                hdf5::File::open(manifest_.shards[0].path).has("/source_ids");
            const PoolInfo& old = pool.info();
            first_shard_ = manifest_.shards.size();
            schema_.scale = old.scale;
            schema_.mean = old.mean;
            schema_.std = old.std;
            class_names_there_ = old.class_names;
            if (schema_.class_names.empty() || old.class_names.empty()) {
                schema_.class_names = old.class_names;
            }
            directory_.emplace(path_);
        } else {
            const bool is_left = ShardLock::left_alone(path_);
            THRESHER_CHECK_AS(
                FileError,
                options_.overwrite == Overwrite::yes || !fs::exists(path_) || fs::is_empty(path_) ||
                    is_left,
                "{}: exists already; pass --overwrite to replace it, or choose another "
                "name",
                path_);
            directory_.emplace(path_);
            lock_.emplace(path_);
            if (is_left) {
                options_.overwrite = Overwrite::yes;
                for (const auto& entry : fs::directory_iterator(path_)) {
                    if (entry.path().extension() == ".tmp") fs::remove(entry.path());
                }
            }
        }
    }

    void open_shard() {
        const std::string path = sharded() ? shard_path(first_shard_ + shards_.size()) : path_;
        shards_.push_back({std::make_unique<AtomicFile>(
                               path, options_.append ? Overwrite::yes : options_.overwrite),
                           0});
        file_.emplace(hdf5::File::create(shards_.back().place->temporary()));
        write_provenance(*file_, "thresher-pool", provenance_);
        if (!schema_.ids) hdf5::write_attribute(file_->root(), "ids", std::string("rows"));
        if (sharded()) hdf5::write_attribute(file_->root(), "first_row", manifest_.rows() + rows_);
        THRESHER_CHECK(options_.expected_rows == 0 || rows_ < options_.expected_rows,
                       "{}: more rows are appended than the {} that were announced", path_,
                       options_.expected_rows);
        fixed_rows_ = options_.expected_rows == 0 ? 0 : options_.expected_rows - rows_;
        if (sharded()) fixed_rows_ = std::min(fixed_rows_, options_.rows_per_shard);
        PoolSchema written = schema_;
        written.clean_targets = schema_.clean_targets || fills_.clean_targets;
        written.source_ids = schema_.source_ids || fills_.source_ids;
        written.text.caption_of = schema_.text.caption_of || fills_.text.caption_of;
        datasets_.emplace(*file_, written, fixed_rows_);
    }

    bool fits_schema(const Boxes* boxes, std::int64_t rows) const {
        const BoxSchema& schema = schema_.boxes;
        if (!schema.present || boxes == nullptr) return !schema.present && boxes == nullptr;
        const auto count = static_cast<std::size_t>(boxes->count());
        return boxes->rows() == rows && boxes->corners.size() == 4 * count &&
               boxes->classes.size() == count && boxes->flags.size() == count &&
               boxes->areas.size() == (schema.areas ? count : 0) &&
               std::cmp_equal(boxes->image_sizes.size(), schema.image_sizes ? 2 * rows : 0);
    }

    void check(const PoolRows& rows) const {
        const auto count = static_cast<std::size_t>(rows.rows);
        const auto has = [&](std::size_t size, bool wanted) {
            return size == (wanted ? count : 0);
        };
        const TextSchema& text = schema_.text;
        THRESHER_CHECK(
            rows.inputs.size() == count * static_cast<std::size_t>(info_.bytes_per_row()) &&
                has(rows.targets.size(), schema_.targets) &&
                has(rows.clean_targets.size(), schema_.clean_targets) &&
                has(rows.ids.size(), schema_.ids) &&
                has(rows.source_ids.size(), schema_.source_ids) &&
                has(rows.names.size(), schema_.names) &&
                rows.tokens.size() == count * static_cast<std::size_t>(text.length) &&
                has(rows.captions.size(), text.length > 0) &&
                has(rows.image_ids.size(), text.image_ids) &&
                has(rows.caption_of.size(), text.caption_of) && fits_schema(rows.boxes, rows.rows),
            "{}: the arrays of {} rows to append do not fit the pool's datasets", path_, rows.rows);
    }

    void write(const PoolRows& rows, std::int64_t from, std::int64_t count) {
        const std::int64_t first = shards_.back().rows;
        const RowRange into{first, first + count};
        THRESHER_CHECK(fixed_rows_ == 0 || into.end <= fixed_rows_,
                       "{}: more rows are appended than the {} that were announced", path_,
                       options_.expected_rows);
        datasets_->write(rows, from, into);
        for (auto classes : {rows.targets, rows.clean_targets}) {
            for (std::int64_t target : classes) largest_target_ = std::max(largest_target_, target);
        }
        if (rows.boxes != nullptr) {
            for (std::int64_t c : rows.boxes->classes)
                largest_target_ = std::max(largest_target_, c);
        }
        shards_.back().rows += count;
        rows_ += count;
    }

    void close_shard() {
        if (!file_) return;
        THRESHER_CHECK(fixed_rows_ == 0 || shards_.back().rows == fixed_rows_,
                       "{}: {} rows were announced, but only {} appended", path_,
                       options_.expected_rows, rows_);
        datasets_.reset();
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
        for (const char* name : {"/targets", "/clean_targets", "/box_classes"}) {
            if (!file.has(name)) continue;
            const hdf5::Dataset targets = file.dataset(name);
            hdf5::write_attribute(targets.ref(), "classes", schema_.classes);
            if (!schema_.class_names.empty()) {
                hdf5::write_attribute(targets.ref(), "class_names", schema_.class_names);
            }
        }
        if (!file.has("/targets") && !schema_.boxes.present && !schema_.class_names.empty()) {
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
    PoolSchema fills_;                   ///< what that pool has and the rows that are added lack
    std::vector<std::int64_t> unknown_;  ///< -1 throughout
    ShardManifest manifest_;
    std::size_t first_shard_ = 0;
    std::int64_t rows_ = 0, fixed_rows_ = 0, largest_target_ = -1;
    std::vector<QuarantinedRow> quarantine_;
    // Destroyed in reverse: the open file, then the temporary files, then the directory, the lock.
    std::optional<ShardLock> lock_;
    std::optional<NewDirectory> directory_;
    std::vector<Shard> shards_;
    std::optional<hdf5::File> file_;
    std::optional<PoolDatasets> datasets_;
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
