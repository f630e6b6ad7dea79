// SPDX-License-Identifier: Apache-2.0
#include <muster/topology/row_major.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <limits>
#include <vector>

using muster::dynamic;
using muster::detail::product;
using muster::detail::ranks_along;

TEST_CASE("a product leaves out what is open and what it is told to") {
    CHECK(product(std::array{2, 3, 4}) == 24);
    CHECK(product(std::array{2, dynamic, 4}) == 8);
    CHECK(product(std::array{2, 3, 4}, 1) == 8);
    CHECK(product(std::array{dynamic}) == 1);
}

TEST_CASE("a product beyond 64 bits stays at the largest") {
    constexpr int most = std::numeric_limits<int>::max();
    CHECK(product(std::array{most, most}) == static_cast<long long>(most) * most);
    CHECK(product(std::array{most, most, 2}) == 9223372028264841218);
    CHECK(product(std::array{most, most, 3}) == std::numeric_limits<long long>::max());
    CHECK(product(std::array{most, most, most, most, most, most, most, most}) == std::numeric_limits<long long>::max());
}

TEST_CASE("ranks along axes ascend, whichever are chosen") {
    constexpr std::array extents{2, 3, 2};
    CHECK(ranks_along(std::array{false, false, false}, extents) == std::vector{0});
    CHECK(ranks_along(std::array{false, false, true}, extents) == std::vector{0, 1});
    CHECK(ranks_along(std::array{false, true, false}, extents) == std::vector{0, 2, 4});
    CHECK(ranks_along(std::array{true, false, true}, extents) == std::vector{0, 1, 6, 7});
    CHECK(ranks_along(std::array{true, true, true}, extents) == std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
}

TEST_CASE("the largest world does not overflow") {
    constexpr std::array extents{2, std::numeric_limits<int>::max() / 2};
    CHECK(ranks_along(std::array{true, false}, extents) == std::vector{0, 1073741823});
    CHECK(muster::detail::rank_of(std::array{1, 1073741822}, extents) == 2147483645);
    CHECK(muster::detail::coordinate_of(2147483645, extents) == std::array{1, 1073741822});
}
