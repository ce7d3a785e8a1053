#include "io/importers/tar.hpp"

#include <charconv>
#include <cstring>
#include <string_view>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::int64_t kBlock = 512;
constexpr std::int64_t kMostExtension = std::int64_t{1} << 20;

/// Octal digits or, for what is too large for them, base 256 behind a first bit that is set.
std::int64_t number_in(std::string_view field) {
    std::int64_t value = 0;
    if ((static_cast<unsigned char>(field[0]) & 0x80U) != 0) {
        for (char c : field.substr(field.size() - 8))
            value = value << 8 | static_cast<unsigned char>(c);
        return value;
    }
    field.remove_prefix(std::min(field.find_first_not_of(' '), field.size()));
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
    return error == std::errc{} ? value : -1;
}

std::string text_in(std::string_view field) {
    return std::string(field.substr(0, std::min(field.find('\0'), field.size())));
}

/// What a POSIX extension ("27 path=...\n" and so on) says of the next file.
void read_extension(std::string_view text, TarEntry& next) {
    while (!text.empty()) {
        std::size_t length = 0;
        const auto [blank, error] = std::from_chars(text.data(), text.data() + text.size(), length);
        const auto key = static_cast<std::size_t>(blank - text.data()) + 1;
        if (error != std::errc{} || length <= key || length > text.size()) return;
        const std::string_view record = text.substr(key, length - key - 1);
        if (record.starts_with("path=")) next.name = record.substr(5);
        if (record.starts_with("size=")) {
            std::from_chars(record.data() + 5, record.data() + record.size(), next.size);
        }
        text.remove_prefix(length);
    }
}

}  // namespace

void for_each_in_tar(ByteStream& stream, const std::function<void(const TarEntry&)>& body) {
    char header[kBlock] = {};
    const std::string_view fields(header, sizeof header);
    std::int64_t at = 0;
    TarEntry next{{}, 0, -1};  // as far as an extension has said
    while (stream.read(header, sizeof header) == sizeof header && header[0] != '\0') {
        THRESHER_CHECK_AS(FileError, fields.substr(257, 5) == "ustar", "{}: is no tar archive",
                          stream.path());
        at += kBlock;
        const char type = header[156];
        std::int64_t size = number_in(fields.substr(124, 12));
        const bool is_file = type == '0' || type == '\0';
        if (is_file && next.size >= 0) size = next.size;
        THRESHER_CHECK_AS(FileError, size >= 0, "{}: the archive is damaged at byte {}",
                          stream.path(), at);
        if (type == 'L' || type == 'x') {
            THRESHER_CHECK_AS(FileError, size <= kMostExtension,
                              "{}: the archive is damaged at byte {}", stream.path(), at);
            std::string text(static_cast<std::size_t>(size), '\0');
            stream.read_exactly(text.data(), text.size(), "a long name");
            if (type == 'L') next.name = text_in(text);
            if (type == 'x') read_extension(text, next);
        } else if (is_file) {
            if (next.name.empty()) {
                // GNU's own variant has other things than folders in that place.
                const std::string folders = fields.substr(257, 6) == std::string_view("ustar\0", 6)
                                                ? text_in(fields.substr(345, 155))
                                                : "";
                next.name = (folders.empty() ? "" : folders + "/") + text_in(fields.substr(0, 100));
            }
            body({next.name, at, size});
            next = {{}, 0, -1};
        } else {
            stream.skip(size);
            next = {{}, 0, -1};
        }
        const std::int64_t padding = (kBlock - size % kBlock) % kBlock;
        stream.skip(padding);
        at += size + padding;
    }
}

}  // namespace thresher::io
