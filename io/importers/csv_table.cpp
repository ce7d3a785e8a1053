// Numbers in columns; one column may be the class, one the id.

#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "io/csv.hpp"
#include "io/importers/byte_stream.hpp"
#include "io/importers/formats.hpp"
#include "io/importers/import_sink.hpp"
#include "src/base/check.hpp"
#include "src/base/text.hpp"

namespace thresher::io {

namespace {

template <class Number>
std::optional<Number> number_in(const std::string& text) {
    Number value{};
    const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
    const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || begin == end)
        return std::nullopt;
    return value;
}

/// Whether a line counts its columns from 0, at least to 3; before them there may be one without
/// a name, for row numbers.
bool counts_columns(const std::vector<std::string>& fields) {
    const std::size_t first = fields[0].empty() ? 1 : 0;
    for (std::size_t i = first; i < fields.size(); ++i) {
        if (fields[i] != std::to_string(i - first)) return false;
    }
    return fields.size() - first >= 4;
}

class CsvImport {
  public:
    CsvImport(const ImportOptions& options, const Provenance& provenance)
        : options_(options), provenance_(provenance), stream_(options.source) {}

    ImportReport run() {
        std::string line;
        bool is_first = true, has_header = false;
        char separator = ',';
        while (stream_.read_line(line)) {
            ++line_number_;
            const std::string_view text =
                is_first ? without_byte_order_mark(line, options_.source) : line;
            if (is_first) separator = csv_separator(text);
            const bool is_whole = split_csv_line(text, fields_, separator);
            if (fields_.size() == 1 && fields_[0].empty()) continue;
            if (is_first) {
                is_first = false;
                THRESHER_CHECK_AS(FileError, is_whole, "{}: line {}: {}", options_.source,
                                  line_number_, describe_open_quote(text));
                has_header = read_header();
                if (has_header) continue;
            }
            if (!is_whole) {
                refuse(describe_open_quote(text));
                continue;
            }
            read_row();
        }
        THRESHER_CHECK_AS(FileError, sink_.has_value(), "{}: holds no row", options_.source);
        if (!names_.empty()) sink_->set_class_names(names_);
        ImportReport report = sink_->finish();
        report.notes.push_back(
            has_header ? "the first line names the columns and is no row (--header no makes it one)"
                       : "the first line is a row (--header yes if it names the columns)");
        return report;
    }

  private:
    /// True where the first line is a header; either way the columns are known afterwards.
    bool read_header() {
        bool is_header = options_.header == CsvHeader::yes;
        columns_ = fields_.size();
        const auto find = [&](const std::string& column, const char* option) -> std::size_t {
            if (column.empty()) return columns_;
            const bool is_name = options_.header != CsvHeader::no && !number_in<double>(column);
            for (std::size_t i = 0; is_name && i < columns_; ++i) {
                if (fields_[i] == column) return is_header = true, i;
            }
            const auto index = number_in<std::size_t>(column);
            THRESHER_CHECK_AS(
                UsageError, index && *index < columns_,
                "{} is \"{}\"; allowed are 0 to {} and the names in the first line of {} "
                "({})",
                option, column, columns_ - 1, options_.source,
                excerpt(fmt::format("{}", fmt::join(fields_, ", "))));
            return *index;
        };
        target_ = find(options_.target_column, "--target-column");
        id_ = find(options_.id_column, "--id-column");
        // A row may lack a value; names are no numbers.
        bool has_number = false;
        for (std::size_t i = 0; i < columns_; ++i) {
            if (i != target_ && i != id_ && number_in<double>(fields_[i])) has_number = true;
        }
        if (options_.header == CsvHeader::automatic && (!has_number || counts_columns(fields_))) {
            is_header = true;
        }
        const std::size_t inputs = columns_ - (target_ < columns_) - (id_ < columns_);
        THRESHER_CHECK_AS(FileError, inputs > 0, "{}: no column is left for the inputs",
                          options_.source);
        PoolSchema schema;
        schema.input_shape = {static_cast<std::int64_t>(inputs)};
        schema.element_type = ElementType::float32;
        schema.targets = target_ < columns_;
        schema.ids = id_ < columns_;
        sink_.emplace(options_, schema, provenance_);
        values_.resize(inputs);
        for (std::size_t c = 0; c < options_.class_names.size(); ++c) {
            class_of_[options_.class_names[c]] = static_cast<std::int64_t>(c);
        }
        return is_header;
    }

    void read_row() {
        if (fields_.size() != columns_) {
            return refuse(
                fmt::format("{} fields, the first line has {}", fields_.size(), columns_));
        }
        std::size_t at = 0;
        for (std::size_t i = 0; i < columns_; ++i) {
            if (i == target_ || i == id_) continue;
            const auto value = number_in<double>(fields_[i]);  // too small for a float is 0
            if (!value || !std::isfinite(static_cast<float>(*value))) {
                return refuse(
                    fmt::format("\"{}\" in column {} is no finite number", excerpt(fields_[i]), i));
            }
            values_[at++] = static_cast<float>(*value);
        }
        std::int64_t target = -1, id = -1;
        if (target_ < columns_ && !read_target(fields_[target_], target)) {
            return refuse(fmt::format("\"{}\" is no class", excerpt(fields_[target_])));
        }
        if (id_ < columns_) {
            const auto number = number_in<std::int64_t>(fields_[id_]);
            if (!number || *number < 0)
                return refuse(fmt::format("\"{}\" is no id", excerpt(fields_[id_])));
            id = *number;
        }
        sink_->add(line_number_, std::as_bytes(std::span(values_)), target, id);
    }

    /// A class is a number throughout, or a name throughout; the first row decides. Empty: unknown.
    bool read_target(const std::string& text, std::int64_t& target) {
        if (text.empty()) return true;
        if (const auto named = class_of_.find(text); named != class_of_.end()) {
            target = named->second;
            return true;
        }
        const auto number = number_in<std::int64_t>(text);
        if (!targets_are_numbers_) targets_are_numbers_ = number.has_value();
        if (*targets_are_numbers_) {
            target = number.value_or(-2);
            return number && *number >= 0;
        }
        if (!options_.class_names.empty()) return false;
        target = static_cast<std::int64_t>(names_.size());
        class_of_[text] = target;
        names_.push_back(text);
        return true;
    }

    void refuse(const std::string& reason) {
        sink_->quarantine(line_number_, fmt::format("line {}: {}", line_number_, reason));
    }

    const ImportOptions& options_;
    const Provenance& provenance_;
    ByteStream stream_;
    std::optional<ImportSink> sink_;
    std::vector<std::string> fields_, names_;
    std::unordered_map<std::string, std::int64_t> class_of_;
    std::vector<float> values_;
    std::size_t columns_ = 0, target_ = 0, id_ = 0;
    std::optional<bool> targets_are_numbers_;
    std::int64_t line_number_ = 0;
};

}  // namespace

ImportReport import_csv(const ImportOptions& options, const Provenance& provenance) {
    return CsvImport(options, provenance).run();
}

}  // namespace thresher::io
