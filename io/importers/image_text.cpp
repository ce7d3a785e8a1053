// Images with captions: a folder or a tar archive with captions.tsv, or with COCO's captions as
// JSON. A row is one caption with its image, so an image with five captions becomes five rows.

#include <algorithm>
#include <filesystem>

#include "io/atomic_file.hpp"
#include "io/importers/caption_list.hpp"
#include "io/importers/formats.hpp"
#include "io/importers/image_rows.hpp"
#include "io/importers/import_sink.hpp"
#include "src/base/check.hpp"
#include "src/pool/vocabulary.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

/// The model of a pool, or of a file that is one.
std::string read_vocabulary(const std::string& path) {
    THRESHER_CHECK_AS(FileError, fs::exists(path), "{}: does not exist (--vocabulary)", path);
    if (fs::is_directory(path)) return open_pool(path).vocabulary();
    std::string model = read_file(path);
    if (model.starts_with("\x89HDF")) return open_pool(path).vocabulary();
    try {
        static_cast<void>(Vocabulary(model));
    } catch (const FileError& error) {
        fail<FileError>("{}: {}, or a pool with captions (--vocabulary)", path, error.what());
    }
    return model;
}

class ImageTextImport {
  public:
    ImageTextImport(const ImportOptions& options, const Provenance& provenance)
        : options_(options),
          provenance_(provenance),
          files_(options.source),
          list_(list_captions(files_, options)),
          model_(make_vocabulary()),
          vocabulary_(model_),
          tokens_(static_cast<std::size_t>(options.token_length)) {}

    ImportReport run() {
        const ImageRows images(options_, image_names(),
                               [&](const std::string& name) { return files_.read(name); });
        ImportSink sink(options_, schema(images.shape()), provenance_);
        for (QuarantinedRow& row : list_.bad) sink.quarantine(row.id, std::move(row.reason));
        images.for_each([&](std::size_t i, const DecodedImage& image) {
            add(list_.images[i], image.inputs, image.reason, sink);
        });
        ImportReport report = sink.finish();
        if (cut_ > 0) {
            notes_.push_back(
                fmt::format("{} captions have more than {} tokens (the longest {}) and were cut; "
                            "--token-length allows more, --long-captions refuse sets them apart",
                            cut_, options_.token_length, longest_));
        }
        report.notes = std::move(notes_);
        return report;
    }

  private:
    /// That of --vocabulary, of the pool that rows are added to, or a new one.
    std::string make_vocabulary() {
        if (!options_.vocabulary.empty()) return read_vocabulary(options_.vocabulary);
        if (options_.append) return open_pool(options_.output).vocabulary();
        std::vector<std::string> captions;
        for (const CaptionedImage& image : list_.images) {
            for (const Caption& caption : image.captions) captions.push_back(caption.text);
        }
        std::string model = train_vocabulary(captions, options_.vocabulary_size);
        const std::int64_t size = Vocabulary(model).size();
        if (size < options_.vocabulary_size) {
            notes_.push_back(
                fmt::format("the vocabulary has {} pieces, not {}: the captions give no more", size,
                            options_.vocabulary_size));
        }
        return model;
    }

    std::vector<std::string> image_names() const {
        std::vector<std::string> names;
        for (const CaptionedImage& image : list_.images) names.push_back(image.file);
        return names;
    }

    PoolSchema schema(const std::vector<std::int64_t>& shape) {
        PoolSchema schema;
        schema.input_shape = shape;
        schema.scale = 1.0 / 255.0;
        schema.targets = !options_.target_column.empty();
        schema.class_names = list_.class_names;
        schema.names = true;
        schema.name_bytes = 1;
        schema.text.length = options_.token_length;
        schema.text.vocabulary = model_;
        for (const CaptionedImage& image : list_.images) {
            schema.name_bytes = std::max(schema.name_bytes, std::ssize(image.file));
            if (image.captions.size() > 1) schema.text.image_ids = true;
            for (const Caption& caption : image.captions) {
                schema.text.caption_bytes =
                    std::max(schema.text.caption_bytes, std::ssize(caption.text));
            }
        }
        if (options_.append) number_after(open_pool(options_.output), schema.text);
        return schema;
    }

    /// New images get ids that no image of the pool there has.
    void number_after(const PoolFile& pool, TextSchema& text) {
        first_image_id_ = free_image_id(pool);
        if (pool.has_image_ids()) text.image_ids = true;
    }

    /// One row for each caption; an image's id is that of its first row.
    void add(const CaptionedImage& image, std::span<const std::byte> inputs,
             const std::string& reason, ImportSink& sink) {
        const std::int64_t image_id = first_image_id_ + sink.rows();
        for (const Caption& caption : image.captions) {
            if (!reason.empty()) {
                sink.quarantine(caption.position, image.file + ": " + reason);
                continue;
            }
            const std::int64_t length = vocabulary_.encode(caption.text, tokens_);
            if (length == 0) {
                sink.quarantine(caption.position,
                                fmt::format("{}: the caption has no letter", image.file));
                continue;
            }
            if (length > options_.token_length) {
                if (options_.long_captions == LongCaptions::refuse) {
                    sink.quarantine(caption.position,
                                    fmt::format("{}: the caption has {} tokens, allowed are {} "
                                                "(--token-length)",
                                                image.file, length, options_.token_length));
                    continue;
                }
                ++cut_;
                longest_ = std::max(longest_, length);
            }
            sink.add(caption.position, inputs, caption.target, -1, image.file, -1,
                     {tokens_, caption.text, image_id});
        }
    }

    const ImportOptions& options_;
    const Provenance& provenance_;
    std::vector<std::string> notes_;
    SourceFiles files_;
    CaptionList list_;
    std::string model_;
    Vocabulary vocabulary_;
    std::vector<std::int32_t> tokens_;
    std::int64_t first_image_id_ = 0, cut_ = 0, longest_ = 0;
};

}  // namespace

ImportReport import_image_text(const ImportOptions& options, const Provenance& provenance) {
    THRESHER_CHECK_AS(UsageError, options.token_length >= 1 && options.token_length <= 4096,
                      "--token-length is {}; allowed are 1 to 4096", options.token_length);
    return ImageTextImport(options, provenance).run();
}

}  // namespace thresher::io
