#include "src/acquisition/acquisition.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "src/acquisition/pointwise.hpp"
#include "src/base/check.hpp"

namespace thresher {

const std::vector<Acquisition>& acquisitions() {
    static const std::vector<Acquisition> table{
        {"random",
         {},
         "largest",
         "a uniform number keyed by seed, round and id",
         "u",
         "-",
         "1 draw",
         score_random},
        {"least-confidence",
         {"log_probs"},
         "smallest",
         "probability of the likeliest class, of the mean prediction",
         "1 - max_c p_c",
         "Lewis and Gale 1994",
         "S C exponentials",
         score_least_confidence},
        {"margin",
         {"log_probs"},
         "smallest",
         "lead of the likeliest class over the second, of the mean prediction",
         "1 - (p_(1) - p_(2))",
         "Scheffer, Decomain and Wrobel 2001",
         "S C exponentials",
         score_margin},
        {"entropy",
         {"log_probs"},
         "largest",
         "entropy of the mean prediction",
         "- sum_c p_c log p_c",
         "Shannon 1948; Settles 2009",
         "S C exponentials, and C logarithms where S > 1",
         score_entropy},
        {"expected-entropy",
         {"log_probs"},
         "largest",
         "mean over samples of the entropy of each",
         "1/S sum_s H[p_s]",
         "Houlsby et al. 2011 (arXiv 1112.5745), the second term of bald",
         "S C exponentials",
         score_expected_entropy},
        {"bald",
         {"log_probs", "samples"},
         "largest",
         "mutual information of the label and the model",
         "H[p] - 1/S sum_s H[p_s]",
         "Houlsby et al. 2011 (arXiv 1112.5745); Gal, Islam and Ghahramani 2017",
         "S C exponentials, C logarithms",
         score_bald},
        {"average-kl",
         {"log_probs", "samples"},
         "largest",
         "mean divergence of the samples from their mean; equal to bald",
         "1/S sum_s KL(p_s || p)",
         "McCallum and Nigam 1998",
         "S C exponentials, C logarithms",
         score_bald},
        {"mean-std",
         {"log_probs", "samples"},
         "largest",
         "standard deviation over samples (population), mean over classes",
         "1/C sum_c sqrt(1/S sum_s (p_s,c - p_c)^2)",
         "Kampffmeyer, Salberg and Jenssen 2016; Gal, Islam and Ghahramani 2017",
         "S C exponentials, C roots",
         score_mean_std},
        {"variation-ratio",
         {"log_probs", "samples"},
         "largest",
         "share of the samples that do not vote for the winner",
         "1 - max_c v_c / S",
         "Freeman 1965; Gal, Islam and Ghahramani 2017",
         "S C exponentials; C counts",
         score_variation_ratio},
        {"vote-entropy",
         {"log_probs", "samples"},
         "largest",
         "entropy of the votes; a tie within a sample is a vote for its lowest class",
         "- sum_c v_c / S log(v_c / S)",
         "Dagan and Engelson 1995",
         "S C exponentials; C counts",
         score_vote_entropy},
        {"epig",
         {"log_probs", "samples", "consistent-samples", "target-predictions"},
         "largest",
         "what the label would tell about the labels of the target pool, mean over M targets",
         "1/M sum_x* KL(1/S sum_s p_s(y|x) p_s(y*|x*) || p(y|x) p(y*|x*))",
         "Bickford Smith et al. 2023 (arXiv 2304.08151)",
         "M C^2 S multiplications, M C^2 logarithms; M C S doubles a rank",
         score_epig},
        {"el2n",
         {"log_probs", "targets"},
         "largest",
         "distance of the prediction from the target, mean over samples",
         "1/S sum_s || p_s - onehot(y) ||_2",
         "Paul, Ganguli and Dziugaite 2021 (arXiv 2107.07075)",
         "S C exponentials",
         score_el2n},
        {"gradient-norm",
         {"log_probs", "embeddings"},
         "largest",
         "length of the last layer's gradient for the predicted class: a lower bound for any class",
         "|| p - onehot(argmax p) ||_2 || h ||_2",
         "Settles, Craven and Ray 2007; Ash et al. 2020 (arXiv 1906.03671), proposition 1",
         "S C exponentials, d multiplications",
         score_gradient_norm},
        {"distance-to-labelled",
         {"embeddings", "labelled"},
         "largest",
         "Euclidean distance to the nearest of m labelled rows",
         "min_j || h - h_j ||_2",
         "Sener and Savarese 2018 (arXiv 1708.00489), the first pick",
         "m d multiplications; m d floats a rank",
         score_distance_to_labelled},
        {"typicality",
         {"embeddings", "neighbours"},
         "largest",
         "density: inverse mean distance to the 20 nearest of the pool, or of 16384 of its rows "
         "drawn by seed where it has more",
         "1 / (1/K sum_k || h - h_(k) ||_2), K = 20",
         "Hacohen, Dekel and Weinshall 2022 (arXiv 2202.02794)",
         "min(N, 16384) d multiplications; as many floats a rank",
         score_typicality},
        {"box-entropy",
         {"boxes"},
         "largest",
         "entropy of each box over classes and background, aggregated over the boxes of an image; "
         "0 without boxes",
         "A_b w_b H[p_b], A: max, mean, sum or top-n, w_b the weight of the box's class",
         "Roy, Unmesh and Namboodiri 2018; Brust, Kaeding and Denzler 2019 (arXiv 1809.09875)",
         "M K exponentials",
         score_box_entropy},
        {"box-margin",
         {"boxes"},
         "smallest",
         "lead of the likeliest class over the second of each box, aggregated as box-entropy",
         "A_b w_b (1 - (p_b,(1) - p_b,(2)))",
         "Brust, Kaeding and Denzler 2019 (arXiv 1809.09875)",
         "M K exponentials",
         score_box_margin},
        {"box-least-confidence",
         {"boxes"},
         "smallest",
         "probability of the likeliest class of each box, aggregated as box-entropy",
         "A_b w_b (1 - max_c p_b,c)",
         "Lewis and Gale 1994; Brust, Kaeding and Denzler 2019 (arXiv 1809.09875)",
         "M K exponentials",
         score_box_least_confidence},
        {"box-flip",
         {"boxes", "box-flips"},
         "largest",
         "how little each box overlaps what is found in the mirrored image, aggregated as "
         "box-entropy",
         "A_b w_b (1 - max_b' IoU(b, mirror b')), b' of the same class",
         "Jeong et al. 2019 (CSD); Kao et al. 2018 (arXiv 1801.05124)",
         "M values; a second pass of the detector",
         score_box_flip},
        {"box-discrepancy",
         {"boxes", "box-discrepancies"},
         "largest",
         "how far the two class heads of the detector disagree on each box, aggregated as "
         "box-entropy",
         "A_b w_b 1/2 sum_c |p_b,c - q_b,c|, p and q by one head each",
         "Yuan et al. 2021 (MI-AOD, arXiv 2104.02324), without its steps on unlabelled images",
         "M values",
         score_box_discrepancy},
        {"predicted-loss",
         {"losses/predicted"},
         "largest",
         "what the learner expects of its own loss",
         "l^(x), by a head that was trained on log(1 + l(x | learner))",
         "Yoo and Kweon 2019 (arXiv 1905.03677)",
         "1 value",
         score_predicted_loss},
        {"hard-learner",
         {"losses/learner"},
         "largest",
         "loss of the learner",
         "l(x | learner)",
         "Evans et al. 2023 (arXiv 2312.05328)",
         "1 value",
         score_hard_learner},
        {"easy-reference",
         {"losses/reference"},
         "smallest",
         "loss of the reference",
         "- l(x | reference)",
         "Evans et al. 2023 (arXiv 2312.05328)",
         "1 value",
         score_easy_reference},
        {"learnability",
         {"losses/learner", "losses/reference"},
         "largest",
         "what the learner gets wrong and the reference does not",
         "l(x | learner) - l(x | reference)",
         "Mindermann et al. 2022 (arXiv 2206.07137); Evans et al. 2023",
         "2 values",
         score_learnability},
    };
    return table;
}

const Acquisition& find_acquisition(std::string_view name) {
    std::vector<std::string_view> known;
    for (const Acquisition& acquisition : acquisitions()) {
        if (acquisition.name == name) return acquisition;
        known.push_back(acquisition.name);
    }
    fail<UsageError>("unknown acquisition \"{}\"; known: {}", name, fmt::join(known, ", "));
}

std::vector<std::string_view> missing_needs(std::span<const std::string_view> needs,
                                            std::span<const std::string> available) {
    std::vector<std::string_view> missing;
    for (const std::string_view need : needs) {
        if (std::find(available.begin(), available.end(), need) == available.end()) {
            missing.push_back(need);
        }
    }
    return missing;
}

std::string_view remedy_for(std::string_view need) {
    static const std::map<std::string_view, std::string_view> remedies{
        {"log_probs", "strategy deterministic gives log_probs"},
        {"samples",
         "samples are two or more predictions of each row: strategy monte-carlo or ensemble gives "
         "them"},
        {"consistent-samples",
         "in consistent samples, sample s of every row is made by one model: strategy ensemble, or "
         "monte-carlo with --consistent-masks, gives them"},
        {"embeddings", "strategy embedding gives embeddings"},
        {"boxes", "strategy boxes gives boxes, of a detector (ssd, retinanet)"},
        {"box-flips", "strategy boxes with --box-flips gives box-flips"},
        {"box-discrepancies",
         "strategy boxes gives box-discrepancies, of a detector that was trained with two heads: "
         "--class-heads 2"},
        {"losses/learner", "strategy loss with --learner gives losses/learner"},
        {"losses/predicted",
         "strategy predicted-loss gives losses/predicted, of a detector that was trained with "
         "--loss-head"},
        {"losses/reference", "strategy loss with --reference gives losses/reference"},
        {"targets", "--pool with a pool that has targets gives targets"},
        {"labelled", "--labelled with the ids that have labels gives labelled"},
        {"neighbours", "neighbours are found by embeddings"},
        {"class-counts", "--pool with a pool that has targets or boxes gives class-counts"},
        {"target-predictions", "--target-pool gives target-predictions"}};
    const auto remedy = remedies.find(need);
    THRESHER_CHECK(remedy != remedies.end(), "no remedy is known for the need \"{}\"", need);
    return remedy->second;
}

void check_fits(const Acquisition& acquisition, std::span<const std::string> available) {
    const std::vector<std::string_view> missing = missing_needs(acquisition.needs, available);
    if (missing.empty()) return;
    std::vector<std::string_view> fitting, remedies;
    for (const Acquisition& other : acquisitions()) {
        if (missing_needs(other.needs, available).empty()) fitting.push_back(other.name);
    }
    for (const std::string_view need : missing) remedies.push_back(remedy_for(need));
    fail<UsageError>(
        "acquisition \"{}\" needs {}, but the predictions hold {}; {}; acquisitions that fit what "
        "is there: {}",
        acquisition.name, fmt::join(missing, " and "),
        available.empty() ? "nothing" : fmt::format("{}", fmt::join(available, ", ")),
        fmt::join(remedies, "; "), fmt::join(fitting, ", "));
}

}  // namespace thresher
