#include "io/id_set.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "io/batch_file.hpp"
#include "io/csv.hpp"
#include "io/hdf5/file.hpp"
#include "io/problem_list.hpp"
#include "src/base/check.hpp"
#include "src/base/text.hpp"

namespace thresher::io {

namespace {

/// Bad lines, reported together.
class BadLines {
  public:
    explicit BadLines(std::string path) : path_(std::move(path)) {}
    void add(std::int64_t line, const std::string& what) {
        problems_.add(fmt::format("line {}: {}", line, what));
    }
    void report(const std::string& allowed) const {
        problems_.report(fmt::format("{}: {} bad lines ({})", path_, problems_.count(), allowed));
    }

  private:
    std::string path_;
    ProblemList problems_;
};

std::optional<std::int64_t> integer_in(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// Ids in file order, each once.
class IdList {
  public:
    explicit IdList(BadLines& bad) : bad_(bad) {}

    bool add(std::int64_t line, std::string_view text) {
        const auto id = integer_in(text);
        if (!id || *id < 0) {
            bad_.add(line, fmt::format("\"{}\" is no id", excerpt(text)));
            return false;
        }
        const auto [place, is_new] = line_of_.try_emplace(*id, line);
        if (!is_new) {
            bad_.add(line, fmt::format("id {} stands on line {} already", *id, place->second));
            return false;
        }
        ids.push_back(*id);
        return true;
    }

    std::vector<std::int64_t> ids;

  private:
    BadLines& bad_;
    std::unordered_map<std::int64_t, std::int64_t> line_of_;
};

constexpr const char* kIdsAllowed = "ids are integers from 0, each once";

/// "3" of "3.0", as programs write whole numbers of a column with empty cells; `text` otherwise.
std::string whole_number_in(const std::string& text) {
    const std::size_t point = text.find('.');
    const bool only_zeros = point != std::string::npos && point + 1 < text.size() &&
                            text.find_first_not_of('0', point + 1) == std::string::npos;
    return only_zeros ? text.substr(0, point) : text;
}

std::size_t column_called(const std::vector<std::string>& header, std::string_view name) {
    return static_cast<std::size_t>(std::find(header.begin(), header.end(), name) - header.begin());
}

}  // namespace

std::vector<std::int64_t> read_id_set(const std::string& path) {
    if (std::filesystem::path(path).extension() == ".h5" || hdf5::has_signature(path)) {
        return read_batch(path).ids;
    }
    const std::string contents = read_file(path);
    std::string_view text = without_byte_order_mark(contents, path), line;
    BadLines bad(path);
    IdList list(bad);
    std::vector<std::string> fields;
    std::size_t column = 0, columns = 1;
    bool seen_first = false;
    char separator = ',';
    for (std::int64_t number = 1; next_line(text, line); ++number) {
        if (trimmed(line).empty() || line.starts_with('#')) continue;
        const bool is_first = !std::exchange(seen_first, true);
        if (is_first) separator = csv_separator(line);
        if (!split_csv_line(line, fields, separator)) {
            bad.add(number, describe_open_quote(line));
            continue;
        }
        if (is_first) {
            if (const std::size_t found = column_called(fields, "id"); found < fields.size()) {
                column = found;
                columns = fields.size();
                continue;
            }
        }
        // Which of several values would be the id, only a header tells.
        if (columns == 1 && fields.size() > 1) {
            bad.add(number, fmt::format("\"{}\" has {} fields", excerpt(line), fields.size()));
            continue;
        }
        list.add(number, column < fields.size() ? fields[column] : std::string());
    }
    bad.report(
        fmt::format("allowed are one id a line, or a CSV with a column id; {}", kIdsAllowed));
    THRESHER_CHECK_AS(FileError, !list.ids.empty(), "{}: holds no id", path);
    return std::move(list.ids);
}

ClassNumbers::ClassNumbers(const std::vector<std::string>& class_names, std::int64_t classes)
    : classes_(classes > 0 ? classes : std::ssize(class_names)) {
    for (std::size_t c = 0; c < class_names.size(); ++c) {
        number_of_[class_names[c]] = static_cast<std::int64_t>(c);
    }
}

std::optional<std::int64_t> ClassNumbers::of(const std::string& label) const {
    const std::string whole = whole_number_in(label);
    for (const std::string& name : {label, whole}) {
        const auto named = number_of_.find(name);
        if (named != number_of_.end()) return named->second;
    }
    const std::optional<std::int64_t> number = integer_in(whole);
    return number && *number >= 0 && *number < classes_ ? number : std::nullopt;
}

Labels read_labels(const std::string& path, const std::vector<std::string>& class_names,
                   std::int64_t classes) {
    const std::string contents = read_file(path);
    std::string_view text = without_byte_order_mark(contents, path), line;
    std::vector<std::string> fields;
    const ClassNumbers numbers(class_names, classes);

    next_line(text, line);
    const char separator = csv_separator(line);
    THRESHER_CHECK_AS(FileError, split_csv_line(line, fields, separator), "{}: line 1: {}", path,
                      describe_open_quote(line));
    const std::size_t id_column = column_called(fields, "id");
    const std::size_t label_column = column_called(fields, "label");
    THRESHER_CHECK_AS(FileError, id_column < fields.size() && label_column < fields.size(),
                      "{}: the first line must name the columns id and label, it is \"{}\"", path,
                      excerpt(line));
    const std::size_t columns = std::max(id_column, label_column) + 1;
    Labels labels;
    BadLines bad(path);
    IdList list(bad);
    for (std::int64_t number = 2; next_line(text, line); ++number) {
        if (!split_csv_line(line, fields, separator)) {
            bad.add(number, describe_open_quote(line));
            continue;
        }
        if (fields.size() == 1 && fields[0].empty()) continue;
        if (fields.size() < columns) {
            bad.add(number,
                    fmt::format("{} fields, at least {} are needed", fields.size(), columns));
            continue;
        }
        const std::string& label = fields[label_column];
        if (label.empty()) {
            ++labels.unlabelled;
            continue;
        }
        const std::optional<std::int64_t> value = numbers.of(label);
        if (!value) {
            bad.add(number, fmt::format("\"{}\" is no class", excerpt(label)));
            continue;
        }
        if (list.add(number, fields[id_column])) labels.labels.push_back(*value);
    }
    const std::string names =
        class_names.empty() ? "" : fmt::format(", or one of {}", fmt::join(class_names, ", "));
    bad.report(fmt::format("{}; labels are 0 to {}{}", kIdsAllowed, numbers.classes() - 1, names));
    labels.ids = std::move(list.ids);
    return labels;
}

void write_labels(const std::string& path, const Labels& labels,
                  const std::vector<std::string>& class_names, Overwrite overwrite) {
    std::string text = "id,label\n";
    for (std::size_t i = 0; i < labels.ids.size(); ++i) {
        const auto label = static_cast<std::size_t>(labels.labels[i]);
        text += fmt::format("{},{}\n", labels.ids[i],
                            label < class_names.size() ? csv_field(class_names[label])
                                                       : std::to_string(labels.labels[i]));
    }
    write_file(path, text, overwrite);
}

}  // namespace thresher::io
