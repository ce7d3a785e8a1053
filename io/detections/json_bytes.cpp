#include "io/detections/json_bytes.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;
constexpr std::string_view kNull = ":null";

}  // namespace

JsonBytes JsonBytes::of_file(const std::string& path, std::int64_t offset, std::int64_t size) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    THRESHER_CHECK_AS(FileError, descriptor >= 0, "{}: cannot be read: {}", path,
                      std::strerror(errno));
    JsonBytes bytes({});
    bytes.file_ = std::shared_ptr<int>(new int(descriptor), [](int* number) {
        ::close(*number);
        delete number;
    });
    bytes.path_ = path;
    bytes.left_ = size;
    THRESHER_CHECK_AS(FileError, offset == 0 || ::lseek(descriptor, offset, SEEK_SET) == offset,
                      "{}: cannot be read: {}", path, std::strerror(errno));
    bytes.piece_.resize(kPiece);
    return bytes;
}

/// Goes on behind a null, or reads the next piece; false at the end.
bool JsonBytes::refill() {
    if (after_ != nullptr) {
        cursor_ = after_;
        limit_ = after_limit_;
        after_ = nullptr;
        if (cursor_ != limit_) return true;
    }
    if (!file_) return false;
    earlier_ += limit_ - begin_;
    std::size_t most = piece_.size();
    if (left_ >= 0)
        most = static_cast<std::size_t>(std::min<std::int64_t>(left_, std::ssize(piece_)));
    ssize_t count = 0;
    do {
        count = ::read(*file_, piece_.data(), most);
    } while (count < 0 && errno == EINTR);
    THRESHER_CHECK_AS(FileError, count >= 0, "{}: cannot be read: {}", path_, std::strerror(errno));
    if (left_ >= 0) left_ -= count;
    begin_ = cursor_ = piece_.data();
    limit_ = cursor_ + count;
    return count > 0;
}

std::int64_t JsonBytes::position() const {
    return earlier_ + ((after_ != nullptr ? after_ : cursor_) - begin_);
}

void JsonBytes::pass_over_spaces() {
    while (!at_end() && std::strchr(" \t\r\n", peek()) != nullptr && peek() != '\0') advance();
}

/// From the opening quote to behind the closing one.
void JsonBytes::pass_over_string() {
    advance();
    while (!at_end() && peek() != '"') {
        if (peek() == '\\') {
            advance();
            if (at_end()) return;
        }
        advance();
    }
    if (!at_end()) advance();
}

/// From the opening bracket to behind the one that closes it.
void JsonBytes::pass_over_brackets() {
    std::int64_t depth = 0;
    do {
        const char byte = peek();
        if (byte == '"') {
            pass_over_string();
            continue;
        }
        if (byte == '[' || byte == '{') ++depth;
        if (byte == ']' || byte == '}') --depth;
        advance();
    } while (depth > 0 && !at_end());
}

void JsonBytes::pass_over_value() {
    pass_over_spaces();
    if (at_end() || peek() != ':') return;  // the parser will say what is wrong
    advance();
    pass_over_spaces();
    if (at_end()) return;
    if (peek() == '[' || peek() == '{') {
        pass_over_brackets();
    } else if (peek() == '"') {
        pass_over_string();
    } else {
        while (!at_end() && std::strchr(",}] \t\r\n", peek()) == nullptr) advance();
    }
    // A text that ends inside the value stays incomplete: the parser misses what closes the object.
    after_ = cursor_;
    after_limit_ = limit_;
    cursor_ = kNull.data();
    limit_ = cursor_ + kNull.size();
}

}  // namespace thresher::io
