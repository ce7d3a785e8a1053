#include "src/environments/images/covering_rows.hpp"
#include "src/environments/images/image_points.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

using Rows = std::vector<std::int64_t>;

/// Row i has boxes of these classes.
Boxes boxes_of(const std::vector<Rows>& classes) {
    Boxes boxes;
    for (const Rows& of_row : classes) {
        boxes.classes.insert(boxes.classes.end(), of_row.begin(), of_row.end());
        boxes.offsets.push_back(std::ssize(boxes.classes));
    }
    return boxes;
}

}  // namespace

TEST_CASE("a few rows have a box of each class, where rows do") {
    const Boxes boxes = boxes_of({{0}, {0, 0}, {}, {1, 0}, {2}, {1}});
    // In the order given, 0 brings class 0, 3 class 1 and 4 class 2.
    const Rows order{0, 1, 2, 3, 4, 5};
    CHECK(covering_rows(order, boxes, 4) == Rows{0, 3, 4, 1});
    CHECK(covering_rows(order, boxes, 2) == Rows{0, 3});
    // Backwards, 5 brings class 1, 4 class 2 and 3 class 0.
    const Rows backwards{5, 4, 3, 2, 1, 0};
    CHECK(covering_rows(backwards, boxes, 9) == Rows{5, 4, 3, 2, 1, 0});
    CHECK(covering_rows(Rows{2, 1, 0}, boxes, 2) == Rows{1, 2});
}

TEST_CASE("an image is of the class that most of its boxes have") {
    CHECK(main_class(Rows{2, 1, 2}, 3) == 2);
    CHECK(main_class(Rows{2, 1}, 3) == 1);
    CHECK(main_class(Rows{}, 3) == 3);
}
