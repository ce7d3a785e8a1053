#pragma once

// The bytes of a JSON text, from a file or from memory, for a parser that takes iterators. A value
// that nobody wants, such as a segmentation, can be passed over before the parser sees it.

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace thresher::io {

class JsonBytes {
  public:
    /// Reads `path` in pieces, or the `size` bytes of it from `offset` on, such as a file within an
    /// archive; `size` -1: to the end. Throws FileError where it cannot be opened.
    static JsonBytes of_file(const std::string& path, std::int64_t offset = 0,
                             std::int64_t size = -1);
    /// `text` must outlive it.
    static JsonBytes of_text(std::string_view text) { return JsonBytes(text); }

    /// Whether all has been read. Throws FileError where reading fails.
    bool at_end() { return cursor_ == limit_ && !refill(); }
    /// The next byte; not at the end.
    char peek() const { return *cursor_; }
    void advance() { ++cursor_; }

    /// Called right behind an object's key: the parser then sees null as its value.
    void pass_over_value();

    /// Bytes read so far.
    std::int64_t position() const;

  private:
    explicit JsonBytes(std::string_view text)
        : cursor_(text.data()), limit_(text.data() + text.size()), begin_(text.data()) {}

    bool refill();
    void pass_over_string();
    void pass_over_brackets();
    void pass_over_spaces();

    const char *cursor_, *limit_;                           ///< what the parser sees
    const char* begin_;                                     ///< of the piece
    const char *after_ = nullptr, *after_limit_ = nullptr;  ///< where it goes on behind a null
    std::int64_t earlier_ = 0;                              ///< bytes of earlier pieces
    std::shared_ptr<int> file_;
    std::int64_t left_ = -1;  ///< bytes of the file that are not read yet; -1: all there are
    std::string path_;
    std::vector<char> piece_;
};

/// An input iterator over JsonBytes; the default one is the end.
class JsonIterator {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = char;

    JsonIterator() = default;
    explicit JsonIterator(JsonBytes& bytes) : bytes_(&bytes) {}

    char operator*() const { return bytes_->peek(); }
    JsonIterator& operator++() {
        bytes_->advance();
        return *this;
    }
    bool operator==(const JsonIterator& other) const { return at_end() == other.at_end(); }

  private:
    bool at_end() const { return bytes_ == nullptr || bytes_->at_end(); }

    JsonBytes* bytes_ = nullptr;
};

}  // namespace thresher::io
