#include <string>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/text.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;
using thresher::test::on_all_ranks;

namespace {

struct Seen {
    std::string type = "none", message;
    ExitCode exit_code = ExitCode::success;
};

Seen seen_by(Collective& collective, const std::function<void()>& work) {
    try {
        agree(collective, work);
        return {};
    } catch (const FileError& error) {
        return {"file", error.what(), error.exit_code()};
    } catch (const UsageError& error) {
        return {"usage", error.what(), error.exit_code()};
    } catch (const Requeue& error) {
        return {"requeue", error.what(), error.exit_code()};
    } catch (const Error& error) {
        return {"error", error.what(), error.exit_code()};
    } catch (const std::exception& error) {
        return {"other", error.what(), ExitCode::success};
    }
}

}  // namespace

TEST_CASE("where no rank fails, agreement throws nothing and each rank has done its work",
          "[agreement]") {
    on_all_ranks([](Collective& collective) {
        int result = -1;
        agree(collective, [&] { result = 10 * collective.rank(); });
        CHECK_ON_RANK(collective, result == 10 * collective.rank());
    });
}

TEST_CASE("an error on one rank reaches all with the same text, type and exit code",
          "[agreement]") {
    on_all_ranks([](Collective& collective) {
        const int last = collective.size() - 1;
        const auto seen = seen_by(collective, [&] {
            if (collective.rank() == last) fail<FileError>("pool.h5 is truncated");
        });
        const std::string expected =
            collective.size() == 1
                ? "pool.h5 is truncated"
                : fmt::format("pool.h5 is truncated (on rank {} of {})", last, collective.size());
        CHECK_ON_RANK(collective, seen.type == "file");
        CHECK_ON_RANK(collective, seen.message == expected);
        CHECK_ON_RANK(collective, seen.exit_code == ExitCode::failure);
    });
}

TEST_CASE("of different errors on several ranks the lowest rank's is thrown everywhere",
          "[agreement]") {
    on_all_ranks([](Collective& collective) {
        if (collective.size() < 3) return;
        const auto seen = seen_by(collective, [&] {
            if (collective.rank() == 1) fail<UsageError>("k is 0");
            if (collective.rank() == 2) fail<FileError>("the disk is full");
        });
        CHECK_ON_RANK(collective, seen.type == "usage");
        CHECK_ON_RANK(collective, seen.exit_code == ExitCode::usage);
        CHECK_ON_RANK(collective,
                      seen.message == fmt::format("k is 0 (on rank 1 of {}, of 2 that failed)",
                                                  collective.size()));
    });
}

TEST_CASE("an error on all ranks says so once", "[agreement]") {
    on_all_ranks([](Collective& collective) {
        const auto seen = seen_by(
            collective, [&] { fail<Requeue>("checkpointed by rank {}", collective.rank()); });
        CHECK_ON_RANK(collective, seen.type == "requeue");
        CHECK_ON_RANK(collective, seen.exit_code == ExitCode::requeue);
        if (collective.size() > 1) {
            CHECK_ON_RANK(
                collective,
                seen.message == fmt::format("checkpointed by rank 0 (on rank 0 of {}, as on "
                                            "all others)",
                                            collective.size()));
        }
    });
}

TEST_CASE("an error that some ranks have agreed on before names its rank once", "[agreement]") {
    on_all_ranks([](Collective& collective) {
        const auto seen =
            seen_by(collective, [&] { fail<FileError>("pool.h5 is truncated (on rank 1 of 2)"); });
        CHECK_ON_RANK(collective, seen.type == "file");
        CHECK_ON_RANK(collective, seen.message == "pool.h5 is truncated (on rank 1 of 2)");
    });
}

TEST_CASE("a rank that knows of a failure elsewhere leaves its work without an error of its own",
          "[agreement]") {
    on_all_ranks([](Collective& collective) {
        if (collective.size() == 1) return;
        const auto seen = seen_by(collective, [&] {
            if (collective.rank() == 0) fail<Error>("the disk is full");
            give_up();
        });
        CHECK_ON_RANK(collective, seen.message == fmt::format("the disk is full (on rank 0 of {})",
                                                              collective.size()));
    });
}

TEST_CASE("exceptions that are no Thresher errors are agreed on too", "[agreement]") {
    on_all_ranks([](Collective& collective) {
        if (collective.size() == 1) return;
        const auto seen = seen_by(collective, [&] {
            if (collective.rank() == 0) throw std::bad_alloc();
        });
        CHECK_ON_RANK(collective, seen.type == "error");
        CHECK_ON_RANK(collective, seen.message == fmt::format("out of memory (on rank 0 of {})",
                                                              collective.size()));
    });
}

TEST_CASE("long work is given up once another rank has failed, again and again", "[agreement]") {
    on_all_ranks([](Collective& collective) {
        if (collective.size() == 1) return;
        for (int round = 0; round < 3; ++round) {
            const int last = collective.size() - 1;
            const auto seen = seen_by(collective, [&] {
                if (collective.rank() == last) fail<FileError>("shard {} is truncated", round);
                for (;;) give_up_if_others_failed(collective);  // would never end by itself
            });
            CHECK_ON_RANK(collective, seen.type == "file");
            CHECK_ON_RANK(collective,
                          seen.message == fmt::format("shard {} is truncated (on rank {} of {})",
                                                      round, last, collective.size()));
            bool worked = false;
            agree(collective, [&] {
                give_up_if_others_failed(collective);
                worked = true;
            });
            CHECK_ON_RANK(collective, worked);
        }
    });
}

TEST_CASE("any_rank is true everywhere if one rank says so", "[agreement]") {
    on_all_ranks([](Collective& collective) {
        const bool one = any_rank(collective, collective.rank() == collective.size() - 1);
        const bool none = any_rank(collective, false);
        CHECK_ON_RANK(collective, one);
        CHECK_ON_RANK(collective, !none);
    });
}

TEST_CASE("a text is broadcast whatever its length and bytes", "[agreement]") {
    on_all_ranks([](Collective& collective) {
        const int root = collective.size() - 1;
        for (const std::string& text : {std::string(), std::string("seed = 7\n"),
                                        std::string("a\0b", 3), std::string(100'000, 'x')}) {
            const auto own = collective.rank() == root ? text : std::string("something else");
            const auto received = broadcast_text(collective, own, root);
            CHECK_ON_RANK(collective, received == text);
        }
    });
}
