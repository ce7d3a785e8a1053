#include "io/importers/source_files.hpp"

#include <fcntl.h>

#include <filesystem>
#include <unordered_set>

#include "io/atomic_file.hpp"
#include "io/descriptor.hpp"
#include "io/importers/tar.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kMostFileBytes = std::int64_t{256} << 20;

}  // namespace

SourceFiles::SourceFiles(const std::string& path) : path_(path) {
    THRESHER_CHECK_AS(FileError, fs::exists(path), "{}: does not exist", path);
    is_archive_ = !fs::is_directory(path);
    if (is_archive_) {
        list_archive();
    } else {
        list_folder();
    }
    for (const auto& [name, place] : files_) {
        by_last_part_[fs::path(name).filename().string()].push_back(name);
    }
}

void SourceFiles::list_folder() {
    for (const auto& entry :
         fs::recursive_directory_iterator(path_, fs::directory_options::follow_directory_symlink)) {
        if (!entry.is_regular_file()) continue;
        files_[entry.path().lexically_relative(path_).generic_string()] = {
            0, static_cast<std::int64_t>(entry.file_size())};
    }
}

void SourceFiles::list_archive() {
    char magic[2] = {};
    Descriptor(path_, O_RDONLY).read(magic, sizeof magic);
    THRESHER_CHECK_AS(FileError, magic[0] != '\x1f' || magic[1] != '\x8b',
                      "{}: is compressed, but its images are read in any order; unpack it with "
                      "gunzip first",
                      path_);
    ByteStream stream(path_);
    for_each_in_tar(stream, [&](const TarEntry& entry) {
        const std::string name = fs::path(entry.name).lexically_normal().generic_string();
        files_[name] = {entry.offset, entry.size};
        stream.skip(entry.size);
    });
    THRESHER_CHECK_AS(FileError, !files_.empty(), "{}: is no tar archive, or an empty one", path_);
}

std::vector<std::string> SourceFiles::names() const {
    std::vector<std::string> names;
    for (const auto& [name, place] : files_) names.push_back(name);
    return names;
}

std::vector<std::string> SourceFiles::ending_with(const std::string& name) const {
    const auto found = by_last_part_.find(fs::path(name).filename().string());
    if (found == by_last_part_.end()) return {};
    std::vector<std::string> names;
    for (const std::string& file : found->second) {
        if (file == name || file.ends_with("/" + name)) names.push_back(file);
    }
    return names;
}

std::vector<std::vector<std::string>> SourceFiles::meant_by(
    std::span<const std::string> names) const {
    const auto last_part = [](const std::string& name) {
        return fs::path(name).filename().string();
    };
    std::vector<std::vector<std::string>> found;
    std::unordered_set<std::string> told;
    std::unordered_map<std::string, int> without_folder;
    for (const std::string& name : names) {
        found.push_back(ending_with(fs::path(name).lexically_normal().generic_string()));
        told.insert(found.back().begin(), found.back().end());
        if (found.back().empty()) ++without_folder[last_part(name)];
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (!found[i].empty() || without_folder[last_part(names[i])] > 1) continue;
        found[i] = ending_with(last_part(names[i]));
        std::erase_if(found[i], [&](const std::string& file) { return told.contains(file); });
    }
    return found;
}

SourceFiles::Part SourceFiles::part(const std::string& name) const {
    const auto found = files_.find(name);
    THRESHER_CHECK_AS(FileError, found != files_.end(), "there is no file {} in {}", name, path_);
    const auto& [offset, size] = found->second;
    return {is_archive_ ? path_ : path_ + "/" + name, offset, size};
}

std::string SourceFiles::read(const std::string& name) const {
    const Part part = this->part(name);
    THRESHER_CHECK_AS(FileError, part.size <= kMostFileBytes, "the file has more than {} bytes",
                      kMostFileBytes);
    if (!is_archive_) return read_file(part.path);
    std::string bytes(static_cast<std::size_t>(part.size), '\0');
    Descriptor archive(part.path, O_RDONLY);
    archive.seek(part.offset);
    archive.read_exactly(bytes.data(), bytes.size());
    return bytes;
}

}  // namespace thresher::io
