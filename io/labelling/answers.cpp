#include "io/labelling/answers.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "io/atomic_file.hpp"
#include "io/csv.hpp"
#include "io/problem_list.hpp"
#include "src/base/check.hpp"
#include "src/base/text.hpp"

namespace thresher::io {

namespace {

using nlohmann::json;

/// The value of a key as text; empty where there is none.
std::string text_at(const json& object, const char* key) {
    const auto value = object.find(key);
    if (value == object.end() || value->is_null()) return {};
    return value->is_string() ? value->get<std::string>() : value->dump();
}

/// The choice in one annotation of Label Studio; empty where it has none.
std::string choice_of(const json& annotation, const std::string& path, const std::string& place) {
    if (annotation.value("was_cancelled", false)) return {};
    std::string choice;
    for (const json& region : annotation.value("result", json::array())) {
        const json choices = region.value("value", json::object()).value("choices", json::array());
        for (const json& one : choices) {
            THRESHER_CHECK_AS(FileError, choice.empty() && one.is_string(),
                              "{}: {} has more than one choice; a row has one label", path, place);
            choice = one.get<std::string>();
        }
    }
    return choice;
}

std::vector<Answer> from_label_studio(const json& tasks, const std::string& path) try {
    std::vector<Answer> answers;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        const json& task = tasks[i];
        const std::string place = fmt::format("task {}", i + 1);
        THRESHER_CHECK_AS(FileError, task.is_object(), "{}: {} is no object", path, place);
        if (const auto data = task.find("data"); data != task.end()) {  // JSON
            for (const json& annotation : task.value("annotations", json::array())) {
                const std::string label = choice_of(annotation, path, place);
                if (label.empty()) continue;
                answers.push_back(
                    {text_at(*data, "thresher_id"), text_at(*data, "name"), label, place});
            }
        } else {  // JSON-MIN
            const std::string label = text_at(task, task.contains("label") ? "label" : "choice");
            if (!label.empty())
                answers.push_back(
                    {text_at(task, "thresher_id"), text_at(task, "name"), label, place});
        }
    }
    return answers;
} catch (const json::exception& error) {
    fail<FileError>("{}: is no export of Label Studio: {}", path, error.what());
}

std::vector<Answer> from_cvat(const std::string& text, const std::string& path) {
    pugi::xml_document document;
    const pugi::xml_parse_result parsed = document.load_buffer(text.data(), text.size());
    THRESHER_CHECK_AS(
        FileError, parsed && document.child("annotations"),
        "{}: is no annotation file of CVAT (byte {}: {}); export as \"CVAT for images "
        "1.1\" and unpack annotations.xml",
        path, parsed.offset, parsed.description());
    std::vector<Answer> answers;
    for (const pugi::xml_node image : document.child("annotations").children("image")) {
        for (const pugi::xml_node tag : image.children("tag")) {
            answers.push_back({{},
                               image.attribute("name").value(),
                               tag.attribute("label").value(),
                               fmt::format("image {}", image.attribute("id").value())});
        }
    }
    return answers;
}

std::vector<Answer> from_csv(std::string_view text, const std::string& path) {
    std::string_view line;
    std::vector<std::string> fields;
    next_line(text, line);
    const char separator = csv_separator(line);
    THRESHER_CHECK_AS(FileError, split_csv_line(line, fields, separator), "{}: line 1: {}", path,
                      describe_open_quote(line));
    const auto column = [&](std::initializer_list<const char*> names) {
        for (const char* name : names) {
            const auto found = std::find(fields.begin(), fields.end(), name);
            if (found != fields.end()) return static_cast<std::size_t>(found - fields.begin());
        }
        return fields.size();
    };
    const std::size_t columns = fields.size();
    // Label Studio's CSV calls the choice after its control tag, or "choice".
    const std::size_t name = column({"name"}), label = column({"label", "choice"});
    // In Label Studio's, the column id is the task's.
    const std::size_t id = column({"thresher_id", "id"});
    THRESHER_CHECK_AS(FileError, label < columns && (id < columns || name < columns),
                      "{}: the first line must name a column label, and id or name; it is \"{}\"",
                      path, excerpt(line));
    std::vector<Answer> answers;
    ProblemList problems;
    for (std::int64_t number = 2; next_line(text, line); ++number) {
        if (!split_csv_line(line, fields, separator)) {
            problems.add(fmt::format("line {}: {}", number, describe_open_quote(line)));
            continue;
        }
        if (fields.size() == 1 && fields[0].empty()) continue;
        // Spreadsheets leave out empty cells at the end of a line.
        fields.resize(std::max(fields.size(), columns));
        if (fields[label].empty()) continue;
        answers.push_back({id < columns ? fields[id] : "", name < columns ? fields[name] : "",
                           fields[label], fmt::format("line {}", number)});
    }
    problems.report(fmt::format("{}: {} bad lines", path, problems.count()));
    return answers;
}

}  // namespace

std::vector<Answer> read_answers(const std::string& path) {
    const std::string contents = read_file(path);
    const std::string_view text = without_byte_order_mark(contents, path);
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    THRESHER_CHECK_AS(FileError, first != std::string_view::npos, "{}: is empty", path);
    if (text[first] == '<') return from_cvat(std::string(text), path);
    if (text[first] != '[' && text[first] != '{') return from_csv(text, path);
    const json tasks = json::parse(text, nullptr, false);
    THRESHER_CHECK_AS(FileError, tasks.is_array(),
                      "{}: is no export of Label Studio, which is a JSON array of tasks", path);
    return from_label_studio(tasks, path);
}

}  // namespace thresher::io
