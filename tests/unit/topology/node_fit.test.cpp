// SPDX-License-Identifier: Apache-2.0
// What is computed from strides, against a look at every group of the world.
#include <muster/topology.hpp>
#include <muster/topology/node_fit.hpp>
#include <muster/topology/steps.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

using muster::Axis;
using muster::Cp;
using muster::Dp;
using muster::dynamic;
using muster::Topology;
using muster::Tp;
using namespace muster::detail;

namespace {

using Extents = std::array<int, 4>;
using Choice = std::array<bool, 4>;

std::vector<std::vector<int>> all_groups(const Choice& chosen, const Extents& extents) {
    Choice across{};
    for (std::size_t axis = 0; axis < 4; ++axis) across[axis] = !chosen[axis];
    std::vector<std::vector<int>> groups;
    for (const int first : ranks_along(across, extents)) groups.push_back(moved(ranks_along(chosen, extents), first));
    return groups;
}

Choice choice_of(std::mt19937::result_type bits) {
    return {(bits & 1U) != 0, (bits & 2U) != 0, (bits & 4U) != 0, (bits & 8U) != 0};
}

} // namespace

static_assert(muster::Topology3D<2, 4, 1>{}.next<Dp>(6) == 0);
static_assert(muster::Topology3D<2, 4, 1>{}.previous<Dp>(0) == 6);
static_assert(muster::Topology3D<2, 4, 1>{}.shard<Tp>(4096U) == 2048U);
static_assert(std::same_as<muster::Topology3D<2, dynamic, 3>::subset<Tp, Dp>, Topology<Axis<Dp>, Axis<Tp, 2>>>);
static_assert(muster::sub_topology<Dp, Cp>(muster::Topology3D<2, dynamic, 3>::for_world(24)).extents() ==
              std::array{4, 3});
static_assert(muster::sub_topology<Tp>(muster::Topology3D<2, dynamic, 3>::for_world(24)).static_size() == 2);

TEST_CASE("a crossing is found exactly where a group has ranks of two nodes") {
    std::mt19937 random(7);
    for (int i = 0; i < 3000; ++i) {
        Extents extents{};
        for (int& extent : extents) extent = static_cast<int>(random() % 5) + 1;
        const Choice chosen = choice_of(random() % 16);
        const int per_node = static_cast<int>(random() % 20) + 1;
        const auto groups = all_groups(chosen, extents);
        const bool crosses = std::ranges::any_of(
            groups, [&](const auto& group) { return group.front() / per_node != group.back() / per_node; });
        const Crossing found = find_crossing(chosen, extents, per_node);
        REQUIRE(found.any() == crosses);
        if (crosses) {
            REQUIRE(found.first / per_node != found.last / per_node);
            REQUIRE(std::ranges::any_of(
                groups, [&](const auto& group) { return group.front() == found.first && group.back() == found.last; }));
        }
    }
}

TEST_CASE("with a slower axis open, a crossing is one of some world") {
    std::mt19937 random(8);
    for (int i = 0; i < 500; ++i) {
        Extents extents{dynamic, 0, 0, 0};
        for (std::size_t axis = 1; axis < 4; ++axis) extents[axis] = static_cast<int>(random() % 4) + 1;
        const Choice chosen = choice_of((random() % 8) << 1U);
        const int per_node = static_cast<int>(random() % 12) + 1;
        REQUIRE(groups_are_known(chosen, extents));
        const bool any = find_crossing(chosen, extents, per_node).any();
        Extents large = extents;
        large[0] = 1000;
        REQUIRE(any == find_crossing(chosen, large, per_node).any());
    }
    CHECK_FALSE(groups_are_known(choice_of(1), Extents{dynamic, 2, 2, 2}));
    CHECK_FALSE(groups_are_known(choice_of(1), Extents{2, 2, dynamic, 2}));
    CHECK(groups_are_known(choice_of(8), Extents{2, 2, dynamic, 2}));
}

TEST_CASE("steps are equal exactly where the groups are") {
    std::mt19937 random(9);
    int equal = 0;
    for (int i = 0; i < 20000; ++i) {
        Extents a{};
        Extents b{};
        for (int& extent : a) extent = 1 << (random() % 3);
        b = a;
        std::ranges::shuffle(b, random);
        const Choice along_a = choice_of(random() % 16);
        const Choice along_b = choice_of(random() % 16);
        const bool same = all_groups(along_a, a) == all_groups(along_b, b);
        REQUIRE((steps_along(along_a, a) == steps_along(along_b, b)) == same);
        equal += same ? 1 : 0;
    }
    CHECK(equal > 1000);
}

TEST_CASE("neighbours are inverse, and a walk of the extent comes home") {
    const auto topology = Topology<Axis<Dp>, Axis<Tp, 3>, Axis<Cp>>::for_world(30, 2, 5);
    for (int rank = 0; rank < 30; ++rank) {
        CHECK(topology.previous<Tp>(topology.next<Tp>(rank)) == rank);
        CHECK(topology.next<Cp>(topology.previous<Cp>(rank)) == rank);
        CHECK(topology.next<Tp>(topology.next<Tp>(topology.next<Tp>(rank))) == rank);
        CHECK(topology.is_first<Cp>(rank) == (rank % 5 == 0));
        CHECK(topology.is_last<Cp>(rank) == (rank % 5 == 4));
    }
    CHECK_THROWS_AS(topology.next<Tp>(30), muster::Error);
}

TEST_CASE("a share is exact or the error names number and axis") {
    const auto topology = Topology<Axis<Dp>, Axis<Tp, 3>>::for_world(300);
    CHECK(topology.shard<Tp>(9) == 3);
    CHECK(topology.shard<Dp>(std::uint64_t{10'000'000'000'000'000'000U}) == 100'000'000'000'000'000U);
    CHECK(topology.shard<Dp>(std::int8_t{100}) == 1);
    try {
        (void)topology.shard<Dp>(4097);
        FAIL("no error");
    } catch (const muster::Error& error) {
        CHECK(std::string(error.text()) == "4097 is not divisible by DP (100)\n  nearest that fit: 4000 or 4100");
    }
}
