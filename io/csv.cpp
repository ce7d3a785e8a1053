#include "io/csv.hpp"

#include "src/base/check.hpp"
#include "src/base/text.hpp"

namespace thresher::io {

char csv_separator(std::string_view first_line) {
    std::string unquoted;
    bool in_quotes = false;
    for (const char c : first_line) {
        if (c == '"') {
            in_quotes = !in_quotes;
        } else if (!in_quotes) {
            unquoted += c;
        }
    }
    for (const char separator : {',', ';', '\t'}) {
        if (unquoted.find(separator) != std::string::npos) return separator;
    }
    return ',';
}

bool split_csv_line(std::string_view line, std::vector<std::string>& fields, char separator) {
    fields.clear();
    bool all_closed = true;
    std::size_t at = 0;
    for (;;) {
        std::size_t begin = line.find_first_not_of(separator == '\t' ? " " : " \t", at);
        if (begin != std::string_view::npos && line[begin] == '"') {
            std::string field;
            for (at = begin + 1; at < line.size(); ++at) {
                if (line[at] != '"') {
                    field += line[at];
                } else if (at + 1 < line.size() && line[at + 1] == '"') {
                    field += line[at++];
                } else {
                    break;
                }
            }
            all_closed = all_closed && at < line.size();
            fields.push_back(std::move(field));
            at = line.find(separator, at);
        } else {
            const std::size_t end = line.find(separator, at);
            fields.emplace_back(trimmed(line.substr(at, end - at)));
            at = end;
        }
        if (at == std::string_view::npos) return all_closed;
        ++at;
    }
}

std::string describe_open_quote(std::string_view line) {
    return fmt::format(
        "a quote is not closed (line breaks inside quotes are not supported): \"{}\"",
        excerpt(line));
}

std::string csv_field(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string quoted = "\"";
    for (char c : text) {
        if (c == '"') quoted += '"';
        quoted += c == '\n' || c == '\r' ? ' ' : c;
    }
    return quoted + "\"";
}

bool next_line(std::string_view& text, std::string_view& line) {
    if (text.empty()) return false;
    const std::size_t end = text.find('\n');
    line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return true;
}

std::string_view without_byte_order_mark(std::string_view text, const std::string& path) {
    THRESHER_CHECK_AS(FileError, !text.starts_with("\xFF\xFE") && !text.starts_with("\xFE\xFF"),
                      "{}: is text in UTF-16; save it as UTF-8", path);
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    return text;
}

}  // namespace thresher::io
