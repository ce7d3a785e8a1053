#include "io/importers/caption_list.hpp"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "io/csv.hpp"
#include "src/base/check.hpp"
#include "src/base/text.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMostCaptionBytes = 4096;

std::string file_of(const std::string& name) { return fs::path(name).filename().string(); }

/// The captions file among the files.
std::string find_captions(const SourceFiles& files, const std::string& wanted) {
    if (files.has(wanted)) return wanted;
    std::vector<std::string> tables, annotations, readable;
    for (const std::string& name : files.names()) {
        const std::string file = file_of(name);
        if (file == "captions.tsv") tables.push_back(name);
        if (file.starts_with("captions") && file.ends_with(".json")) annotations.push_back(name);
        if (file.ends_with(".tsv") || file.ends_with(".json")) readable.push_back(name);
    }
    if (!wanted.empty()) {
        const std::vector<std::string> ends = files.ending_with(wanted);
        THRESHER_CHECK_AS(FileError, ends.size() <= 1,
                          "{}: holds several files {} ({}); give one of them to --captions",
                          files.path(), wanted, fmt::join(ends, ", "));
        THRESHER_CHECK_AS(FileError, !ends.empty(),
                          "{}: holds no file {} (--captions); of .tsv and .json there are: {}",
                          files.path(), wanted,
                          readable.empty() ? "none" : fmt::format("{}", fmt::join(readable, ", ")));
        return ends[0];
    }
    const auto& found = tables.empty() ? annotations : tables;
    THRESHER_CHECK_AS(FileError, !found.empty(),
                      "{}: holds neither captions.tsv nor captions*.json; name the file of the "
                      "captions with --captions",
                      files.path());
    THRESHER_CHECK_AS(FileError, found.size() == 1,
                      "{}: holds several files of captions ({}); choose one with --captions",
                      files.path(), fmt::join(found, ", "));
    return found[0];
}

/// Collects captions under their images, and sets apart what cannot be used.
class Collector {
  public:
    explicit Collector(const SourceFiles& files) : files_(files) {}

    void refuse(std::int64_t position, std::string reason) {
        list_.bad.push_back({position, std::move(reason)});
    }

    /// `place` names the position in messages.
    void add(const std::string& file, Caption caption, const std::string& place) {
        caption.text = std::string(trimmed(caption.text));
        std::string reason;
        if (!is_utf8(file) || !is_utf8(caption.text)) {
            reason = "holds bytes that are no UTF-8 text";
        } else if (caption.text.empty()) {
            reason = fmt::format("the caption of {} is empty", file);
        } else if (caption.text.size() > kMostCaptionBytes) {
            reason = fmt::format("the caption of {} has {} bytes, at most {} are stored", file,
                                 caption.text.size(), kMostCaptionBytes);
        } else if (!files_.has(file)) {
            reason = fmt::format("there is no file {}", file);
        }
        if (!reason.empty()) return refuse(caption.position, place + ": " + reason);
        const auto [known, is_new] = image_of_.try_emplace(file, list_.images.size());
        if (is_new) list_.images.push_back({file, {}});
        list_.images[known->second].captions.push_back(std::move(caption));
    }

    CaptionList& list() { return list_; }

  private:
    const SourceFiles& files_;
    CaptionList list_;
    std::unordered_map<std::string, std::size_t> image_of_;
};

/// captions.tsv: a header, then a line a caption; images are named from its own folder on, or by
/// how their names end where there is one such file alone.
class CaptionTable {
  public:
    CaptionTable(const SourceFiles& files, const ImportOptions& options, std::string name,
                 Collector& into)
        : files_(files), options_(options), name_(std::move(name)), into_(into) {}

    void read(std::string_view text) {
        std::string_view line;
        text = without_byte_order_mark(text, name_);
        next_line(text, line);
        read_header(line);
        for (std::int64_t number = 2; next_line(text, line); ++number) {
            if (!line.empty()) read_line(line, number);
        }
        if (target_ != kNone) into_.list().class_names = classes_;
    }

  private:
    static constexpr std::size_t kNone = std::size_t(-1);

    static std::vector<std::string_view> fields_of(std::string_view line) {
        std::vector<std::string_view> fields;
        for (;;) {
            const std::size_t tab = line.find('\t');
            fields.push_back(line.substr(0, tab));
            if (tab == std::string_view::npos) break;
            line.remove_prefix(tab + 1);
        }
        return fields;
    }

    void read_header(std::string_view line) {
        const std::vector<std::string_view> names = fields_of(line);
        columns_ = names.size();
        const auto find = [&](std::string_view column, const char* option) {
            const auto found = std::find(names.begin(), names.end(), column);
            THRESHER_CHECK_AS(UsageError, found != names.end(),
                              "{}: has no column \"{}\" ({}); its first line names {}", name_,
                              column, option, fmt::join(names, ", "));
            return static_cast<std::size_t>(found - names.begin());
        };
        file_ = find("file", "the image of each line");
        for (const std::string& column : options_.caption_columns) {
            captions_.push_back(find(column, "--caption-columns"));
        }
        if (!options_.target_column.empty()) {
            target_ = find(options_.target_column, "--target-column");
        }
        for (const std::string& name : options_.class_names) class_of(name);
    }

    void read_line(std::string_view line, std::int64_t number) {
        const std::vector<std::string_view> fields = fields_of(line);
        const std::string place = fmt::format("line {}", number);
        if (fields.size() != columns_) {
            return into_.refuse(number, fmt::format("{}: {} fields, the first line has {}", place,
                                                    fields.size(), columns_));
        }
        Caption caption{number, {}, -1};
        for (const std::size_t column : captions_) {
            const std::string_view part = trimmed(fields[column]);
            if (part.empty()) continue;
            if (!caption.text.empty()) caption.text += ", ";
            caption.text += part;
        }
        if (target_ != kNone) {
            const std::string name(trimmed(fields[target_]));
            caption.target = name.empty() ? -1 : class_of(name);
            if (caption.target >= 0 && !options_.class_names.empty() &&
                std::cmp_greater_equal(caption.target, options_.class_names.size())) {
                return into_.refuse(number, fmt::format("{}: \"{}\" is no class", place, name));
            }
        }
        const std::string file = image_file(fields[file_]);
        if (is_utf8(file) && !files_.has(file)) {
            const auto ends = files_.ending_with(std::string(fields[file_]));
            if (ends.size() == 1) return into_.add(ends[0], std::move(caption), place);
            if (ends.size() > 1) {
                return into_.refuse(number,
                                    fmt::format("{}: several files are called {} ({})", place,
                                                fields[file_], fmt::join(ends, ", ")));
            }
        }
        into_.add(file, std::move(caption), place);
    }

    std::string image_file(std::string_view name) const {
        return (fs::path(name_).parent_path() / name).lexically_normal().generic_string();
    }

    std::int64_t class_of(const std::string& name) {
        const auto [known, is_new] = class_of_.try_emplace(name, std::ssize(classes_));
        if (is_new) classes_.push_back(name);
        return known->second;
    }

    const SourceFiles& files_;
    const ImportOptions& options_;
    std::string name_;
    Collector& into_;
    std::size_t columns_ = 0, file_ = 0, target_ = kNone;
    std::vector<std::size_t> captions_;
    std::vector<std::string> classes_;
    std::unordered_map<std::string, std::int64_t> class_of_;
};

/// COCO: images by their order in the file, captions by theirs.
void read_coco(const SourceFiles& files, const std::string& name, Collector& into) {
    const auto check = [&](bool holds, const std::string& what) {
        THRESHER_CHECK_AS(
            FileError, holds,
            "{}: {} is no COCO captions file: {}; expected \"images\" with \"id\" and "
            "\"file_name\", and \"annotations\" with \"image_id\" and \"caption\"",
            files.path(), name, what);
    };
    nlohmann::json json;
    try {
        json = nlohmann::json::parse(files.read(name));
    } catch (const nlohmann::json::parse_error& error) {
        check(false, error.what());
    }
    const auto has = [](const nlohmann::json& object, const char* key, auto kind) {
        return object.is_object() && object.contains(key) && (object.at(key).*kind)();
    };
    using Json = nlohmann::json;
    check(has(json, "images", &Json::is_array) && has(json, "annotations", &Json::is_array),
          "it lacks one of the two lists");
    std::unordered_map<std::int64_t, std::size_t> place_of;
    std::vector<std::string> image_files;
    for (const auto& image : json["images"]) {
        check(
            has(image, "id", &Json::is_number_integer) && has(image, "file_name", &Json::is_string),
            fmt::format("image {} lacks its id or file_name", image_files.size()));
        const std::string file = image.at("file_name");
        place_of[image.at("id")] = image_files.size();
        image_files.push_back(file);
    }
    const auto found = files.meant_by(image_files);
    for (std::size_t i = 0; i < found.size(); ++i) {
        check(found[i].size() <= 1, fmt::format("the image {} is there more than once ({})",
                                                image_files[i], fmt::join(found[i], ", ")));
        if (!found[i].empty()) image_files[i] = found[i][0];
    }
    std::vector<std::vector<Caption>> captions(image_files.size());
    std::int64_t position = 0;
    for (const auto& annotation : json["annotations"]) {
        check(has(annotation, "image_id", &Json::is_number_integer) &&
                  has(annotation, "caption", &Json::is_string),
              fmt::format("annotation {} lacks its image_id or caption", position));
        const auto place = place_of.find(annotation.at("image_id"));
        if (place == place_of.end()) {
            into.refuse(position, fmt::format("annotation {}: there is no image with the id {}",
                                              position, annotation.at("image_id").dump()));
        } else {
            captions[place->second].push_back({position, annotation.at("caption"), -1});
        }
        ++position;
    }
    for (std::size_t i = 0; i < captions.size(); ++i) {
        for (Caption& caption : captions[i]) {
            const std::string place = fmt::format("annotation {}", caption.position);
            into.add(image_files[i], std::move(caption), place);
        }
    }
}

}  // namespace

CaptionList list_captions(const SourceFiles& files, const ImportOptions& options) {
    const std::string name = find_captions(files, options.captions);
    Collector collector(files);
    if (name.ends_with(".json")) {
        THRESHER_CHECK_AS(UsageError, options.target_column.empty(),
                          "--target-column is \"{}\", but {} is no table and has no columns",
                          options.target_column, name);
        read_coco(files, name, collector);
    } else {
        CaptionTable(files, options, name, collector).read(files.read(name));
    }
    CaptionList& list = collector.list();
    THRESHER_CHECK_AS(FileError, !list.images.empty(), "{}: {} has no usable caption{}",
                      files.path(), name,
                      list.bad.empty() ? "" : "; the first: " + list.bad[0].reason);
    return std::move(list);
}

}  // namespace thresher::io
