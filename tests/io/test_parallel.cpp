// Files that all ranks write together, through MPI-IO.

#include <optional>

#include "io/hdf5/parallel_file.hpp"
#include "io/predictions/predictions_file.hpp"
#include "io/predictions/scores_file.hpp"
#include "io/run/run_directory.hpp"
#include "mpi/communicator.hpp"
#include "tests/io/support.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

/// One directory for all ranks, made and removed by the root.
class SharedDirectory {
  public:
    explicit SharedDirectory(Collective& collective) : collective_(collective) {
        if (collective.is_root()) own_.emplace();
        std::string path = collective.is_root() ? own_->path() : std::string();
        auto size = static_cast<std::int64_t>(path.size());
        collective.broadcast(std::span(&size, 1));
        path.resize(static_cast<std::size_t>(size));
        collective.broadcast(std::span<char>(path));
        path_ = path;
    }
    ~SharedDirectory() { collective_.barrier(); }
    SharedDirectory(const SharedDirectory&) = delete;
    SharedDirectory& operator=(const SharedDirectory&) = delete;
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  private:
    Collective& collective_;
    std::optional<TemporaryDirectory> own_;
    std::string path_;
};

SharedFileOpener opener(const mpi::Communicator& communicator) {
    return [&communicator](const std::string& path) {
        return hdf5::open_parallel(path, communicator.raw());
    };
}

float score_of(std::int64_t row) { return static_cast<float>((row * 2654435761LL) % 1000003); }

/// This rank's part of `rows` in blocks of `block_rows`.
struct OwnRows {
    OwnRows(std::int64_t rows, std::int64_t block_rows, const Collective& collective)
        : range(BlockPartition{rows, block_rows, collective.size()}.owned_rows(collective.rank())) {
        for (std::int64_t row = range.begin; row < range.end; ++row) {
            scores.push_back(score_of(row));
            ids.push_back(3 * row + 1);
        }
    }
    RowRange range;
    std::vector<float> scores;
    std::vector<std::int64_t> ids;
};

}  // namespace

TEST_CASE("all ranks write one scores file, collectively, and any reader finds every row") {
    const mpi::Communicator communicator = mpi::Communicator::world();
    on_all_ranks([&](Collective& collective) {
        // Odd sizes, ranks without rows, and one rank that owns everything.
        for (const auto& [rows, block_rows] :
             {std::pair<std::int64_t, std::int64_t>{100003, 1000}, {2, 1}, {50, 64}}) {
            const SharedDirectory directory(collective);
            const std::string path = directory / "scores.h5";
            const OwnRows own(rows, block_rows, collective);
            OwnScores scores{.total_rows = rows, .rows = own.range, .ids = own.ids};
            scores.scores = {{"a", own.scores}, {"b", own.scores}};
            if (own.range.size() > 0) scores.quarantine = {{own.ids[0], "chosen by the test"}};
            const ScoresTransfer transfer =
                write_scores(path, scores, {}, {"x", "", 1, collective.size(), ""}, Overwrite::no,
                             collective, opener(communicator));
            CHECK_ON_RANK(collective, transfer.rounds == 3);
            CHECK_ON_RANK(collective, transfer.bytes == own.range.size() * 16);
            if (collective.size() > 1) {
                CHECK_ON_RANK(collective, transfer.collective_rounds == transfer.rounds);
            }
            const ScoresFile file(path);
            REQUIRE_ALL(collective, file.rows() == rows);
            std::vector<float> found(static_cast<std::size_t>(rows));
            std::vector<std::int64_t> ids(static_cast<std::size_t>(rows));
            file.read("b", {0, rows}, found);
            file.read_ids({0, rows}, ids);
            std::int64_t wrong = 0;
            for (std::int64_t row = 0; row < rows; ++row) {
                const auto i = static_cast<std::size_t>(row);
                if (found[i] != score_of(row) || ids[i] != 3 * row + 1) ++wrong;
            }
            CHECK_ON_RANK(collective, wrong == 0);
            const auto quarantine = file.quarantine();
            std::int64_t owners = own.range.size() > 0 ? 1 : 0;
            collective.all_reduce_sum(std::span(&owners, 1));
            CHECK_ON_RANK(collective, std::cmp_equal(quarantine.size(), owners));
        }
    });
}

TEST_CASE("ranks that do not cover the pool, or a file that exists, fail on all ranks") {
    const mpi::Communicator communicator = mpi::Communicator::world();
    on_all_ranks([&](Collective& collective) {
        const SharedDirectory directory(collective);
        const std::string path = directory / "scores.h5";
        const OwnRows own(100, 10, collective);
        OwnScores scores{.total_rows = 100, .rows = own.range};
        scores.scores = {{"a", own.scores}};
        const auto write = [&](const std::string& to) {
            return message_of([&] {
                write_scores(to, scores, {}, {}, Overwrite::no, collective, opener(communicator));
            });
        };
        CHECK_ON_RANK(collective, write(path) == "nothing was thrown");
        const std::string again = write(path), nowhere = write(directory / "none/scores.h5");
        CHECK_ON_RANK(collective, contains(again, "--overwrite"));
        CHECK_ON_RANK(collective, contains(nowhere, "does not exist"));
        scores.total_rows = 101;
        const std::string uncovered = write(directory / "other.h5");
        CHECK_ON_RANK(collective, contains(uncovered, "hold scores of 100 rows, the pool has 101"));
        CHECK_ON_RANK(collective, !std::filesystem::exists(directory / "other.h5.tmp"));
    });
}

TEST_CASE("all ranks write one predictions file, each block when it is ready") {
    const mpi::Communicator communicator = mpi::Communicator::world();
    on_all_ranks([&](Collective& collective) {
        const SharedDirectory directory(collective);
        constexpr std::int64_t kRows = 1001, kBlock = 64;
        PredictionsInfo info;
        info.path = directory / "predictions.h5";
        info.rows = kRows;
        info.output_kind = OutputKind::log_probs;
        info.samples = 1;
        info.classes = 2;
        info.loss_roles = {"learner"};
        const BlockPartition partition{kRows, kBlock, collective.size()};
        PredictionsWriter writer(info, {}, Overwrite::no, collective, opener(communicator));
        const RowRange blocks = partition.owned_blocks(collective.rank());
        agree(collective, [&] {
            for (std::int64_t block = blocks.begin; block < blocks.end; ++block) {
                const RowRange rows = partition.block(block);
                std::vector<float> outputs, losses;
                for (std::int64_t row = rows.begin; row < rows.end; ++row) {
                    outputs.insert(outputs.end(), {-score_of(row), 0.0F});
                    losses.push_back(score_of(row));
                }
                writer.write({rows, {}, outputs, {}, {{"learner", losses}}});
            }
        });
        writer.finish();
        const auto reader = open_predictions(info.path, 0, 1, 100);
        PredictionBlock block;
        std::int64_t right = 0;
        while (reader->next(block)) {
            for (std::int64_t row = block.rows.begin; row < block.rows.end; ++row) {
                const auto i = static_cast<std::size_t>(row - block.rows.begin);
                right += block.outputs[2 * i] == -score_of(row) &&
                         block.losses.at("learner")[i] == score_of(row);
            }
        }
        CHECK_ON_RANK(collective, right == kRows);
    });
}

TEST_CASE("a run directory that is held is refused on all ranks") {
    on_all_ranks([&](Collective& collective) {
        const SharedDirectory directory(collective);
        const RunDirectory run(directory / "run", RunStart::fresh, collective);
        const std::string message = message_of(
            [&] { const RunDirectory second(directory / "run", RunStart::resume, collective); });
        CHECK_ON_RANK(collective, contains(message, "in use by process"));
    });
}
