// SPDX-License-Identifier: Apache-2.0
#include <muster/mesh/extents.hpp>
#include <muster/mesh/group_shape.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <string>
#include <type_traits>
#include <utility>

using Catch::Matchers::ContainsSubstring;
using muster::dynamic;
using muster::Environment;
using muster::errc;
using muster::Error;
using muster::Extents;
using muster::Launch;
using muster::Topology3D;

namespace {

Launch launch_of(int world_size, Environment environment = {}) {
    Launch launch;
    launch.world_size = world_size;
    launch.launcher = "torchrun";
    launch.from.world_size = "WORLD_SIZE";
    launch.environment = std::move(environment);
    return launch;
}

template <class Grid>
Grid fit(const Launch& launch, const Extents& extents = {}) {
    return muster::detail::fit(std::type_identity<Grid>{}, launch, extents);
}

template <class Grid>
std::string refusal(const Launch& launch, const Extents& extents = {}) {
    try {
        (void)fit<Grid>(launch, extents);
        return {};
    } catch (const Error& error) {
        return std::string(error.text());
    }
}

using Static = Topology3D<2, 2, 1>;
using Triple = Topology3D<3, dynamic, 1>;
using Open = Topology3D<dynamic, dynamic, dynamic>;
using Dims = std::array<int, 3>; // in axis order: dp, tp, cp

} // namespace

TEST_CASE("extents come from the constructor, the environment and the world size, in that order") {
    CHECK(fit<Open>(launch_of(8), {.tp = 2, .dp = 2, .cp = 2}).extents() == Dims{2, 2, 2});
    CHECK(fit<Open>(launch_of(8, {{"TP_SIZE", "4"}, {"CP_SIZE", "1"}})).extents() == Dims{2, 4, 1});
    CHECK(fit<Open>(launch_of(8, {{"TP_SIZE", "4"}, {"CP_SIZE", "1"}}), {.tp = 2}).extents() == Dims{4, 2, 1});
    CHECK(fit<Topology3D<2, dynamic, 1>>(launch_of(8)).extents() == Dims{4, 2, 1});
    CHECK(fit<Static>(launch_of(4)).extents() == Dims{2, 2, 1});
}

TEST_CASE("WORLD_SIZE is no axis' extent") {
    // A rendezvous of the program's own may have another world than the launcher.
    using Group = muster::Topology<muster::Axis<muster::World>>;
    CHECK(fit<Group>(launch_of(2, {{"WORLD_SIZE", "8"}})).size() == 2);
}

TEST_CASE("a fixed extent must not be contradicted") {
    CHECK(fit<Static>(launch_of(4, {{"TP_SIZE", "2"}}), {.dp = 2}).size() == 4);
    CHECK_THAT(refusal<Static>(launch_of(4), {.tp = 4}),
               ContainsSubstring("TP is 4 from the constructor, but the mesh's type fixes it to 2"));
    CHECK_THAT(refusal<Static>(launch_of(4, {{"DP_SIZE", "4"}})),
               ContainsSubstring("DP is 4 from DP_SIZE, but the mesh's type fixes it to 2"));
}

TEST_CASE("the product must be the world size, and the error says where each number came from") {
    const std::string text = refusal<Topology3D<2, dynamic, 1>>(launch_of(6, {{"DP_SIZE", "2"}}));
    CHECK(text ==
          "world size 6 does not equal DP (2) * TP (2) * CP (1) = 4\n"
          "  world size: 6, from WORLD_SIZE (torchrun); DP: 2, from DP_SIZE; TP, CP: fixed by the type\n"
          "  nearest that fit: DP=3 with 6 ranks, or 4 ranks");
    CHECK_THAT(refusal<Triple>(launch_of(8)),
               ContainsSubstring("world size 8 is not divisible by TP (3) * CP (1) = 3, so DP cannot be inferred"));
    CHECK_THAT(refusal<Static>(Launch{}), ContainsSubstring("world size: 1, no launcher found"));
}

TEST_CASE("two open extents cannot be inferred") {
    CHECK_THAT(refusal<Open>(launch_of(8), {.tp = 2}), ContainsSubstring("DP and CP cannot both be inferred"));
}

TEST_CASE("extents are at least one, wherever they come from") {
    CHECK_THAT(refusal<Open>(launch_of(8), {.tp = 0, .dp = 8, .cp = 1}), ContainsSubstring("TP is 0"));
    CHECK_THAT(refusal<Open>(launch_of(8), {.tp = -2, .dp = -4, .cp = 1}), ContainsSubstring("-"));
    CHECK_THAT(refusal<Open>(launch_of(8, {{"TP_SIZE", "two"}}), {.dp = 8, .cp = 1}),
               ContainsSubstring("TP_SIZE=two is not a whole number"));
    CHECK_THAT(refusal<Open>(launch_of(8, {{"TP_SIZE", "0"}}), {.dp = 8, .cp = 1}),
               ContainsSubstring("TP_SIZE=0 is out of range"));
}

TEST_CASE("an extent for an axis that the mesh has not") {
    CHECK_THAT(refusal<Static>(launch_of(4), {.pp = 2}),
               ContainsSubstring("PP is 2 from the constructor, but the mesh"));
    CHECK_THAT(refusal<Static>(launch_of(4, {{"PP_SIZE", "2"}})),
               ContainsSubstring("PP is 2 from PP_SIZE, but the mesh has no such axis"));
    CHECK(refusal<Static>(launch_of(4, {{"PP_SIZE", "1"}, {"EP_SIZE", ""}})).empty());
    // The variables are not about a group that has no such axes.
    CHECK(refusal<muster::Topology<muster::Axis<muster::World>>>(launch_of(4, {{"TP_SIZE", "2"}})).empty());
}
