#include "io/hdf5/file.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

TEST_CASE("attributes of every kind read back") {
    const TemporaryDirectory directory;
    {
        hdf5::File file = hdf5::File::create(directory / "a.h5");
        const hdf5::ObjectRef root = file.root();
        hdf5::write_attribute(root, "text", std::string("Grüße, 世界"));
        hdf5::write_attribute(root, "empty", std::string());
        hdf5::write_attribute(root, "integer", std::int64_t{1} << 62);
        hdf5::write_attribute(root, "number", 0.1);
        hdf5::write_attribute(root, "numbers", std::vector<double>{1.5, -2.0});
        hdf5::write_attribute(root, "texts", std::vector<std::string>{"a", "", "ccc"});
        hdf5::write_attribute(root, "number", 0.2);  // replaces
        file.close();
    }
    const hdf5::File file = hdf5::File::open(directory / "a.h5");
    const hdf5::ObjectRef root = file.root();
    CHECK(hdf5::read_string(root, "text") == "Grüße, 世界");
    CHECK(hdf5::read_string(root, "empty") == "");
    CHECK(hdf5::read_integer(root, "integer") == std::int64_t{1} << 62);
    CHECK(hdf5::read_number(root, "number") == 0.2);
    CHECK(hdf5::read_numbers(root, "numbers") == std::vector<double>{1.5, -2.0});
    CHECK(hdf5::read_strings(root, "texts") == std::vector<std::string>{"a", "", "ccc"});
    CHECK_FALSE(hdf5::read_string(root, "absent").has_value());
    CHECK(hdf5::attribute_text(root, "numbers") == "1.5, -2");
    CHECK(contains(message_of([&] { hdf5::read_numbers(root, "text"); }), "not a number"));
}

TEST_CASE("a failed call names file, dataset and the library's reason") {
    const TemporaryDirectory directory;
    hdf5::File file = hdf5::File::create(directory / "a.h5");
    file.create_dataset({.name = "/deep/down/x", .type = hdf5::Type::int64, .shape = {3}});
    CHECK(file.has("/deep/down/x"));
    CHECK_FALSE(file.has("/deep/up/x"));
    CHECK_FALSE(file.is_dataset("/deep"));
    const std::string twice = message_of([&] {
        file.create_dataset({.name = "/deep/down/x", .type = hdf5::Type::int64, .shape = {3}});
    });
    CHECK(contains(twice, "a.h5: cannot create dataset /deep/down/x"));
    CHECK(contains(twice, "name already exists"));
    CHECK(contains(message_of([&] { file.dataset("/y"); }), "has no dataset /y; it has deep"));
    std::vector<std::int64_t> values(4);
    CHECK(contains(message_of([&] {
                       file.dataset("/deep/down/x").read({0, 4}, values);
                   }),
                   "rows 0 to 4 of dataset /deep/down/x were asked for, but it has 3"));
}

TEST_CASE("unsigned numbers that no id can be are refused") {
    const TemporaryDirectory directory;
    hdf5::File file = hdf5::File::create(directory / "a.h5");
    hdf5::Dataset ids =
        file.create_dataset({.name = "/ids", .type = hdf5::Type::uint64, .shape = {3}});
    std::vector<std::uint64_t> values{5, 6, (std::uint64_t{1} << 63) - 2};
    ids.write_rows({0, 3}, hdf5::Type::uint64, std::as_bytes(std::span(values)));
    std::vector<std::int64_t> found(3);
    file.dataset("/ids").read({0, 3}, found);
    CHECK(found[2] == std::numeric_limits<std::int64_t>::max() - 1);
    values[2] = std::uint64_t{1} << 63;
    ids.write_rows({0, 3}, hdf5::Type::uint64, std::as_bytes(std::span(values)));
    CHECK(contains(message_of([&] {
                       file.dataset("/ids").read({0, 3}, found);
                   }),
                   "a.h5: dataset /ids holds a number of 2^63 - 1 or more among rows 0 to 3"));
}

TEST_CASE("text is stored in fixed length, and what is too long refused") {
    const TemporaryDirectory directory;
    hdf5::File file = hdf5::File::create(directory / "a.h5");
    hdf5::Dataset names = file.create_dataset(
        {.name = "/names", .type = hdf5::Type::text, .shape = {3}, .text_bytes = 5});
    names.write_text({0, 3}, std::vector<std::string>{"äé", "", "five5"});
    CHECK(names.read_text({0, 3}) == std::vector<std::string>{"äé", "", "five5"});
    CHECK(names.read_text({2, 3}) == std::vector<std::string>{"five5"});
    CHECK(contains(message_of([&] {
                       names.write_text({0, 1}, std::vector<std::string>{"sixsix"});
                   }),
                   "has 6 bytes, dataset /names holds at most 5"));
}
