#include "io/detections/coco_records.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

using Json = nlohmann::json;

enum class Field {
    none,
    id,
    image_id,
    category_id,
    area,
    score,
    width,
    height,
    crowd,
    ignore,
    name,
    file_name,
    box
};

Field field_named(std::string_view key) {
    static constexpr std::array<std::pair<std::string_view, Field>, 13> kFields{{
        {"id", Field::id},
        {"image_id", Field::image_id},
        {"category_id", Field::category_id},
        {"bbox", Field::box},
        {"area", Field::area},
        {"score", Field::score},
        {"iscrowd", Field::crowd},
        {"ignore", Field::ignore},
        {"difficult", Field::ignore},
        {"width", Field::width},
        {"height", Field::height},
        {"name", Field::name},
        {"file_name", Field::file_name},
    }};
    for (const auto& [name, field] : kFields) {
        if (name == key) return field;
    }
    return Field::none;
}

/// A whole number that a double holds exactly, as some programs write ids.
std::optional<std::int64_t> whole(double value) {
    constexpr double kExact = 0x1p53;
    if (!(std::abs(value) <= kExact) || value != std::floor(value)) return std::nullopt;
    return static_cast<std::int64_t>(value);
}

class Records : public nlohmann::json_sax<Json> {
  public:
    Records(JsonBytes& bytes, const std::string& name, const std::vector<std::string>& lists,
            const CocoRecordSink& sink)
        : bytes_(bytes),
          name_(name),
          lists_(lists),
          sink_(sink),
          record_depth_(lists.empty() ? 2 : 3) {}

    std::vector<std::string> found;

    bool null() override {
        stray();
        spoil_box();
        return true;
    }
    bool boolean(bool value) override {
        spoil_box();
        return number(value ? 1.0 : 0.0, value ? 1 : 0);
    }
    bool number_integer(number_integer_t value) override {
        return number(static_cast<double>(value), value);
    }
    bool number_unsigned(number_unsigned_t value) override {
        const bool fits = std::in_range<std::int64_t>(value);
        return number(static_cast<double>(value),
                      fits ? std::optional(static_cast<std::int64_t>(value)) : std::nullopt);
    }
    bool number_float(number_float_t value, const string_t&) override {
        return number(value, whole(value));
    }
    bool string(string_t& value) override {
        stray();
        spoil_box();
        if (depth_ != record_depth_ || !in_list_) return true;
        if (field_ == Field::name) record_.name = std::move(value);
        if (field_ == Field::file_name) record_.file_name = std::move(value);
        return true;
    }
    bool binary(binary_t&) override { return true; }

    bool start_object(std::size_t) override {
        spoil_box();
        enter('{');
        if (depth_ == record_depth_ && in_list_) {
            record_ = {};
            field_ = Field::none;
        }
        return true;
    }
    bool end_object() override {
        if (depth_ == record_depth_ && in_list_) sink_(list_, position_++, record_);
        --depth_;
        return true;
    }
    bool start_array(std::size_t) override {
        stray();
        spoil_box();
        enter('[');
        if (depth_ == record_depth_ - 1 && (lists_.empty() || is_wanted_)) {
            in_list_ = true;
            position_ = 0;
            found.push_back(list_);
        }
        if (in_list_ && depth_ == record_depth_ + 1 && field_ == Field::box) {
            in_box_ = true;
            record_.box.clear();
        }
        return true;
    }
    bool end_array() override {
        if (depth_ == record_depth_ - 1) in_list_ = false;
        if (depth_ == record_depth_ + 1) in_box_ = false;
        --depth_;
        return true;
    }
    bool key(string_t& key) override {
        if (!lists_.empty() && depth_ == 1) {
            list_ = key;
            is_wanted_ = std::find(lists_.begin(), lists_.end(), key) != lists_.end();
        } else if (depth_ == record_depth_ && in_list_) {
            field_ = field_named(key);
            if (key == "segmentation") bytes_.pass_over_value();
        }
        return true;
    }

    bool parse_error(std::size_t, const std::string& token,
                     const nlohmann::detail::exception& error) override {
        // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ...": the
        // parser counts lines and columns of what it was shown, which is not the file.
        std::string what = error.what();
        what.erase(0, what.find("] ") + 2);
        const auto colon = what.find(": ");
        if (what.starts_with("parse error") && colon != std::string::npos) {
            what.erase(0, colon + 2);
        }
        const bool no_number = what.find("invalid") != std::string::npos &&
                               (token.ends_with('N') || token.ends_with('I'));
        const std::string place =
            in_list_ ? fmt::format(", in {} {}", list_, position_) : std::string();
        fail<FileError>("{}: is no JSON: byte {}{}: {}{}", name_, bytes_.position(), place, what,
                        no_number ? " (JSON has neither NaN nor Infinity)" : "");
    }

  private:
    void enter(char bracket) {
        ++depth_;
        const char wanted = lists_.empty() ? '[' : '{';
        THRESHER_CHECK_AS(FileError, depth_ != 1 || bracket == wanted, "{}: begins with {}, but {}",
                          name_, bracket,
                          lists_.empty() ? "COCO results are a list [ of detections"
                                         : "COCO instances are an object { of lists");
    }

    /// Of a list's element that is no object: a record without fields.
    void stray() {
        if (!in_list_ || depth_ != record_depth_ - 1) return;
        record_ = {};
        sink_(list_, position_++, record_);
    }

    /// Of anything in a box that is no number: a number that no check lets pass.
    void spoil_box() {
        if (in_box_) record_.box.push_back(std::numeric_limits<double>::quiet_NaN());
    }

    bool number(double value, std::optional<std::int64_t> integer) {
        stray();
        if (in_box_ && depth_ == record_depth_ + 1) record_.box.push_back(value);
        if (depth_ != record_depth_ || !in_list_) return true;
        switch (field_) {
            case Field::id:
                record_.id = integer;
                break;
            case Field::image_id:
                record_.image_id = integer;
                break;
            case Field::category_id:
                record_.category_id = integer;
                break;
            case Field::area:
                record_.area = value;
                break;
            case Field::score:
                record_.score = value;
                break;
            case Field::width:
                record_.width = value;
                break;
            case Field::height:
                record_.height = value;
                break;
            case Field::crowd:
                record_.crowd = value;
                break;
            case Field::ignore:
                record_.ignore = value;
                break;
            default:
                break;
        }
        return true;
    }

    JsonBytes& bytes_;
    const std::string& name_;
    const std::vector<std::string>& lists_;
    const CocoRecordSink& sink_;
    const int record_depth_;
    int depth_ = 0;
    bool is_wanted_ = false, in_list_ = false, in_box_ = false;
    std::string list_ = "detections";
    std::int64_t position_ = 0;
    Field field_ = Field::none;
    CocoRecord record_;
};

}  // namespace

std::vector<std::string> read_coco_records(JsonBytes& bytes, const std::string& name,
                                           const std::vector<std::string>& lists,
                                           const CocoRecordSink& sink) {
    THRESHER_CHECK_AS(FileError, !bytes.at_end(), "{}: is empty, and so no JSON", name);
    Records records(bytes, name, lists, sink);
    Json::sax_parse(JsonIterator(bytes), JsonIterator(), &records);
    return std::move(records.found);
}

}  // namespace thresher::io
