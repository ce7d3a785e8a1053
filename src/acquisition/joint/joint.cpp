#include "src/acquisition/joint/joint.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>

#include "src/acquisition/acquisition.hpp"
#include "src/acquisition/joint/acquisitions.hpp"
#include "src/acquisition/joint/shard.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/selection/unique_ids.hpp"

namespace thresher {

const std::vector<JointAcquisition>& joint_acquisitions() {
    static const std::vector<JointAcquisition> table{
        {"k-center",
         {"embeddings"},
         "the row furthest from all labelled and picked rows; without any, the lowest id first",
         "min over centres c of |x - c|",
         "Gonzalez 1985; Sener and Savarese 2018 (arXiv 1708.00489)",
         "(k + L) N d / P",
         "5 N / P",
         "(k + L) (4 d + 16)",
         pick_k_center},
        {"batchbald",
         {"log_probs", "samples", "consistent-samples"},
         "the row whose label, together with those of the picked rows, says most about which "
         "sample "
         "is right; labelled rows have no part in it",
         "I(y_1..y_b; w) - I(y_1..y_(b-1); w)",
         "Kirsch, van Amersfoort and Gal 2019 (arXiv 1906.08158)",
         "k N S min(C^b, configurations) / P at most, far fewer while exact",
         "24 N / P + 24 S configurations / C",
         "k (4 S C + 16)",
         pick_batchbald},
        {"badge",
         {"log_probs", "embeddings"},
         "k-means++ on the gradients that the likeliest labels would give: first the largest, then "
         "drawn by squared distance to the nearest pick; labelled rows have no part in it",
         "min over picks b of |g - g_b|, g = (p - onehot(argmax p)) x h; the first |g|",
         "Ash et al. 2020 (arXiv 1906.03671)",
         "k N (C + d) / P",
         "(4 C + 13) N / P",
         "k (4 (C + d) + 20)",
         pick_badge},
        {"centroid",
         {"embeddings"},
         "of k clusters (k-means), the largest first, the row nearest to the centroid; labelled "
         "rows "
         "have no part in it",
         "- |x - centroid|",
         "Zhdanov 2019 (arXiv 1901.05954); k-means++: Arthur and Vassilvitskii 2007",
         "up to 26 k N d / P",
         "48 N / P + 24 k d",
         "up to 26 x 8 k d",
         pick_centroid},
        {"typiclust",
         {"embeddings"},
         "of min(L + k, 500) clusters (k-means), those with the fewest labelled rows first, then "
         "the "
         "largest: the row with the nearest neighbours; clusters of fewer than 5 rows come last",
         "- mean distance to the 20 nearest rows of the cluster, or of 2^14 random ones of it",
         "Hacohen, Dekel and Weinshall 2022 (arXiv 2202.02794)",
         "up to (26 min(L + k, 500) + 2^14) N d / P",
         "up to 56 N / P + 80 rows of a cluster + 24 min(L + k, 500) d",
         "4 N d + 26 x 8 min(L + k, 500) d",
         pick_typiclust},
        {"facility-location",
         {"embeddings"},
         "the row that best represents what the labelled and picked rows do not: greedy by exact "
         "gain, lazily; beyond exact_rows rows in two rounds: k rows from each of N / "
         "max(exact_rows "
         "/ 10, 2 k) random parts, then k of those, compared on exact_rows random rows",
         "sum over rows i of max(0, s_ij - max over picked and labelled c of s_ic)",
         "Minoux 1978; Mirzasoleiman et al. 2016 (JMLR 17); Wei, Iyer and Bilmes 2015",
         "N (min(N, exact_rows) + L) d / P, a few times",
         "60 N / P + 8 max(min(N, exact_rows), k parts)",
         "4 N d + k times some 100 (d + 32)",
         pick_facility_location},
        {"cluster-margin",
         {"log_probs", "embeddings"},
         "the margin_factor k rows of the smallest margin, in min(k, 500) clusters (k-means); from "
         "each in turn, the smallest first, a random row; labelled rows have no part in it",
         "1 - (p_(1) - p_(2))",
         "Citovsky et al. 2021 (arXiv 2107.14263), with k-means for its clustering of all pairs",
         "(N S C + 26 margin_factor k min(k, 500) d) / P",
         "16 N / P + 24 min(k, 500) d",
         "26 x 8 min(k, 500) d",
         pick_cluster_margin},
        {"class-balance",
         {"class-counts"},
         "an oracle, to measure others by: the row whose labels (target or boxes) most even out "
         "the classes of all that is labelled and picked",
         "sum over classes c of log(1 + n_c + row's count) - log(1 + n_c)",
         "the coverage of classes in its plainest submodular form: Lin and Bilmes 2011",
         "k N C / P",
         "4 C N / P",
         "k (4 C + 16)",
         pick_class_balance},
    };
    return table;
}

const JointAcquisition* find_joint_acquisition(std::string_view name) {
    for (const JointAcquisition& acquisition : joint_acquisitions()) {
        if (acquisition.name == name) return &acquisition;
    }
    return nullptr;
}

void check_fits(const JointAcquisition& acquisition, std::span<const std::string> available) {
    const auto missing = missing_needs(acquisition.needs, available);
    if (missing.empty()) return;
    std::vector<std::string_view> remedies, fitting;
    for (const std::string_view need : missing) remedies.push_back(remedy_for(need));
    for (const JointAcquisition& other : joint_acquisitions()) {
        if (missing_needs(other.needs, available).empty()) fitting.push_back(other.name);
    }
    fail<UsageError>(
        "acquisition \"{}\" needs {}, but the predictions hold {}; {}; joint acquisitions that fit "
        "what is there: {}",
        acquisition.name, fmt::join(missing, " and "),
        available.empty() ? "nothing" : fmt::format("{}", fmt::join(available, ", ")),
        fmt::join(remedies, "; "),
        fitting.empty() ? "none" : fmt::format("{}", fmt::join(fitting, ", ")));
}

Similarity similarity_named(std::string_view name) {
    if (name == "cosine") return Similarity::cosine;
    if (name == "dot") return Similarity::dot;
    if (name == "rbf") return Similarity::rbf;
    if (name == "neg-squared-distance") return Similarity::neg_squared_distance;
    fail<UsageError>("unknown similarity \"{}\"; known: cosine, dot, rbf, neg-squared-distance",
                     name);
}

void check_joint_options(const JointAcquisition& acquisition, const JointOptions& options) {
    THRESHER_CHECK_AS(UsageError, options.k >= 1, "k is {}; a batch has at least 1 row", options.k);
    if (acquisition.name == "badge" || acquisition.name == "batchbald" ||
        acquisition.name == "centroid") {
        THRESHER_CHECK_AS(UsageError, options.k <= kMostDraws,
                          "k is {}; {} picks at most {} rows at once: pick in several rounds",
                          options.k, acquisition.name, kMostDraws);
    }
    if (acquisition.name == "batchbald") {
        THRESHER_CHECK_AS(UsageError, options.configurations >= 1,
                          "batchbald with {} configurations; allowed: 1 and more",
                          options.configurations);
    }
    if (acquisition.name == "facility-location") {
        THRESHER_CHECK_AS(UsageError, options.exact_rows >= 1,
                          "facility-location is to be exact up to {} rows; allowed: 1 and more",
                          options.exact_rows);
    }
    if (acquisition.name == "cluster-margin") {
        THRESHER_CHECK_AS(UsageError, options.margin_factor >= 1,
                          "cluster-margin with {} candidates for a pick; allowed: 1 and more",
                          options.margin_factor);
    }
}

namespace {

/// What can be wrong with the spans of one rank. Local.
void check_shapes(const JointAcquisition& acquisition, const JointRows& rows) {
    const auto n = static_cast<std::size_t>(rows.rows);
    THRESHER_CHECK(rows.rows >= 0 && (rows.ids.empty() || rows.ids.size() == n) &&
                       (rows.excluded.empty() || rows.excluded.size() == n) &&
                       (rows.labelled.empty() || rows.labelled.size() == n),
                   "{} ids, {} marks of excluded and {} of labelled rows for {} rows",
                   rows.ids.size(), rows.excluded.size(), rows.labelled.size(), rows.rows);
    if (acquisition.reads("log_probs")) {
        THRESHER_CHECK(
            rows.samples >= 1 && rows.classes >= 1 &&
                rows.log_probs.size() == n * static_cast<std::size_t>(rows.samples * rows.classes),
            "{} log-probabilities for {} rows of {} samples and {} classes", rows.log_probs.size(),
            rows.rows, rows.samples, rows.classes);
    }
    if (acquisition.reads("samples")) {
        THRESHER_CHECK_AS(UsageError, rows.samples >= 2,
                          "{} measures how far samples disagree, but the predictions hold {} for "
                          "each row; predict with strategy monte-carlo or ensemble",
                          acquisition.name, rows.samples);
    }
    if (acquisition.reads("class-counts")) {
        THRESHER_CHECK(
            rows.label_classes >= 1 &&
                rows.class_counts.size() == n * static_cast<std::size_t>(rows.label_classes),
            "{} counts of labels for {} rows of {} classes", rows.class_counts.size(), rows.rows,
            rows.label_classes);
    }
    if (acquisition.reads("embeddings")) {
        THRESHER_CHECK(
            rows.embedding_size >= 1 &&
                rows.embeddings.size() == n * static_cast<std::size_t>(rows.embedding_size),
            "{} values of embeddings for {} rows of {}", rows.embeddings.size(), rows.rows,
            rows.embedding_size);
    }
}

/// Throws on all ranks alike unless they agree on the sizes; returns the rows of all.
std::int64_t check_sizes(Collective& collective, const JointRows& rows) {
    std::array<std::int64_t, 4> largest{rows.samples, rows.classes, rows.embedding_size,
                                        rows.ids.empty() ? 0 : 1};
    std::array<std::int64_t, 3> smallest{rows.samples, rows.classes, rows.embedding_size};
    std::array<std::int64_t, 1> total{rows.rows};
    collective.all_reduce_max(largest);
    collective.all_reduce_min(smallest);
    collective.all_reduce_sum(total);
    THRESHER_CHECK(std::equal(smallest.begin(), smallest.end(), largest.begin()),
                   "the ranks disagree on the sizes of a row: {} to {} samples, {} to {} classes, "
                   "embeddings of {} to {}",
                   smallest[0], largest[0], smallest[1], largest[1], smallest[2], largest[2]);
    if (largest[3] == 1) check_unique_ids(collective, rows.ids);
    return total[0];
}

}  // namespace

Selection select_jointly(Collective& collective, const JointAcquisition& acquisition,
                         const JointRows& rows, const JointOptions& options) {
    check_joint_options(acquisition, options);
    agree(collective, [&] { check_shapes(acquisition, rows); });
    const std::int64_t all_rows = check_sizes(collective, rows);
    THRESHER_CHECK(options.k <= all_rows, "k is {}, but the pool has {} rows; choose a smaller k",
                   options.k, all_rows);

    Selection selection;
    std::optional<JointShard> shard;
    agree(collective, [&] { shard.emplace(rows, acquisition, options, selection.quarantined); });
    shard->count(collective);
    selection.selectable = shard->all_open();
    THRESHER_CHECK(options.k <= shard->all_open(),
                   "k is {}, but only {} of the {} rows can be picked (the others are labelled, "
                   "excluded or quarantined); choose a smaller k",
                   options.k, shard->all_open(), all_rows);
    acquisition.pick(collective, *shard, options, selection);
    return selection;
}

}  // namespace thresher
