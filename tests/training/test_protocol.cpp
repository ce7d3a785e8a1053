#include "src/training/actors/protocol.hpp"

#include "src/base/check.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

Message arrived(const SharedBytes& bytes) { return {3, *bytes}; }

ScoredPortion shipped_portion() {
    const std::byte one{1}, two{2};
    const Examples rows{
        {one, two, one, two}, {1, -1}, {40, 41}, {1, 0}, {5, 6, 7, 0}, {8, 9}, {8, 3}, {}, {}};
    return {{7, 2}, 5, {0.5F, -1.0F}, rows};
}

}  // namespace

TEST_CASE("a portion and its scores arrive as they were sent") {
    const std::vector<Portion> portions{{7, 0}, {7, 2}, {8, 1}};
    CHECK(unpack_portions(arrived(pack_portions(portions))) == portions);
    const ScoredPortion sent = shipped_portion();
    const ActorCosts costs{{1.0, 2.0, 3.0}, 4e9, 5e9};
    const Answer answer = unpack_scores(arrived(pack_scores(sent, costs)));
    CHECK(answer.scored.portion == sent.portion);
    CHECK(answer.scored.version == 5);
    CHECK(answer.scored.scores == sent.scores);
    CHECK(answer.scored.rows.inputs == sent.rows.inputs);
    CHECK(answer.scored.rows.targets == sent.rows.targets);
    CHECK(answer.scored.rows.ids == sent.rows.ids);
    CHECK(answer.scored.rows.clean_targets == sent.rows.clean_targets);
    CHECK(answer.scored.rows.tokens == sent.rows.tokens);
    CHECK(answer.scored.rows.image_ids == sent.rows.image_ids);
    CHECK(answer.scored.rows.caption_of == sent.rows.caption_of);
    CHECK(answer.costs.seconds.waited == 2.0);
    CHECK(answer.costs.seconds.communicated == 3.0);
    CHECK(answer.costs.reference_flops == 5e9);
}

TEST_CASE("parameters and running statistics arrive bit for bit") {
    const MemoryPool pool = byte_pool(4, {3, 32, 32}, 4);  // a network with batch-norm
    const auto from = make_model(spec_for_pool("resnet18", pool.info), 1);
    const auto to = make_model(spec_for_pool("resnet18", pool.info), 2);
    REQUIRE(bytes_of(*from) != bytes_of(*to));
    const std::vector<Model*> sender{from.get()}, receiver{to.get()};
    const SharedBytes message = pack_parameters(12, sender);
    CHECK(unpack_parameters(arrived(message), receiver) == 12);
    CHECK(bytes_of(*from) == bytes_of(*to));

    Message cut = arrived(message);
    cut.bytes.pop_back();
    CHECK_THROWS_WITH(unpack_parameters(cut, receiver),
                      contains("a message of rank 3 is cut short"));
}

TEST_CASE("a message that is cut short or of another kind is refused") {
    const Message whole = arrived(pack_scores(shipped_portion(), {}));
    for (std::size_t size = 0; size < whole.bytes.size(); ++size) {
        Message cut = whole;
        cut.bytes.resize(size);
        CHECK_THROWS_WITH(unpack_scores(std::move(cut)), contains("is cut short"));
    }
    CHECK_THROWS_WITH(unpack_portions(whole), contains("from rank 3, where"));
    CHECK_THROWS_AS(kind_of({1, {}}), Error);
}

TEST_CASE("rows of portions are put behind each other") {
    Examples all;
    append(all, shipped_portion().rows);
    append(all, {});
    append(all, shipped_portion().rows);
    CHECK(all.ids == std::vector<std::int64_t>{40, 41, 40, 41});
    CHECK(all.inputs.size() == 8);
    CHECK(all.clean_targets.size() == 4);
}
