#include "src/policy/refreshed_table.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/random/permutation.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kTries = 8;  // to find each random subset that is new

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

/// Subsets, each once. A subset retrains to the same bits: a twin tells nothing, and estimators
/// that leave one out would take it for the absence of noise.
class Distinct {
  public:
    explicit Distinct(std::int64_t candidates) : candidates_(candidates) {}

    /// False where it is there already.
    bool add(std::span<const std::int32_t> subset) {
        PackedSubsets packed(candidates_);
        packed.add(subset);
        return add_packed(packed.bits());
    }
    bool add_packed(std::span<const std::uint64_t> bits) {
        return known_.emplace(bits.begin(), bits.end()).second;
    }

  private:
    std::int64_t candidates_;
    std::set<std::vector<std::uint64_t>> known_;
};

}  // namespace

RefreshedTable::RefreshedTable(Items items, Metric& truth, const TableOptions& options,
                               Collective& collective, const LookupTable* start)
    : truth_(truth),
      options_(options),
      collective_(collective),
      items_(std::move(items)),
      subsets_(items_.rows) {
    check_options();
    if (start != nullptr) {
        const UsableRecords usable = usable_records(*start, std::string(truth_.name()));
        Distinct seen(items_.rows);
        for (std::int64_t i = 0; i < usable.subsets.size(); ++i) {
            if (!seen.add_packed(usable.subsets[i])) continue;
            const std::vector<std::int32_t> members = usable.subsets.members(i);
            add(members, std::ssize(members), std::span(usable.values).subspan(at(i), 1));
        }
        return;
    }
    draw_table();
}

RefreshedTable::RefreshedTable(Items items, Metric& truth, const TableOptions& options,
                               Collective& collective, const TrainState& state)
    : truth_(truth),
      options_(options),
      collective_(collective),
      items_(std::move(items)),
      subsets_(items_.rows) {
    check_options();
    values_ = values_in<double>(state, "values");
    std::vector<std::uint64_t> bits(values_.size() * at(subsets_.words()));
    take(state, "subsets", std::span(bits));
    subsets_ = PackedSubsets(items_.rows, std::move(bits));
    random_.resize(values_.size());
    take(state, "random", std::span(random_));
}

void RefreshedTable::draw_table() {
    Distinct seen(items_.rows);
    const std::int64_t sizes = options_.most - options_.least + 1;
    for (std::int64_t extra = 0; extra < sizes; ++extra) {
        const std::int64_t size = options_.least + extra;
        const std::int64_t wanted = (options_.records - extra + sizes - 1) / sizes;
        std::vector<std::int32_t> subsets;
        std::int64_t found = 0;
        for (std::int64_t i = 0; found < wanted && i < kTries * wanted; ++i) {
            std::vector<std::int32_t> subset;
            draw_random(extra + i * sizes, size, subset);
            if (!seen.add(subset)) continue;
            subsets.insert(subsets.end(), subset.begin(), subset.end());
            ++found;
        }
        if (found > 0) add(subsets, size, retrain(subsets, size));
    }
}

void RefreshedTable::check_options() const {
    THRESHER_CHECK_AS(
        UsageError,
        options_.least >= 1 && options_.least <= options_.most && options_.most <= items_.rows,
        "a table of subsets of {} to {} candidates was asked for; there are {}", options_.least,
        options_.most, items_.rows);
    THRESHER_CHECK_AS(UsageError, options_.records >= 2 && options_.refreshed >= 1,
                      "a table of {} records and {} a refresh was asked for; it needs 2 and 1 at "
                      "the least",
                      options_.records, options_.refreshed);
}

void RefreshedTable::evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                              std::span<double> values) {
    TableMetric& estimate = fitted();
    const UsableRecords& records = estimate.records();
    if (size < records.least_size || size > records.most_size) {
        std::fill(values.begin(), values.end(), std::numeric_limits<double>::quiet_NaN());
        return;
    }
    estimate.evaluate(subsets, size, values);
}

RefreshReport RefreshedTable::refresh(std::span<const std::int32_t> batches, std::int64_t size) {
    Chosen chosen;
    if (collective_.is_root()) chosen = choose(batches, size);
    std::array<std::int64_t, 2> counts{chosen.proposed, std::ssize(chosen.subsets)};
    collective_.broadcast(std::span<std::int64_t>(counts));
    chosen.subsets.resize(at(counts[1]));
    collective_.broadcast(std::span(chosen.subsets));
    if (chosen.subsets.empty()) return {};  // every subset of this size has its record
    const std::span<const std::int32_t> subsets(chosen.subsets);
    std::vector<double> predicted(at(counts[0]));
    evaluate(subsets.first(predicted.size() * at(size)), size, predicted);
    const std::vector<double> retrained = retrain(subsets, size);
    add(subsets, size, retrained, counts[0]);

    RefreshReport report;
    report.random = random_spread(size);
    report.spread = spread_of_finite(retrained).deviation;
    std::vector<double> of_predicted, of_retrained, squares;
    for (std::size_t i = 0; i < predicted.size(); ++i) {
        const double error = predicted[i] - retrained[i];
        if (!std::isfinite(error)) continue;
        of_predicted.push_back(predicted[i]);
        of_retrained.push_back(retrained[i]);
        squares.push_back(error * error);
    }
    if (squares.empty()) return report;
    report.predicted = spread_of(of_predicted).mean;
    report.retrained = spread_of(of_retrained).mean;
    report.error = std::sqrt(spread_of(squares).mean);
    return report;
}

RefreshedTable::Chosen RefreshedTable::choose(std::span<const std::int32_t> batches,
                                              std::int64_t size) const {
    Distinct seen(items_.rows);
    for (std::int64_t i = 0; i < subsets_.size(); ++i) seen.add_packed(subsets_[i]);
    Chosen chosen;
    const auto take = [&](std::span<const std::int32_t> subset) {
        if (!seen.add(subset)) return false;
        chosen.subsets.insert(chosen.subsets.end(), subset.begin(), subset.end());
        return true;
    };
    const std::int64_t proposals = options_.refreshed - options_.refreshed / 4;
    for (std::size_t i = 0; i < batches.size() && chosen.proposed < proposals; i += at(size)) {
        chosen.proposed += take(batches.subspan(i, at(size)));
    }
    std::int64_t random = options_.refreshed - chosen.proposed;
    // Where nearly all subsets have their record, it does without.
    for (std::int64_t i = 0; random > 0 && i < kTries * options_.refreshed; ++i) {
        std::vector<std::int32_t> subset;
        draw_random(subsets_.size() + i, size, subset);
        random -= take(subset);
    }
    return chosen;
}

void RefreshedTable::draw_random(std::int64_t number, std::int64_t size,
                                 std::vector<std::int32_t>& subsets) const {
    const KeyedPermutation order(items_.rows, options_.seed, Stream::table_records,
                                 static_cast<std::uint32_t>(number));
    for (std::int64_t j = 0; j < size; ++j) subsets.push_back(static_cast<std::int32_t>(order(j)));
}

std::vector<double> RefreshedTable::retrain(std::span<const std::int32_t> subsets,
                                            std::int64_t size) {
    std::vector<double> values(subsets.size() / at(size));
    truth_.evaluate(subsets, size, values);
    return values;
}

void RefreshedTable::add(std::span<const std::int32_t> subsets, std::int64_t size,
                         std::span<const double> values, std::int64_t proposed) {
    estimate_.reset();
    for (std::size_t i = 0; i < values.size(); ++i) {
        subsets_.add(subsets.subspan(i * at(size), at(size)));
        values_.push_back(values[i]);
        random_.push_back(std::cmp_less(i, proposed) ? 0 : 1);
    }
}

Spread RefreshedTable::random_spread(std::int64_t size) const {
    std::vector<double> values;
    for (std::int64_t i = 0; i < subsets_.size(); ++i) {
        if (random_[at(i)] != 0 && subsets_.members_count(i) == size &&
            std::isfinite(values_[at(i)])) {
            values.push_back(values_[at(i)]);
        }
    }
    return values.size() < 2 ? Spread{} : spread_of(values);
}

void RefreshedTable::fit(const std::vector<double>& chosen) {
    EstimatorOptions settings = options_.settings;
    settings.chosen = chosen;
    estimate_ = std::make_unique<TableMetric>(usable_records(subsets_, values_, 1, truth_.name()),
                                              std::string(truth_.name()), options_.estimator,
                                              items_, settings);
}

TableMetric& RefreshedTable::fitted() {
    if (!estimate_) fit({});
    return *estimate_;
}

std::vector<std::int32_t> RefreshedTable::best() {
    const UsableRecords& records = fitted().records();
    const auto best = std::max_element(records.values.begin(), records.values.end());
    return records.subsets.members(best - records.values.begin());
}

TrainState RefreshedTable::export_state() const {
    TrainState state;
    put(state, "subsets", subsets_.bits());
    put(state, "values", std::span<const double>(values_));
    put(state, "random", std::span<const std::uint8_t>(random_));
    return state;
}

void fit_together(std::span<RefreshedTable* const> tables, Collective& collective) {
    std::vector<std::vector<double>> chosen(tables.size());
    const auto fitter = [&](std::size_t table) {
        return static_cast<int>(table % static_cast<std::size_t>(collective.size()));
    };
    agree(collective, [&] {
        for (std::size_t i = 0; i < tables.size(); ++i) {
            if (fitter(i) == collective.rank()) chosen[i] = tables[i]->fitted().chosen();
        }
    });
    for (std::size_t i = 0; i < tables.size(); ++i) {
        std::int64_t count = std::ssize(chosen[i]);
        collective.broadcast(std::span(&count, 1), fitter(i));
        chosen[i].resize(at(count));
        collective.broadcast(std::span(chosen[i]), fitter(i));
    }
    agree(collective, [&] {
        for (std::size_t i = 0; i < tables.size(); ++i) {
            if (!tables[i]->estimate_) tables[i]->fit(chosen[i]);
        }
    });
}

}  // namespace thresher
