#include "tests/support/ranks.hpp"

namespace thresher::test {

std::mutex& assertion_mutex() {
    static std::mutex mutex;
    return mutex;
}

std::string name_of_rank(const Collective& collective) {
    return fmt::format("rank {} of {} ({})", collective.rank(), collective.size(),
                       collective.backend());
}

}  // namespace thresher::test
