#include <unistd.h>

#include <cmath>
#include <fstream>

#include "io/hdf5/file.hpp"
#include "io/lookup_table_file.hpp"
#include "io/run/record_log.hpp"
#include "src/base/check.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using thresher::test::contains;
using thresher::test::TemporaryDirectory;

namespace {

LookupTable small_table() {
    LookupTable table(70);
    for (std::int64_t i = 0; i < 70; ++i) table.ids.push_back(1000 + i);
    table.repeats = 2;
    table.subsets.add(std::vector<std::int32_t>{0, 63, 64, 69});
    table.subsets.add(std::vector<std::int32_t>{5});
    table.subsets.add(std::vector<std::int32_t>{});
    table.numbers = {4, 8, 15};
    table.seeds = {~std::uint64_t{0}, 1, 2};
    table.seconds = {0.5, 0.25, 2.0};
    table.metrics["accuracy"] = {0.5, 0.6, std::nan(""), 0.7, 0.8, 0.9};
    table.metrics["negative-loss"] = {-1.0, -2.0, -3.0, -4.0, -5.0, -6.0};
    table.candidates_checksum = "xxh3-64:0";
    table.proxy = "softmax";
    table.facts = {1,
                   2,
                   std::vector<float>(70, 0.5F),
                   {1.0F, 2.0F},
                   std::vector<float>(140, -0.7F),
                   std::vector<float>(210, 3.0F)};
    return table;
}

}  // namespace

TEST_CASE("a lookup table comes back as it was written", "[table]") {
    const TemporaryDirectory directory;
    const std::string path = directory / "table.h5";
    const LookupTable table = small_table();
    write_lookup_table(path, table, {}, Overwrite::no);
    const LookupTable found = read_lookup_table(path);
    CHECK(found.subsets.candidates() == 70);
    CHECK(found.subsets.members(0) == std::vector<std::int32_t>{0, 63, 64, 69});
    CHECK(found.subsets.members(2).empty());
    CHECK(found.ids == table.ids);
    CHECK(found.numbers == table.numbers);
    CHECK(found.seeds == table.seeds);
    CHECK(found.seconds == table.seconds);
    CHECK(found.repeats == 2);
    CHECK(found.candidates_checksum == table.candidates_checksum);
    CHECK(found.proxy == "softmax");
    CHECK(found.metrics.at("negative-loss") == table.metrics.at("negative-loss"));
    CHECK(std::isnan(found.metrics.at("accuracy")[2]));
    CHECK(found.facts.features == table.facts.features);
    CHECK(found.facts.labelled_features == table.facts.labelled_features);
    CHECK(found.facts.log_probs == table.facts.log_probs);
    CHECK(found.facts.label_counts == table.facts.label_counts);
    CHECK(found.facts.classes == 2);
    CHECK_THROWS_WITH(write_lookup_table(path, table, {}, Overwrite::no), contains("exists"));
}

TEST_CASE("a lookup table that is damaged is refused by what is wrong with it", "[table]") {
    const TemporaryDirectory directory;
    const std::string path = directory / "table.h5";
    LookupTable table = small_table();
    table.numbers.pop_back();
    table.numbers.push_back(16);
    write_lookup_table(path, table, {}, Overwrite::no);
    {
        hdf5::File file = hdf5::File::open_writable(path);
        const std::vector<std::uint64_t> beyond{1, std::uint64_t{1} << 6};
        file.dataset("/subsets")
            .write_rows({1, 2}, hdf5::Type::uint64, std::as_bytes(std::span(beyond)));
    }
    CHECK_THROWS_WITH(read_lookup_table(path), contains("/subsets") && contains("beyond the 70"));
    hdf5::File other = hdf5::File::create(directory / "other.h5");
    other.close();
    CHECK_THROWS_WITH(read_lookup_table(directory / "other.h5"), contains("thresher-table"));
}

TEST_CASE("records are there again however their writer ended", "[table]") {
    const TemporaryDirectory directory;
    const std::string path = directory / "table.h5.records";
    const std::vector<std::int64_t> numbers{3, 9};
    {
        RecordLog log(path, "plan", 2);
        log.append(numbers, std::vector<double>{0.1, 0.2, 0.3, 0.4}, 1.5);
    }
    const auto cut = [&](std::uintmax_t size) { std::filesystem::resize_file(path, size); };
    const auto whole = std::filesystem::file_size(path);
    cut(whole - 1);  // killed in the last record
    {
        RecordLog log(path, "plan", 2);
        REQUIRE(log.records().size() == 1);
        CHECK(log.records().at(3).metrics == std::vector<double>{0.1, 0.2});
        CHECK(log.records().at(3).seconds == 1.5);
        log.append(std::vector<std::int64_t>{9}, std::vector<double>{0.5, 0.6}, 2.5);
    }
    {
        RecordLog log(path, "plan", 2);
        REQUIRE(log.records().size() == 2);
        CHECK_THROWS_WITH(RecordLog(path, "plan", 2),
                          contains(fmt::format("in use by process {} on host", getpid())));
        CHECK(log.records().at(9).metrics == std::vector<double>{0.5, 0.6});
    }
    CHECK_THROWS_WITH(RecordLog(path, "flan", 2), contains("another table"));
    {  // A block in the last record never reached the disk: one bit of a metric is another.
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(-10, std::ios::end);
        const int byte = file.get();
        file.seekp(-10, std::ios::end);
        file.put(static_cast<char>(byte ^ 1));
    }
    {
        RecordLog log(path, "plan", 2);
        REQUIRE(log.records().size() == 1);
        CHECK(log.records().count(3) == 1);
    }
    cut(4);  // killed before anything was said
    {
        RecordLog log(path, "flan", 2);
        CHECK(log.records().empty());
        log.remove();
    }
    CHECK_FALSE(std::filesystem::exists(path));
    CHECK_FALSE(std::filesystem::exists(path + ".lock"));
}
