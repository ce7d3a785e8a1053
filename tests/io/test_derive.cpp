#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "io/derive/derive.hpp"
#include "io/pool/pool_writer.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

struct Columns {
    explicit Columns(const std::string& path) : Columns(open_pool(path)) {}
    explicit Columns(const PoolFile& opened)
        : pool(opened),
          targets(static_cast<std::size_t>(pool.info().rows)),
          clean(targets.size()),
          source(targets.size()),
          inputs(targets.size() * 6) {
        const RowRange all{0, pool.info().rows};
        pool.read_targets(all, targets);
        pool.read_clean_targets(all, clean);
        pool.read_source_ids(all, source);
        pool.read_inputs(all, inputs);
    }
    PoolFile pool;
    std::vector<std::int64_t> targets, clean, source;
    std::vector<std::byte> inputs;
};

/// 3000 rows whose ids are 1000 + 2 * row, a fifth of them of unknown class.
PoolFile source_pool(const TemporaryDirectory& directory) {
    SmallPool{.rows = 3000, .ids = true, .names = true}.write(directory / "source.h5");
    return open_pool(directory / "source.h5");
}

std::int64_t source_row(std::int64_t id) { return (id - 1000) / 2; }

}  // namespace

TEST_CASE("rows of some classes are repeated, the others written once") {
    const TemporaryDirectory directory;
    const PoolFile pool = source_pool(directory);
    DeriveOptions options;
    options.output = directory / "repeated.h5";
    options.class_repeats.assign(static_cast<std::size_t>(pool.info().classes), 1);
    options.class_repeats[1] = 4;
    options.class_shares.assign(static_cast<std::size_t>(pool.info().classes), 1.0);
    options.class_shares[1] = 0.5;
    options.label_noise = 0.25;
    const Columns before(pool);
    const auto of_class_1 = std::count(before.targets.begin(), before.targets.end(), 1);
    const auto kept = std::llround(0.5 * static_cast<double>(of_class_1));
    const std::int64_t expected = 3000 - of_class_1 + 4 * kept;
    const auto derived = derive_pool(pool, options, {});
    CHECK(derived[0].rows == expected);
    CHECK(derived[0].repeated == 3 * kept);
    const Columns found(options.output);
    REQUIRE(found.pool.info().rows == expected);
    std::map<std::int64_t, std::int64_t> copies;
    for (const std::int64_t id : found.source) ++copies[id];
    for (const auto& [id, count] : copies) CHECK(count == (target_of(source_row(id)) == 1 ? 4 : 1));
    for (std::size_t i = 0; i < found.source.size(); ++i) {
        CHECK(found.clean[i] == target_of(source_row(found.source[i])));
    }
    options.repeat = 2;
    options.output = directory / "other.h5";
    CHECK_THROWS_WITH(derive_pool(pool, options, {}), contains("choose one"));
    options.repeat = 1;
    options.class_repeats.pop_back();
    CHECK_THROWS_WITH(derive_pool(pool, options, {}), contains("--class-repeats has"));
}

TEST_CASE("clean rows are added to a derived pool, of which more is known") {
    const TemporaryDirectory directory;
    SmallPool{.rows = 30}.write(directory / "source.h5");
    const PoolFile pool = open_pool(directory / "source.h5");
    DeriveOptions options;
    options.output = directory / "noisy";
    options.label_noise = 0.5;
    options.rows_per_shard = 20;
    derive_pool(pool, options, {});
    PoolSchema schema;
    schema.input_shape = pool.info().input_shape;
    schema.element_type = pool.info().element_type;
    schema.targets = true;
    schema.class_names = pool.info().class_names;
    PoolWriter writer(options.output, schema, {}, {.append = true});
    std::vector<std::byte> inputs(static_cast<std::size_t>(2 * pool.info().bytes_per_row()));
    writer.append({.rows = 2, .inputs = inputs, .targets = std::vector<std::int64_t>{1, 0}});
    writer.finish();
    const Columns found(options.output);
    REQUIRE(found.pool.info().rows == 32);
    CHECK(found.targets[30] == 1);
    CHECK(found.clean[30] == -1);
    CHECK(found.clean[29] == target_of(29));
    CHECK(found.source[29] == 29);
    CHECK(found.source[31] == -1);
    schema.names = true;
    CHECK_THROWS_WITH(PoolWriter(options.output, schema, {}, {.append = true}),
                      contains("with targets with names do not fit") &&
                          contains("with targets with clean targets"));
}

TEST_CASE("a subset keeps so many rows, in order, each with its origin") {
    const TemporaryDirectory directory;
    const PoolFile pool = source_pool(directory);
    DeriveOptions options;
    options.output = directory / "subset.h5";
    options.subset = 500;
    options.seed = 5;
    const auto derived = derive_pool(pool, options, {});
    REQUIRE(derived.size() == 1);
    CHECK(derived[0].rows == 500);
    const Columns found(options.output);
    CHECK(found.pool.info().rows == 500);
    CHECK(std::is_sorted(found.source.begin(), found.source.end()));
    CHECK(std::set(found.source.begin(), found.source.end()).size() == 500);
    for (std::size_t i = 0; i < 500; ++i) {
        const std::int64_t row = source_row(found.source[i]);
        REQUIRE(found.targets[i] == target_of(row));
        REQUIRE(found.inputs[i * 6 + 3] == byte_of(row, 3));
    }
    CHECK(found.pool.read_names({0, 1})[0] == fmt::format("row-{}", source_row(found.source[0])));
    CHECK(found.pool.info().std == pool.info().std);

    options.output = directory / "again.h5";
    derive_pool(pool, options, {});
    CHECK(Columns(options.output).source == found.source);
    options.output = directory / "other.h5";
    options.seed = 6;
    derive_pool(pool, options, {});
    CHECK(Columns(options.output).source != found.source);
}

TEST_CASE(
    "repeats lie apart, are jittered by the given deviation, and the first copy is untouched") {
    const TemporaryDirectory directory;
    const PoolFile pool = source_pool(directory);
    DeriveOptions options;
    options.output = directory / "repeated.h5";
    options.repeat = 2;
    options.jitter = 0.04;  // times std 0.5 and 255: 5.1 in units of u8
    const auto derived = derive_pool(pool, options, {});
    CHECK(derived[0].rows == 6000);
    CHECK(derived[0].repeated == 3000);
    const Columns found(options.output);
    double square = 0.0;
    std::int64_t count = 0;
    for (std::size_t i = 0; i < 3000; ++i) {
        REQUIRE(found.source[i] == found.source[i + 3000]);
        for (std::size_t j = 0; j < 6; ++j) {
            const int before = std::to_integer<int>(
                byte_of(static_cast<std::int64_t>(i), static_cast<std::int64_t>(j)));
            REQUIRE(std::to_integer<int>(found.inputs[i * 6 + j]) == before);
            if (before < 40 || before > 215) continue;  // far from where values are clipped
            const double change = std::to_integer<int>(found.inputs[(i + 3000) * 6 + j]) - before;
            square += change * change;
            ++count;
        }
    }
    // Rounding adds 1/12 to the variance; some 12000 values leave 1 % of error in its root.
    CHECK(std::sqrt(square / static_cast<double>(count)) ==
          Approx(std::sqrt(5.1 * 5.1 + 1.0 / 12)).epsilon(0.03));
}

TEST_CASE("label noise changes its share of targets and keeps the truth") {
    const TemporaryDirectory directory;
    const PoolFile pool = source_pool(directory);
    DeriveOptions options;
    options.output = directory / "noisy.h5";
    options.label_noise = 0.3;
    // 900 of 3000 rows are chosen; of those with a known class (4 in 5) ...
    double expected = 900 * 0.8;
    SECTION("uniform: one in three stays as it was") { expected *= 2.0 / 3.0; }
    SECTION("next class") { options.noise_kind = LabelNoise::next_class; }
    SECTION("a class map: class 2 stays") {
        options.noise_kind = LabelNoise::class_map;
        options.class_map = {2, 0, 2};
        expected *= 2.0 / 3.0;
    }
    const auto derived = derive_pool(pool, options, {});
    const Columns found(options.output);
    REQUIRE(found.pool.info().has_clean_targets);
    std::int64_t changed = 0;
    for (std::size_t i = 0; i < 3000; ++i) {
        REQUIRE(found.clean[i] == target_of(static_cast<std::int64_t>(i)));
        if (found.targets[i] == found.clean[i]) continue;
        ++changed;
        REQUIRE(found.clean[i] >= 0);
        if (options.noise_kind == LabelNoise::next_class) {
            REQUIRE(found.targets[i] == (found.clean[i] + 1) % 3);
        }
        if (options.noise_kind == LabelNoise::class_map) {
            REQUIRE(found.targets[i] ==
                    options.class_map[static_cast<std::size_t>(found.clean[i])]);
        }
    }
    CHECK(changed == derived[0].changed_targets);
    CHECK(static_cast<double>(changed) == Approx(expected).margin(60));  // about 4 deviations
}

TEST_CASE("imbalance keeps exactly its share of every class") {
    const TemporaryDirectory directory;
    const PoolFile pool = source_pool(directory);
    std::vector<std::int64_t> before(3, 0), after(3, 0);
    for (std::int64_t row = 0; row < 3000; ++row) {
        if (target_of(row) >= 0) ++before[static_cast<std::size_t>(target_of(row))];
    }
    DeriveOptions options;
    options.output = directory / "imbalanced.h5";
    options.class_shares = exponential_shares(16.0, 3);
    CHECK(options.class_shares[1] == Approx(0.25));
    derive_pool(pool, options, {});
    for (std::int64_t target : Columns(options.output).targets) {
        if (target >= 0) ++after[static_cast<std::size_t>(target)];
    }
    CHECK(after[0] == before[0]);
    CHECK(after[1] == std::llround(0.25 * static_cast<double>(before[1])));
    CHECK(after[2] == std::llround(0.0625 * static_cast<double>(before[2])));
}

TEST_CASE("a split is disjoint, and only the pool named is spoilt") {
    const TemporaryDirectory directory;
    const PoolFile pool = source_pool(directory);
    DeriveOptions options;
    options.output = directory / "parts";
    options.splits = parse_splits("clean=200,test=300,web=rest");
    options.spoil = "web";
    options.repeat = 2;
    options.label_noise = 0.5;
    const auto derived = derive_pool(pool, options, {});
    REQUIRE(derived.size() == 3);
    CHECK(derived[0].path == directory / "parts/clean.h5");
    const Columns clean(derived[0].path), test(derived[1].path), web(derived[2].path);
    CHECK(clean.targets.size() == 200);
    CHECK(test.targets.size() == 300);
    CHECK(web.targets.size() == 5000);
    CHECK_FALSE(clean.pool.info().has_clean_targets);
    CHECK(web.pool.info().has_clean_targets);
    CHECK(derived[0].changed_targets == 0);
    std::set<std::int64_t> sources(clean.source.begin(), clean.source.end());
    sources.insert(test.source.begin(), test.source.end());
    CHECK(sources.size() == 500);
    for (std::int64_t id : web.source) REQUIRE_FALSE(sources.contains(id));
    sources.insert(web.source.begin(), web.source.end());
    CHECK(sources.size() == 3000);
}

TEST_CASE("options that do not fit are refused before anything is written") {
    const TemporaryDirectory directory;
    const PoolFile pool = source_pool(directory);
    DeriveOptions options;
    options.output = directory / "x.h5";
    const auto message = [&](auto change) {
        DeriveOptions changed = options;
        change(changed);
        return message_of([&] { derive_pool(pool, changed, {}); });
    };
    CHECK(contains(message([](auto& o) { o.subset = 3001; }),
                   "--subset is 3001; there are 3000 rows"));
    CHECK(contains(message([](auto& o) { o.label_noise = 1.5; }), "--label-noise is 1.5"));
    CHECK(
        contains(message([](auto& o) { o.class_shares = {1.0}; }), "has 1 shares, the pool has 3"));
    CHECK(contains(message([](auto& o) { o.spoil = "web"; }), "none of the pools"));
    CHECK(contains(message([](auto& o) { o.splits = parse_splits("a=3000,b"); }),
                   "a rest of at least 1"));
    CHECK(contains(message_of([] { parse_splits("a=x"); }), "\"x\" is no number of rows"));
    CHECK(contains(message_of([] { parse_splits("a=rest,b=rest"); }), "only one pool"));
    CHECK(contains(message_of([] { parse_splits("a=1,a=2"); }), "names a twice"));
    CHECK(directory.files().size() == 1);
}
