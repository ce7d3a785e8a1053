#include "io/csv.hpp"

#include "src/base/text.hpp"

namespace thresher::io {

char csv_separator(std::string_view first_line) {
    if (first_line.find(',') != std::string_view::npos) return ',';
    for (const char separator : {';', '\t'}) {
        if (first_line.find(separator) != std::string_view::npos) return separator;
    }
    return ',';
}

void split_csv_line(std::string_view line, std::vector<std::string>& fields, char separator) {
    fields.clear();
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
            fields.push_back(std::move(field));
            at = line.find(separator, at);
        } else {
            const std::size_t end = line.find(separator, at);
            fields.emplace_back(trimmed(line.substr(at, end - at)));
            at = end;
        }
        if (at == std::string_view::npos) return;
        ++at;
    }
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

std::string_view without_byte_order_mark(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    return text;
}

}  // namespace thresher::io
