#pragma once

// Sets of ids that a user hands in: a batch.h5, a labels.csv (id,label) or a text file of ids; and
// labels.

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/atomic_file.hpp"

namespace thresher::io {

/// The ids in file order. An HDF5 file is a batch; a file whose first line names a column `id` is a
/// CSV; anything else has one id a line (empty lines and lines beginning with # are skipped).
/// Throws FileError naming every line that holds no id, more than one, a negative one or one that
/// came before. Local.
std::vector<std::int64_t> read_id_set(const std::string& path);

/// What people write as a label: the name of a class, or its number.
class ClassNumbers {
  public:
    /// `classes` 0: as many as there are names.
    ClassNumbers(const std::vector<std::string>& class_names, std::int64_t classes = 0);

    std::int64_t classes() const { return classes_; }
    /// Nothing where `label` is neither a name nor a number in [0, classes); 3.0 is 3.
    std::optional<std::int64_t> of(const std::string& label) const;

  private:
    std::unordered_map<std::string, std::int64_t> number_of_;
    std::int64_t classes_;
};

struct Labels {
    std::vector<std::int64_t> ids;
    std::vector<std::int64_t> labels;  ///< [ids]; class numbers
    std::int64_t unlabelled = 0;       ///< lines whose label is empty, left out
};

/// A CSV with columns `id` and `label`, in any order and among others, so a filled-in batch.csv
/// will do. Labels are read by ClassNumbers(class_names, classes). Throws FileError
/// naming up to ten bad lines at once, with what is allowed. Local.
Labels read_labels(const std::string& path, const std::vector<std::string>& class_names,
                   std::int64_t classes);

/// Writes id,label with names where there are any. Throws FileError. Local.
void write_labels(const std::string& path, const Labels& labels,
                  const std::vector<std::string>& class_names, Overwrite overwrite);

}  // namespace thresher::io
