#pragma once

// Ways in which learning to select fails, as they show in the curves of a training: each is
// detected, said once with the number that shows it, and with what to try. Adding one is a function
// and a line in the table.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thresher {

/// Name -> one value an update.
using Curves = std::map<std::string, std::vector<double>>;

struct Signature {
    std::string_view name, remedy;
    /// What shows it after the last update of the curves, of `updates` planned; nothing where it
    /// does not show.
    std::optional<std::string> (*detect)(const Curves& curves, std::int64_t updates);
};

/// Lines for the signatures that show and are not in `reported`, which they are added to. Local.
std::vector<std::string> new_signatures(const Curves& curves, std::int64_t updates,
                                        std::vector<std::string>& reported);

}  // namespace thresher
