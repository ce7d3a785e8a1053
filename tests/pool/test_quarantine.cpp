#include <string>
#include <vector>

#include "src/base/check.hpp"
#include "src/pool/quarantine.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;
using thresher::test::on_all_ranks;

TEST_CASE("a limit is a share with a percent sign and a count without", "[quarantine]") {
    const auto share = BadLimit::parse("1%");
    CHECK(share.is_share);
    CHECK(share.value == Approx(0.01));
    CHECK(share.rows_allowed(1000) == 10);
    CHECK(share.rows_allowed(99) == 0);
    const auto count = BadLimit::parse("20");
    CHECK(!count.is_share);
    CHECK(count.rows_allowed(5) == 20);
    CHECK(BadLimit::parse("0").rows_allowed(1000) == 0);
    CHECK(BadLimit::parse("100%").rows_allowed(7) == 7);
    CHECK(BadLimit::parse("0.5%").rows_allowed(1000) == 5);
}

TEST_CASE("a whole percentage of a hundred rows is that many rows", "[quarantine]") {
    for (int percent = 0; percent <= 100; ++percent) {
        CHECK(BadLimit::parse(std::to_string(percent) + "%").rows_allowed(100) == percent);
    }
}

TEST_CASE("anything else is refused as a limit", "[quarantine]") {
    for (const char* text :
         {"", "%", "-1", "1.5", "101%", "1 %", "many", "1%%", "nan", "inf", "1e3"}) {
        INFO(text);
        CHECK_THROWS_AS(BadLimit::parse(text), UsageError);
    }
    CHECK_THROWS_WITH(
        BadLimit::parse("many"),
        "--max-bad \"many\" is not understood; allowed: a count such as 20, or a share of "
        "all rows between 0% and 100% such as 1%");
}

TEST_CASE("bad rows of all ranks arrive at the root in id order", "[quarantine]") {
    on_all_ranks([](Collective& collective) {
        const int rank = collective.rank(), ranks = collective.size();
        const std::vector<QuarantinedRow> own{{1000 + rank, "score is nan"},
                                              {ranks - rank, fmt::format("rank {}", rank)}};
        const auto all = gather_quarantine(collective, own);
        if (!collective.is_root()) {
            CHECK_ON_RANK(collective, all.empty());
            return;
        }
        CHECK_ON_RANK(collective, static_cast<int>(all.size()) == 2 * ranks);
        for (int i = 0; i < ranks; ++i) {
            const auto& low = all[static_cast<std::size_t>(i)];
            CHECK_ON_RANK(collective, low.id == i + 1);
            CHECK_ON_RANK(collective, low.reason == fmt::format("rank {}", ranks - 1 - i));
            CHECK_ON_RANK(collective, all[static_cast<std::size_t>(ranks + i)].id == 1000 + i);
        }
    });
}

TEST_CASE("too many bad rows stop every rank with the same text", "[quarantine]") {
    on_all_ranks([](Collective& collective) {
        std::vector<QuarantinedRow> own;
        if (collective.rank() == collective.size() - 1) {
            for (std::int64_t id : {9, 3, 8, 4, 7, 5, 6}) own.push_back({id, "score is nan"});
        }
        check_bad_rows(collective, own, 700, BadLimit::parse("1%"));
        check_bad_rows(collective, own, 8, BadLimit::parse("7"));
        std::string message;
        try {
            check_bad_rows(collective, own, 699, BadLimit::parse("1%"));
        } catch (const Error& error) {
            message = error.what();
        }
        CHECK_ON_RANK(collective,
                      message ==
                          "7 of 699 rows are bad, more than the 6 that --max-bad 1% allows: "
                          "id 3 (score is nan), id 4 (score is nan), id 5 (score is nan), "
                          "id 6 (score is nan), id 7 (score is nan), ...; repair the data or "
                          "raise --max-bad");
    });
}
