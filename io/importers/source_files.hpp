#pragma once

// A folder or a tar archive as a set of files with names.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace thresher::io {

class SourceFiles {
  public:
    /// Throws FileError. An archive is read in place, so it must not be compressed.
    explicit SourceFiles(const std::string& path);

    const std::string& path() const { return path_; }
    bool has(const std::string& name) const { return files_.contains(name); }
    /// With folders, in alphabetical order.
    std::vector<std::string> names() const;
    /// Those whose name is this one, or ends with it after a folder; in the same order.
    std::vector<std::string> ending_with(const std::string& name) const;
    /// Those that a list of images may mean by each of `names`: ending_with(name), or, where there
    /// are none as its folder is not here, those with its last part, but for files that another
    /// name tells exactly; none where two such names have the same last part.
    std::vector<std::vector<std::string>> meant_by(std::span<const std::string> names) const;
    /// Where the file's bytes are.
    struct Part {
        std::string path;
        std::int64_t offset, size;
    };
    /// Throws FileError.
    Part part(const std::string& name) const;
    /// The whole file. Throws FileError. Thread-safe.
    std::string read(const std::string& name) const;

  private:
    struct Place {
        std::int64_t offset, size;
    };

    void list_folder();
    void list_archive();

    std::string path_;
    bool is_archive_;
    std::map<std::string, Place> files_;
    std::unordered_map<std::string, std::vector<std::string>> by_last_part_;  ///< without folders
};

}  // namespace thresher::io
