// SPDX-License-Identifier: Apache-2.0
#include <muster/topology/nodes.hpp>

#include <catch2/catch_test_macros.hpp>

#include <limits>
#include <string>
#include <vector>

using muster::Axis;
using muster::Cp;
using muster::crossing_groups;
using muster::Dp;
using muster::dynamic;
using muster::errc;
using muster::Error;
using muster::Nodes;
using muster::Stage;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

namespace {

using Groups = std::vector<std::vector<int>>;

static_assert(crossing_groups<Tp>(Topology3D<2, 2, 2>(), Nodes::of_size(4)).empty());
static_assert(crossing_groups<Dp>(Topology3D<2, 2, 2>(), Nodes::of_size(4)).size() == 4);
static_assert(crossing_groups<Tp>(Topology3D<2, 2, 2>(), Nodes::by_rank({0, 0, 0, 1, 1, 1, 1, 1}))[0] ==
              std::vector{1, 3});

/// The text of the one error that the body throws.
template <class Body>
std::string refusal(const Body& body) {
    try {
        body();
    } catch (const Error& error) {
        CHECK(error.code() == errc::invalid_argument);
        CHECK(error.stage() == Stage::topology);
        return std::string(error.text());
    }
    return "no error";
}

} // namespace

TEST_CASE("groups that cross nodes") {
    const Topology3D<2, 2, 2> t;
    SECTION("consecutive ranks") {
        CHECK(crossing_groups<Dp>(t, Nodes::of_size(4)) == Groups{{0, 4}, {1, 5}, {2, 6}, {3, 7}});
        CHECK(crossing_groups<Tp>(t, Nodes::of_size(4)).empty());
        CHECK(crossing_groups<Tp>(t, Nodes::of_size(2)) == Groups{{0, 2}, {1, 3}, {4, 6}, {5, 7}});
        CHECK(crossing_groups<Cp>(t, Nodes::of_size(2)).empty());
        CHECK(crossing_groups<Cp>(t, Nodes::of_size(1)) == t.groups<Cp>());
        CHECK(crossing_groups<Tp, Dp, Cp>(t, Nodes::of_size(8)).empty());
    }
    SECTION("several axes at once") {
        CHECK(crossing_groups<Tp, Cp>(t, Nodes::of_size(4)).empty());
        CHECK(crossing_groups<Dp, Cp>(t, Nodes::of_size(4)) == t.groups<Dp, Cp>());
    }
    SECTION("ranks in turn") {
        const auto in_turn = Nodes::by_rank({0, 1, 0, 1, 0, 1, 0, 1});
        CHECK(crossing_groups<Dp>(t, in_turn).empty());
        CHECK(crossing_groups<Tp>(t, in_turn).empty());
        CHECK(crossing_groups<Cp>(t, in_turn) == t.groups<Cp>());
    }
    SECTION("unequal nodes: only some cross") {
        const auto nodes = Nodes::by_host(std::vector<std::string>{"b", "b", "b", "a", "a", "a", "a", "a"});
        CHECK(crossing_groups<Tp>(t, nodes) == Groups{{1, 3}});
        CHECK(crossing_groups<Cp>(t, nodes) == Groups{{2, 3}});
    }
    SECTION("extents of the world") {
        const auto open = Topology<Axis<Dp>, Axis<Tp, 4>>::for_world(12);
        CHECK(crossing_groups<Tp>(open, Nodes::of_size(4)).empty());
        CHECK(crossing_groups<Tp>(open, Nodes::of_size(6)) == Groups{{4, 5, 6, 7}});
    }
}

TEST_CASE("where ranks sit") {
    CHECK(Nodes::of_size(3).node_of(5) == 1);
    CHECK(Nodes::of_size(3).name(1) == "node 1");
    CHECK(Nodes::by_rank({0, 1, 0}).node_of(2) == 0);
    CHECK(Nodes::by_rank({0, 1, 0}, {"x", "y"}).name(1) == "y");
    CHECK_FALSE(Nodes::of_size(2).cross(std::vector{0, 1}));
    CHECK(Nodes::of_size(2).cross(std::vector{0, 1, 2}));
    CHECK_FALSE(Nodes::of_size(2).cross({}));

    // In the order of the first ranks, also for hosts that come again.
    const auto hosts = Nodes::by_host(std::vector<std::string>{"b", "a", "b", "c", "a"});
    std::vector<int> nodes;
    for (int rank = 0; rank < 5; ++rank) nodes.push_back(hosts.node_of(rank));
    CHECK(nodes == std::vector{0, 1, 0, 2, 1});
    CHECK(hosts.name(0) + hosts.name(1) + hosts.name(2) == "bac");
}

TEST_CASE("nodes that do not fit the world") {
    const Topology3D<2, 2, 2> t;
    const auto check = [&](const Nodes& nodes) {
        return refusal([&] { static_cast<void>(crossing_groups<Tp>(t, nodes)); });
    };
    CHECK(check(Nodes::of_size(3)) ==
          "world size 8 does not fill nodes of 3 ranks\n"
          "  do: give a number that divides the world size, or the node of each rank (Nodes::by_rank)");
    CHECK(check(Nodes::of_size(16)).starts_with("world size 8 does not fill nodes of 16 ranks"));
    CHECK(check(Nodes::by_rank({0, 0, 0, 0, 1, 1, 1})) == "the nodes of 7 ranks were given for a world of 8");
    CHECK(check(Nodes::by_rank({0})) == "the nodes of 1 rank were given for a world of 8");
    CHECK(check(Nodes::by_host({})) == "the nodes of 0 ranks were given for a world of 8");
}

TEST_CASE("numbers and names that are no nodes") {
    CHECK(refusal([] { static_cast<void>(Nodes::of_size(0)); }) ==
          "a node cannot have 0 ranks: it must have at least 1");
    CHECK(refusal([] { static_cast<void>(Nodes::of_size(dynamic)); }).starts_with("a node cannot have -2147483648"));
    const auto numbers = [](const std::vector<int>& nodes) {
        return refusal([&] { static_cast<void>(Nodes::by_rank(nodes)); });
    };
    CHECK(numbers({0, 2}) ==
          "rank 1 sits on node 2, but nodes must be numbered from 0 without a gap, and none sits on node 1");
    CHECK(numbers({1, 2}).ends_with(
        "rank 0 sits on node 1, but nodes must be numbered from 0 without a gap, and none sits on node 0"));
    CHECK(numbers({0, -1}).starts_with("rank 1 sits on node -1, but"));
    CHECK(numbers({std::numeric_limits<int>::max()}).starts_with("rank 0 sits on node 2147483647, but"));
    CHECK(numbers({1, 0}) == "no error");
    CHECK(refusal([] {
              static_cast<void>(Nodes::by_rank({0, 1}, {"only one"}));
          }) == "every node needs one name\n  seen: 1 names, 2 nodes");
}
