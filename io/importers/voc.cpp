// Pascal VOC: JPEGImages, Annotations and ImageSets in one folder.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <numeric>
#include <set>

#include "io/importers/box_import.hpp"
#include "io/importers/formats.hpp"
#include "io/importers/voc_annotation.hpp"
#include "src/base/check.hpp"
#include "src/base/text.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

std::string lower(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

/// The files of one name; empty where there is none.
struct VocPair {
    std::string image, annotation;
};

class VocSource {
  public:
    explicit VocSource(const SourceFiles& files) : files_(files), root_(find_root()) {
        for (const std::string& name : files.names()) {
            const fs::path path(name);
            const std::string folder = path.parent_path().generic_string(),
                              suffix = lower(path.extension().string());
            const std::string key = path.stem().string();
            if (folder == root_ + "Annotations" && suffix == ".xml") {
                pairs_[key].annotation = name;
            } else if (folder == root_ + "JPEGImages" &&
                       (suffix == ".jpg" || suffix == ".jpeg" || suffix == ".png")) {
                pairs_[key].image = name;
            }
        }
    }

    /// By name, without folder and suffix.
    const std::map<std::string, VocPair>& pairs() const { return pairs_; }

    /// The names in ImageSets/Main/`set`.txt, or another folder of ImageSets that the set names.
    std::vector<std::string> names_in(const std::string& set) const {
        std::vector<std::string> tried, there;
        for (const char* folder : {"Main/", ""}) {
            tried.push_back(root_ + "ImageSets/" + folder + set + ".txt");
            if (files_.has(tried.back())) return read_set(tried.back());
        }
        for (const std::string& name : files_.names()) {
            if (name.starts_with(root_ + "ImageSets/")) there.push_back(name);
        }
        fail<UsageError>("{}: has no list {} (--set {}); lists there: {}", files_.path(), tried[0],
                         set, there.empty() ? "none" : fmt::format("{}", fmt::join(there, ", ")));
    }

  private:
    /// The folder that holds both others, with a slash, or nothing.
    std::string find_root() const {
        std::set<std::string> annotations, images;
        const auto remember = [](const std::string& name, std::string_view folder,
                                 std::set<std::string>& roots) {
            const fs::path parent = fs::path(name).parent_path();
            if (parent.filename() != folder) return;
            const std::string root = parent.parent_path().generic_string();
            roots.insert(root.empty() ? root : root + "/");
        };
        for (const std::string& name : files_.names()) {
            remember(name, "Annotations", annotations);
            remember(name, "JPEGImages", images);
        }
        std::vector<std::string> roots;
        std::set_intersection(annotations.begin(), annotations.end(), images.begin(), images.end(),
                              std::back_inserter(roots));
        THRESHER_CHECK_AS(FileError, !roots.empty(),
                          "{}: is no VOC data: expected a folder that holds JPEGImages and "
                          "Annotations, both with files",
                          files_.path());
        THRESHER_CHECK_AS(FileError, roots.size() == 1,
                          "{}: holds VOC data in several folders ({}); import them one by one",
                          files_.path(), fmt::join(roots, ", "));
        return roots[0];
    }

    std::vector<std::string> read_set(const std::string& list) const {
        const std::string text = files_.read(list);
        std::vector<std::string> names;
        for (std::size_t begin = 0; begin < text.size();) {
            const std::size_t end = std::min(text.find('\n', begin), text.size());
            const std::string name(trimmed(std::string_view(text).substr(begin, end - begin)));
            begin = end + 1;
            if (name.empty()) continue;
            THRESHER_CHECK_AS(FileError, name.find_first_of(" \t") == std::string::npos,
                              "{}: {} has the line \"{}\"; expected one name a line, not the list "
                              "of one class",
                              files_.path(), list, name);
            names.push_back(name);
        }
        THRESHER_CHECK_AS(FileError, !names.empty(), "{}: {} is empty", files_.path(), list);
        return names;
    }

    const SourceFiles& files_;
    std::string root_;
    std::map<std::string, VocPair> pairs_;
};

class VocList {
  public:
    VocList(const SourceFiles& files, const ImportOptions& options)
        : files_(files), classes_(options), sorted_(options.class_names.empty()) {}

    MarkedList read(const std::string& set) {
        const VocSource source(files_);
        std::vector<std::string> names;
        if (set.empty()) {
            for (const auto& [name, pair] : source.pairs()) names.push_back(name);
        } else {
            names = source.names_in(set);
        }
        std::set<std::string> seen, added;
        for (std::size_t i = 0; i < names.size(); ++i) {
            const auto position = static_cast<std::int64_t>(i);
            const auto pair = source.pairs().find(names[i]);
            if (!seen.insert(names[i]).second) {
                refuse(position, names[i] + " is in the list twice");
            } else if (pair == source.pairs().end()) {
                refuse(position, names[i] + " has neither image nor annotation");
            } else if (pair->second.image.empty()) {
                refuse(position, pair->second.annotation + ": its image is missing");
            } else if (pair->second.annotation.empty()) {
                refuse(position, pair->second.image + ": has no annotation");
            } else {
                added.insert(names[i]);
                add(position, pair->second);
            }
        }
        // Those of images that are missing too, so that every set has the same classes.
        if (sorted_ || classes_.has_map()) meet_others(source, added);
        classes_.check_map();
        if (classes_.left_out() > 0) {
            list_.notes.push_back(
                fmt::format("{} boxes were left out by --class-map", classes_.left_out()));
        }
        list_.class_names = classes_.names();
        if (sorted_) sort_classes();
        return std::move(list_);
    }

  private:
    void refuse(std::int64_t position, std::string reason) {
        list_.bad_images.push_back({position, std::move(reason)});
    }

    void add(std::int64_t position, const VocPair& pair) {
        VocAnnotation annotation;
        try {
            annotation = parse_voc_annotation(files_.read(pair.annotation));
        } catch (const FileError& error) {
            return refuse(position, pair.annotation + ": " + error.what());
        }
        MarkedImage image{position, pair.image, -1, annotation.width, annotation.height, {}};
        for (std::size_t i = 0; i < annotation.objects.size(); ++i) {
            const VocObject& object = annotation.objects[i];
            const std::string place = fmt::format("object {} ({})", i + 1, object.name);
            const auto refuse_box = [&](const std::string& problem) {
                list_.bad_boxes.push_back(
                    {position, fmt::format("{}: {} {}", pair.annotation, place, problem)});
            };
            if (!object.problem.empty()) {
                refuse_box(object.problem);
                continue;
            }
            try {
                const auto target = classes_.class_of(object.name);
                if (!target) continue;
                image.boxes.push_back({object.x0, object.y0, object.x1, object.y1, *target,
                                       object.difficult ? kDifficult : std::uint8_t{0}, 0.0F,
                                       place});
            } catch (const FileError& error) {
                refuse_box(std::string("is bad: ") + error.what());
            }
        }
        list_.images.push_back(std::move(image));
    }

    /// Classes of images outside the set, so that all sets of the source have the same classes.
    void meet_others(const VocSource& source, const std::set<std::string>& seen) {
        for (const auto& [name, pair] : source.pairs()) {
            if (seen.contains(name) || pair.annotation.empty()) continue;
            try {
                for (const VocObject& object :
                     parse_voc_annotation(files_.read(pair.annotation)).objects) {
                    if (object.problem.empty()) classes_.meet(object.name);
                }
            } catch (const FileError&) {
                continue;  // importing its set reports it
            }
        }
    }

    /// In alphabetical order, which is VOC's own, so that the order of the images does not matter.
    void sort_classes() {
        std::vector<std::int64_t> order(list_.class_names.size()), place(order.size());
        std::iota(order.begin(), order.end(), std::int64_t{0});
        std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
            return list_.class_names[static_cast<std::size_t>(a)] <
                   list_.class_names[static_cast<std::size_t>(b)];
        });
        for (std::size_t i = 0; i < order.size(); ++i) {
            place[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
        }
        for (MarkedImage& image : list_.images) {
            for (MarkedBox& box : image.boxes) {
                box.target = place[static_cast<std::size_t>(box.target)];
            }
        }
        std::sort(list_.class_names.begin(), list_.class_names.end());
    }

    const SourceFiles& files_;
    BoxClasses classes_;
    bool sorted_;
    MarkedList list_;
};

}  // namespace

ImportReport import_voc(const ImportOptions& options, const Provenance& provenance) {
    const SourceFiles files(options.source);
    return import_marked(files, VocList(files, options).read(options.image_set), options,
                         provenance);
}

}  // namespace thresher::io
