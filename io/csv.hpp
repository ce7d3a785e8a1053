#pragma once

// Separated values as people and spreadsheets write them: commas or semicolons, quotes, blanks,
// CRLF, a byte-order mark.

#include <string>
#include <string_view>
#include <vector>

namespace thresher::io {

/// What separates the fields of a file with this first line: a comma, or a semicolon or a tab where
/// the line has those and no comma (spreadsheets write semicolons where the comma is decimal). What
/// stands in quotes does not count.
char csv_separator(std::string_view first_line);

/// The fields of one line, without surrounding blanks and quotes; "" inside quotes is one quote.
/// False where a quote is not closed: a line break inside quotes is not supported.
bool split_csv_line(std::string_view line, std::vector<std::string>& fields, char separator = ',');

/// What is wrong with a line that split_csv_line refuses, for a message.
std::string describe_open_quote(std::string_view line);

/// `text` as one field, quoted where needed.
std::string csv_field(const std::string& text);

/// Cuts the next line off `text`, without its line end; false at the end.
bool next_line(std::string_view& text, std::string_view& line);

/// Without the UTF-8 byte-order mark that spreadsheets put first. Throws FileError naming `path`
/// where the mark is that of UTF-16.
std::string_view without_byte_order_mark(std::string_view text, const std::string& path);

}  // namespace thresher::io
