#include "io/labelling/tasks.hpp"

#include <fmt/ranges.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <sstream>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr int kIndent = 1;

std::string text_of(const pugi::xml_document& document) {
    std::ostringstream text;
    document.save(text, " ");
    return text.str();
}

/// Tasks of a Label Studio project with the labelling interface of label_studio_config().
std::string label_studio(const Batch& batch, const TaskOptions& options) {
    nlohmann::ordered_json tasks = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < batch.ids.size(); ++i) {
        tasks.push_back({{"data",
                          {{"image", options.image_prefix + batch.names[i]},
                           {"thresher_id", batch.ids[i]},
                           {"name", batch.names[i]},
                           {"score", batch.scores[i]},
                           {"place", i}}}});
    }
    return tasks.dump(kIndent) + "\n";
}

std::string label_studio_config(const Batch&, const TaskOptions& options) {
    pugi::xml_document document;
    pugi::xml_node view = document.append_child("View");
    pugi::xml_node image = view.append_child("Image");
    image.append_attribute("name") = "image";
    image.append_attribute("value") = "$image";
    pugi::xml_node choices = view.append_child("Choices");
    choices.append_attribute("name") = "label";
    choices.append_attribute("toName") = "image";
    choices.append_attribute("choice") = "single";
    for (const std::string& name : options.class_names) {
        choices.append_child("Choice").append_attribute("value") = name.c_str();
    }
    return text_of(document);
}

/// "CVAT for images 1.1" without annotations: the labels, and the images in pick order. Ids and
/// scores are attributes that CVAT passes over; it knows an image by its name.
std::string cvat(const Batch& batch, const TaskOptions& options) {
    pugi::xml_document document;
    pugi::xml_node root = document.append_child("annotations");
    root.append_child("version").text() = "1.1";
    pugi::xml_node task = root.append_child("meta").append_child("task");
    task.append_child("name").text() =
        fmt::format("{} by {}", batch.ids.size(), batch.acquisition).c_str();
    task.append_child("size").text() = batch.ids.size();
    task.append_child("mode").text() = "annotation";
    pugi::xml_node labels = task.append_child("labels");
    for (const std::string& name : options.class_names) {
        pugi::xml_node label = labels.append_child("label");
        label.append_child("name").text() = name.c_str();
        label.append_child("type").text() = "tag";
    }
    for (std::size_t i = 0; i < batch.ids.size(); ++i) {
        pugi::xml_node image = root.append_child("image");
        image.append_attribute("id") = i;
        image.append_attribute("name") = batch.names[i].c_str();
        image.append_attribute("thresher_id") = static_cast<long long>(batch.ids[i]);
        image.append_attribute("thresher_score") = batch.scores[i];
    }
    return text_of(document);
}

/// The image list of a COCO instances file, without annotations.
std::string images(const Batch& batch, const TaskOptions& options) {
    nlohmann::ordered_json file{{"images", nlohmann::ordered_json::array()},
                                {"annotations", nlohmann::ordered_json::array()},
                                {"categories", nlohmann::ordered_json::array()}};
    for (std::size_t i = 0; i < batch.ids.size(); ++i) {
        file["images"].push_back(
            {{"id", batch.ids[i]}, {"file_name", batch.names[i]}, {"score", batch.scores[i]}});
    }
    for (std::size_t c = 0; c < options.class_names.size(); ++c) {
        file["categories"].push_back({{"id", c}, {"name", options.class_names[c]}});
    }
    return file.dump(kIndent) + "\n";
}

}  // namespace

const std::vector<TaskFormat>& task_formats() {
    static const std::vector<TaskFormat> table{
        {"label-studio", "tasks for Label Studio (import as JSON)", ".label-studio.json",
         label_studio},
        {"label-studio-config", "the labelling interface of those tasks", ".label-studio.xml",
         label_studio_config},
        {"cvat", "CVAT for images 1.1, without annotations", ".cvat.xml", cvat},
        {"images", "image list in the manner of COCO", ".images.json", images}};
    return table;
}

const TaskFormat& find_task_format(std::string_view name) {
    std::vector<std::string_view> known;
    for (const TaskFormat& format : task_formats()) {
        if (format.name == name) return format;
        known.push_back(format.name);
    }
    fail<UsageError>("unknown export \"{}\"; known: {}", name, fmt::join(known, ", "));
}

std::string task_path(const std::string& batch_path, const TaskFormat& format) {
    return std::filesystem::path(batch_path).replace_extension(format.suffix).string();
}

void write_tasks(const std::string& batch_path, const Batch& batch, const TaskFormat& format,
                 const TaskOptions& options, Overwrite overwrite) {
    check_tasks(batch_path, batch.names.size() == batch.ids.size(), options);
    write_file(task_path(batch_path, format), format.text(batch, options), overwrite);
}

void check_tasks(const std::string& batch_path, bool has_names, const TaskOptions& options) {
    THRESHER_CHECK_AS(UsageError, has_names,
                      "{}: the rows have no names, and a labelling tool needs the name of each "
                      "image; give --pool with a pool that has names",
                      batch_path);
    THRESHER_CHECK_AS(UsageError, !options.class_names.empty(),
                      "{}: there are no classes to choose from; give --class-names", batch_path);
}

}  // namespace thresher::io
