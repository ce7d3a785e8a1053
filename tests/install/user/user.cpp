#include <cstdio>
#include <vector>

#include "src/base/collective.hpp"
#include "src/selection/select.hpp"

int main() {
    const auto collective = thresher::make_local_collective();
    const std::vector<float> scores{0.5F, 2.0F, -1.0F, 3.0F};
    const thresher::Selection batch =
        thresher::select_rows(*collective, {scores, 0, {}, {}}, 3, {});
    std::printf("%ld %ld %ld\n", batch.ids[0], batch.ids[1], batch.ids[2]);
}
