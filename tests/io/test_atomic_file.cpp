#include <memory>

#include "io/atomic_file.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

TEST_CASE("a place is checked without a trace") {
    const TemporaryDirectory directory;
    write_file(directory / "x.tmp", "another job's", Overwrite::no);
    check_place(directory / "x", Overwrite::no);
    CHECK(directory.files() == std::vector<std::string>{"x.tmp"});
    CHECK(read_file(directory / "x.tmp") == "another job's");
    CHECK(contains(message_of([&] { check_place(directory / "x.tmp", Overwrite::no); }),
                   "exists already"));
    CHECK(contains(message_of([&] { check_place(directory / "none/x", Overwrite::no); }),
                   "does not exist; make it first"));
}

TEST_CASE("of two jobs that write one file the first is told, and the second writes it whole") {
    const TemporaryDirectory directory;
    {
        AtomicFile first(directory / "x", Overwrite::no);
        write_file_synced(first.temporary(), "first");
        AtomicFile second(directory / "x", Overwrite::no);
        write_file_synced(second.temporary(), "second");
        CHECK(contains(message_of([&] { first.commit(); }), "is written by another job too"));
        second.commit();
    }
    CHECK(directory.files() == std::vector<std::string>{"x"});
    CHECK(read_file(directory / "x") == "second");
}

TEST_CASE("a job that gives up takes no other's file with it") {
    const TemporaryDirectory directory;
    auto first = std::make_unique<AtomicFile>(directory / "x", Overwrite::no);
    AtomicFile second(directory / "x", Overwrite::no);
    write_file_synced(second.temporary(), "second");
    first.reset();
    second.commit();
    CHECK(read_file(directory / "x") == "second");
}
