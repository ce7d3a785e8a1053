#include "io/describe.hpp"
#include "io/hdf5/file.hpp"
#include "io/policy_file.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

TrainedPolicy small_policy() {
    return {make_policy("walk", {5, 16, 1}, 8.0, 3),
            {"entropy", "probabilities"},
            7,
            "ring",
            500,
            {{"gain", {0.0, 1.25}}, {"entropy", {1.0, 0.5}}},
            {"xxh3-64:0123456789abcdef", "none"}};
}

}  // namespace

TEST_CASE("a policy reads back with the same bits") {
    const TemporaryDirectory directory;
    write_policy(directory / "policy.h5", small_policy(), {}, Overwrite::no);
    const TrainedPolicy read = read_policy(directory / "policy.h5");
    CHECK(read.policy.head == "walk");
    CHECK(read.policy.shape == PolicyShape{5, 16, 1});
    CHECK(read.policy.logit_bound == 8.0);
    CHECK(read.policy.parameters == small_policy().policy.parameters);
    CHECK(read.feature_kinds == small_policy().feature_kinds);
    CHECK(read.picks == 7);
    CHECK(read.environment == "ring");
    CHECK(read.retrainings == 500);
    CHECK(read.curves == small_policy().curves);
    CHECK(read.environment_checksums == small_policy().environment_checksums);
    CHECK(contains(describe(directory / "policy.h5"),
                   "+1.25 standard deviations of random batches, after 2 updates"));
    CHECK(contains(message_of([&] {
                       write_policy(directory / "policy.h5", small_policy(), {}, Overwrite::no);
                   }),
                   "exists already"));
}

TEST_CASE("a policy of before environments had checksums in it is read") {
    const TemporaryDirectory directory;
    TrainedPolicy old = small_policy();
    old.environment_checksums.clear();
    write_policy(directory / "policy.h5", old, {}, Overwrite::no);
    CHECK(read_policy(directory / "policy.h5").environment_checksums.empty());
}

TEST_CASE("a policy file whose parameters are not those of its sizes is refused") {
    const TemporaryDirectory directory;
    const std::string path = directory / "policy.h5";
    const auto with = [&](auto change) {
        TrainedPolicy policy = small_policy();
        change(policy);
        write_policy(path, policy, {}, Overwrite::yes);
        return message_of([&] { static_cast<void>(read_policy(path)); });
    };
    CHECK(contains(with([](TrainedPolicy& p) { p.policy.parameters.pop_back(); }),
                   "but a policy of 5 features, hidden size 16 and 1 outputs has"));
    CHECK(contains(with([](TrainedPolicy& p) { p.policy.parameters[3] = INFINITY; }),
                   "holds numbers that are not finite"));
    CHECK(contains(with([](TrainedPolicy& p) { p.picks = 0; }), "attribute picks is 0"));
    CHECK(contains(with([](TrainedPolicy& p) { p.policy.head.clear(); }),
                   "attribute head is missing"));
}
