#pragma once

// How the rows of an update are chosen. Out of every super-batch of B candidates, drawn uniformly,
// a method keeps b = B / rho to train on: it scores them with small models and samples without
// replacement in proportion to softmax(score / temperature) (Evans et al., "Bad Students Make Great
// Teachers", arXiv 2312.05328). One table: name -> what scores and what is kept.

#include <string_view>
#include <vector>

namespace thresher {

struct Method {
    std::string_view name;
    std::string_view acquisition;  ///< makes the scores from losses; empty: nothing is scored
    std::string_view selector;     ///< chooses by the scores
    double filter_ratio;           ///< rho, where no other is asked for
    bool learner_scores;           ///< the learner is its own online model
    std::string_view description, formula, source;
    /// Rows are chosen together, in chunks, by what the models say of all pairs of them.
    bool joint = false;
};

/// In the order in which `thresher list` shows them; the first is the default.
const std::vector<Method>& methods();

/// Throws UsageError, listing the known ones.
const Method& find_method(std::string_view name);

/// Whether the scores are made from the losses of this role.
bool needs_online(const Method& method);
bool needs_reference(const Method& method);
/// Whether rows are drawn one by one, so that each has odds of its own.
bool draws_rows(const Method& method);

}  // namespace thresher
