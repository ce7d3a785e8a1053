#pragma once

// A batch as tasks that labelling tools read.

#include <string>
#include <string_view>
#include <vector>

#include "io/batch_file.hpp"

namespace thresher::io {

struct TaskOptions {
    std::vector<std::string> class_names;
    /// Put before each name in Label Studio's tasks, to make what it fetches, such as
    /// "/data/local-files/?d=photos/".
    std::string image_prefix;
};

struct TaskFormat {
    std::string_view name, description, suffix;  ///< suffix: of the file beside batch.h5
    std::string (*text)(const Batch& batch, const TaskOptions& options);
};

/// label-studio, label-studio-config, cvat, images.
const std::vector<TaskFormat>& task_formats();

/// Throws UsageError, listing the known ones.
const TaskFormat& find_task_format(std::string_view name);

/// "batch.label-studio.json" for "batch.h5".
std::string task_path(const std::string& batch_path, const TaskFormat& format);

/// Throws UsageError where rows have no names or there are no classes to choose from. Local.
void check_tasks(const std::string& batch_path, bool has_names, const TaskOptions& options);

/// Writes the tasks beside the batch. Throws as check_tasks, and FileError on the disk. Local.
void write_tasks(const std::string& batch_path, const Batch& batch, const TaskFormat& format,
                 const TaskOptions& options, Overwrite overwrite);

}  // namespace thresher::io
