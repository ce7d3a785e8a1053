#include "src/models/dropout_masks.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>

#include <cmath>
#include <vector>

#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

const c10::Device kCpu(c10::kCPU);
const std::vector<std::int64_t> kIds{7, 0, std::int64_t{1} << 40, 3};

MaskKeys keys_of(const std::vector<std::int64_t>& ids, bool consistent = false,
                 std::uint64_t seed = 5, std::uint32_t round = 2) {
    return {seed, round, ids, consistent};
}

}  // namespace

TEST_CASE("a mask drops the share asked for and scales the rest") {
    std::vector<std::int64_t> ids(100);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(3 * i);
    for (const double p : {0.1, 0.5, 0.8}) {
        INFO(p);
        const at::Tensor mask = dropout_mask(keys_of(ids), 0, 0, 1001, p, kCpu);
        REQUIRE(mask.sizes() == at::IntArrayRef({100, 1001}));
        const double dropped = mask.eq(0.0).to(at::kDouble).mean().item<double>();
        // Five standard deviations of a mean of 100 100 draws.
        CHECK(dropped == Approx(p).margin(5.0 * std::sqrt(p * (1.0 - p) / 100100.0)));
        const auto kept = static_cast<float>(1.0 / (1.0 - p));
        CHECK(mask.eq(0.0).logical_or(mask.eq(kept)).all().item<bool>());
    }
    CHECK(dropout_mask(keys_of(ids), 0, 0, 5, 1.0, kCpu).eq(0.0).all().item<bool>());
    CHECK(dropout_mask(keys_of(ids), 0, 0, 5, 0.0, kCpu).eq(1.0).all().item<bool>());
}

TEST_CASE("a row's mask depends on its id alone, not on its neighbours or its place") {
    const at::Tensor all = dropout_mask(keys_of(kIds), 3, 1, 50, 0.5, kCpu);
    for (std::size_t i = 0; i < kIds.size(); ++i) {
        const std::vector<std::int64_t> alone{kIds[i]};
        CHECK(dropout_mask(keys_of(alone), 3, 1, 50, 0.5, kCpu)[0].equal(
            all[static_cast<std::int64_t>(i)]));
    }
    CHECK_FALSE(all[0].equal(all[1]));
}

TEST_CASE("another seed, round, sample or layer draws another mask") {
    const at::Tensor mask = dropout_mask(keys_of(kIds), 3, 1, 50, 0.5, kCpu);
    CHECK(mask.equal(dropout_mask(keys_of(kIds), 3, 1, 50, 0.5, kCpu)));
    CHECK_FALSE(mask.equal(dropout_mask(keys_of(kIds), 4, 1, 50, 0.5, kCpu)));
    CHECK_FALSE(mask.equal(dropout_mask(keys_of(kIds), 3, 2, 50, 0.5, kCpu)));
    CHECK_FALSE(mask.equal(dropout_mask(keys_of(kIds, false, 6), 3, 1, 50, 0.5, kCpu)));
    CHECK_FALSE(mask.equal(dropout_mask(keys_of(kIds, false, 5, 3), 3, 1, 50, 0.5, kCpu)));
}

TEST_CASE("a consistent mask is one for all rows") {
    const at::Tensor mask = dropout_mask(keys_of(kIds, true), 3, 1, 50, 0.5, kCpu);
    REQUIRE(mask.sizes() == at::IntArrayRef({1, 50}));
    const std::vector<std::int64_t> others{99, 100};
    CHECK(mask.equal(dropout_mask(keys_of(others, true), 3, 1, 50, 0.5, kCpu)));
}

TEST_CASE("masks made by tensor operations, as on a GPU, have the same bits") {
    for (const bool consistent : {false, true}) {
        for (const std::int64_t elements : {1, 4, 6, 1023}) {
            const MaskKeys keys = keys_of(kIds, consistent);
            CHECK(dropout_mask(keys, 9, 2, elements, 0.3, kCpu)
                      .equal(dropout_mask_by_tensors(keys, 9, 2, elements, 0.3, kCpu)));
        }
    }
}

TEST_CASE("channels are dropped whole, and rows of one example stay together") {
    const MaskKeys keys = keys_of(kIds);
    const at::Tensor channels =
        DropoutMasks(keys, 0).drop_channels(at::ones({4, 6, 3, 2}), 0.5).flatten(2);
    CHECK(channels.eq(channels.select(2, 0).unsqueeze(2)).all().item<bool>());

    // Four tokens of each example, in one long first dimension or in a second one.
    const at::Tensor flat = DropoutMasks(keys, 0).drop(at::ones({16, 5}), 0.5);
    CHECK(flat.view({4, 4, 5}).equal(DropoutMasks(keys, 0).drop(at::ones({4, 4, 5}), 0.5)));
    CHECK_THROWS_WITH(DropoutMasks(keys, 0).drop(at::ones({6, 5}), 0.5),
                      thresher::test::contains("[6, 5]") && thresher::test::contains("4 examples"));

    DropoutMasks masks(keys, 0);
    const at::Tensor first = masks.drop(at::ones({4, 40}), 0.5);
    CHECK_FALSE(first.equal(masks.drop(at::ones({4, 40}), 0.5)));
    CHECK(masks.layers() == 2);
}
