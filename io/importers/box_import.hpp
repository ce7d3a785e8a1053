#pragma once

// Images whose boxes are known, whatever format they were read from, as a pool: the images
// letter-boxed, the boxes with them. Used by the importers of boxes.

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/importers/importers.hpp"
#include "io/importers/source_files.hpp"

namespace thresher::io {

/// The classes of boxes, by name, as --class-map and --class-names have them.
class BoxClasses {
  public:
    /// Throws UsageError for a map that is none.
    explicit BoxClasses(const ImportOptions& options);

    /// The class, a new one where names are not given; nothing for a class that is left out, which
    /// is counted. Throws FileError, the words for the box's problem, where the name is none of
    /// those given.
    std::optional<std::int64_t> class_of(const std::string& name);

    /// A class that boxes elsewhere have.
    void meet(const std::string& name);

    const std::vector<std::string>& names() const { return names_; }
    std::int64_t left_out() const { return left_out_; }
    bool has_map() const { return !map_.empty(); }
    /// Throws UsageError for a name of the map that neither class_of() nor meet() was told.
    void check_map() const;

  private:
    struct Mapped {
        std::string to;
        bool met = false;
    };

    /// The new name of a class; empty where it is left out.
    std::string mapped(const std::string& name);

    std::vector<std::string> names_;
    std::unordered_map<std::string, std::int64_t> class_of_;
    std::unordered_map<std::string, Mapped> map_;
    bool names_given_;
    std::int64_t left_out_ = 0;
};

/// Edges in pixels of the image, the first pixel from 0 to 1.
struct MarkedBox {
    double x0, y0, x1, y1;
    std::int64_t target;
    std::uint8_t flags;
    float area;         ///< of the object; not used where the list has no areas
    std::string place;  ///< "object 3 (RBC)", for messages
};

struct MarkedImage {
    std::int64_t position;  ///< in the source
    std::string file;
    std::int64_t id = -1;                ///< not used where the list has no ids
    std::int64_t width = 0, height = 0;  ///< that the annotation says; 0: it does not
    std::vector<MarkedBox> boxes;
};

struct MarkedList {
    std::vector<MarkedImage> images;
    std::vector<std::string> class_names;
    bool areas = false, ids = false;
    std::vector<QuarantinedRow> bad_images, bad_boxes;
    std::vector<std::string> notes;
};

/// Boxes are cut at the image's edges, which is counted and told; those that nothing is left of are
/// quarantined.
ImportReport import_marked(const SourceFiles& files, MarkedList list, const ImportOptions& options,
                           const Provenance& provenance);

}  // namespace thresher::io
