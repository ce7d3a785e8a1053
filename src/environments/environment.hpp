#pragma once

// A game in which choosing a batch is learned: candidates whose targets the chooser does not know,
// a labelled set to begin with, and examples on which a learner is judged after it was trained on
// both. Plain data, made once from a seed: every episode starts from it again.

#include <cstdint>
#include <string>
#include <vector>

namespace thresher {

/// Points with their classes.
struct Points {
    std::int64_t rows = 0;
    std::vector<float> features;        ///< [rows, d]
    std::vector<std::int32_t> targets;  ///< [rows], classes from 0
};

struct Environment {
    std::string name;
    std::int64_t dimensions = 0;  ///< d, of all points
    std::int64_t classes = 0;     ///< C
    Points labelled;              ///< what the learner has to begin with
    Points candidates;            ///< [N]; the target is what labelling the candidate would tell
    Points reward;                ///< what rewards are measured on
    Points test;                  ///< what results are measured on; its own table never sees it
};

}  // namespace thresher
