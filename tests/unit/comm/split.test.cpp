// SPDX-License-Identifier: Apache-2.0
#include <muster/comm/split.hpp>

#include <catch2/catch_test_macros.hpp>

#include <limits>
#include <string>
#include <vector>

using muster::errc;
using muster::Error;
using muster::no_color;
using namespace muster::detail;

TEST_CASE("members are ordered by key, then by rank in the parent") {
    constexpr int least = std::numeric_limits<int>::min();
    constexpr int most = std::numeric_limits<int>::max();
    const std::vector<SplitWish> wishes{{7, most}, {0, 5}, {7, -1}, {no_color, 0}, {7, -1}, {7, least}};
    CHECK(members_of(wishes, 7) == std::vector{5, 2, 4, 0});
    CHECK(members_of(wishes, 0) == std::vector{1});
    CHECK(members_of(wishes, 3).empty());
}

TEST_CASE("members of a split of a split keep their global ranks") {
    const std::vector<int> parent{13, 12, 10};
    CHECK(global_ranks(std::vector{2, 0}, parent) == std::vector{10, 13});
    CHECK(global_ranks({}, parent).empty());
}

TEST_CASE("a color is 0 or more, or no_color") {
    const std::vector<int> ranks{10, 11, 12};
    check_colors(std::vector<SplitWish>{{0, -1}, {no_color, -2}, {std::numeric_limits<int>::max(), 0}}, ranks, 11);
    // The first that is none is named by its global rank, also on the ranks that are in order.
    const std::vector<SplitWish> wishes{{0, 0}, {0, 0}, {no_color - 1, 0}};
    try {
        check_colors(wishes, ranks, 11);
        FAIL("a color below no_color passed");
    } catch (const Error& error) {
        CHECK(error.code() == errc::invalid_argument);
        CHECK(error.rank() == 11);
        CHECK(error.ranks() == std::vector{12});
        CHECK(error.text() ==
              "split: rank 12 gave the color " + std::to_string(no_color - 1) + "; a color is 0 or more, or no_color");
    }
}
