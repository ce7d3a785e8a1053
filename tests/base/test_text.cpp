#include <string>

#include "src/base/text.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace std::string_literals;

TEST_CASE("UTF-8 is what RFC 3629 says it is", "[text]") {
    for (const std::string& text :
         {""s, "plain"s, "caf\xC3\xA9"s, "\xE0\xA0\x80"s, "\xED\x9F\xBF\xEE\x80\x80"s,
          "\xF0\x90\x80\x80"s, "\xF0\x9F\x98\x80 smile"s, "\xF4\x8F\xBF\xBF"s}) {
        INFO(text);
        CHECK(is_utf8(text));
    }
    for (const std::string& text :
         {"caf\xE9"s, "\x80"s, "\xC3"s, "\xC3("s, "\xC0\x80"s, "\xC1\xBF"s,
          "\xE0\x9F\xBF"s,      // longer than it need be
          "\xED\xA0\x80"s,      // half of a pair in UTF-16
          "\xF0\x8F\xBF\xBF"s,  // longer than it need be
          "\xF4\x90\x80\x80"s,  // beyond the last code point
          "\xF8\x88\x80\x80\x80"s, "\xFF"s, "\xE2\x82"s, "a\0b"s}) {
        CHECK_FALSE(is_utf8(text));
    }
}

TEST_CASE("text is trimmed at both ends alone") {
    CHECK(trimmed(" \t a b\r\n") == "a b");
    CHECK(trimmed(" \n ").empty());
}

TEST_CASE("an excerpt cannot act on the terminal, and keeps letters of any language") {
    CHECK(excerpt("3,B\u00e4r,\u732b") == "3,B\u00e4r,\u732b");
    CHECK(excerpt("a\tb\x1b[2J\x7f") == "a\\tb\\x1b[2J\\x7f");
    CHECK(excerpt("\x89HDF\r\n") == "\\x89HDF\\x0d\\x0a");
    CHECK(excerpt("\xC2\x9B"
                  "2J\xC2\xA0") == "\\xc2\\x9b2J\xC2\xA0");
    CHECK(excerpt("caf\xE9") == "caf\\xe9");
    CHECK(excerpt(std::string(60, 'a')) == std::string(60, 'a'));
    CHECK(excerpt(std::string(61, 'a')) == std::string(60, 'a') + "...");
}
