// SPDX-License-Identifier: Apache-2.0
#include <muster/topology/topology.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <string_view>
#include <vector>

using muster::Axis;
using muster::Cp;
using muster::Dp;
using muster::dynamic;
using muster::Error;
using muster::Pp;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

namespace {

struct DpShard {
    static constexpr std::string_view name = "dp_shard";
};

using Open = Topology3D<dynamic, dynamic, dynamic>;
using Ranks = std::vector<int>;
using Groups = std::vector<std::vector<int>>;

} // namespace

TEST_CASE("a topology made for a world") {
    SECTION("all extents given") {
        const auto t = Open::for_world(12, 3, 2, 2);
        CHECK(t.size() == 12);
        CHECK(t.extents() == std::array{3, 2, 2});
        CHECK(t.extent<Dp>() == 3);
        CHECK(t.extent<Tp>() == 2);
    }
    SECTION("one of several inferred") {
        CHECK(Open::for_world(12, dynamic, 2, 2).extents() == std::array{3, 2, 2});
        CHECK(Open::for_world(12, 2, dynamic, 1).extents() == std::array{2, 6, 1});
        CHECK(Open::for_world(1, 1, 1, dynamic).extents() == std::array{1, 1, 1});
    }
    SECTION("the only open one inferred") {
        CHECK(Topology3D<2, dynamic, 2>::for_world(12).extents() == std::array{3, 2, 2});
        CHECK(Topology3D<2, dynamic, 2>::for_world(12, dynamic).extents() == std::array{3, 2, 2});
        CHECK(Topology<Axis<Dp>>::for_world(2147483647).size() == 2147483647);
    }
    SECTION("nothing open: the world is checked") {
        CHECK(Topology3D<2, 3, 2>::for_world(12).size() == 12);
        CHECK_THROWS_AS((Topology3D<2, 3, 2>::for_world(8)), Error);
    }
    SECTION("extents as an array") {
        CHECK(Open::for_world(12, std::array{3, dynamic, 2}) == Open::for_world(12, 3, 2, 2));
        CHECK(Topology3D<2, 3, 2>::for_world(12, std::array<int, 0>{}).size() == 12);
    }
    SECTION("open and fixed axes in any place") {
        using Mixed = Topology<Axis<Pp>, Axis<Dp, 2>, Axis<Tp>, Axis<Cp, 3>>;
        CHECK(Mixed::for_world(120, 4, 5).extents() == std::array{4, 2, 5, 3});
        CHECK(Mixed::for_world(120, 4, dynamic).extents() == std::array{4, 2, 5, 3});
    }
}

TEST_CASE("the order of ranks is that of the last axis first") {
    constexpr int dp_size = 3, tp_size = 4, cp_size = 2;
    const auto t = Open::for_world(24, dp_size, tp_size, cp_size);
    for (int dp = 0; dp < dp_size; ++dp) {
        for (int tp = 0; tp < tp_size; ++tp) {
            for (int cp = 0; cp < cp_size; ++cp) {
                const int rank = (dp * tp_size + tp) * cp_size + cp;
                CHECK(t.rank_of({dp, tp, cp}) == rank);
                CHECK(t.coordinate(rank) == std::array{dp, tp, cp});
                CHECK(t.coordinate<Dp>(rank) == dp);
                CHECK(t.coordinate<Tp>(rank) == tp);
                CHECK(t.coordinate<Cp>(rank) == cp);
            }
        }
    }
}

TEST_CASE("groups") {
    const auto t = Open::for_world(8, 2, 2, 2);
    CHECK(t.group<Dp>(5) == Ranks{1, 5});
    CHECK(t.group<Dp, Cp>(6) == Ranks{2, 3, 6, 7});
    CHECK(t.group<Cp, Dp>(6) == Ranks{2, 3, 6, 7});
    CHECK(t.group<Dp, Tp, Cp>(6) == Ranks{0, 1, 2, 3, 4, 5, 6, 7});
    CHECK(t.groups<Tp>() == Groups{{0, 2}, {1, 3}, {4, 6}, {5, 7}});
    CHECK(t.groups<Cp, Dp>() == Groups{{0, 1, 4, 5}, {2, 3, 6, 7}});
}

TEST_CASE("an axis of one rank has groups of one") {
    const auto t = Topology3D<2, 2, 1>{};
    CHECK(t.group<Cp>(3) == Ranks{3});
    CHECK(t.groups<Cp>() == Groups{{0}, {1}, {2}, {3}});
    CHECK(t.groups<Dp, Cp>() == t.groups<Dp>());
}

TEST_CASE("a world of one") {
    const auto t = Open::for_world(1, 1, 1, 1);
    CHECK(t.coordinate(0) == std::array{0, 0, 0});
    CHECK(t.groups<Dp, Tp>() == Groups{{0}});
}

TEST_CASE("one group of a large world costs what its members cost") {
    // All groups of this world, as numbers, would take 8 GB.
    const auto t = Topology<Axis<Dp>, Axis<Tp, 2>>::for_world(2147483646);
    CHECK(t.group<Tp>(2147483645) == Ranks{2147483644, 2147483645});
    CHECK(t.coordinate(2147483645) == std::array{1073741822, 1});
}

TEST_CASE("conversions keep the extents") {
    const auto open = Open::for_world(8, 4, 2, 1);
    const Topology3D<2, 4, 1> fixed(open);
    CHECK(fixed == open);
    const Open opened = fixed;
    CHECK(opened == open);
    const Topology3D<2, dynamic, 1> half(open);
    CHECK(half.extents() == std::array{4, 2, 1});
    CHECK_THROWS_AS((Topology3D<4, 2, 1>(open)), Error);
    CHECK_THROWS_AS((Topology3D<dynamic, 4, 2>(open)), Error);
}

TEST_CASE("equality is of axes and extents, not of types") {
    const auto open = Open::for_world(8, 4, 2, 1);
    CHECK(open == Topology3D<2, 4, 1>{});
    CHECK(open != Topology3D<4, 2, 1>{});
    CHECK(open != Open::for_world(8, 2, 4, 1));
    CHECK(open != Topology<Axis<Dp, 4>, Axis<Tp, 2>>{});
    CHECK(open != Topology<Axis<Tp, 4>, Axis<Dp, 2>, Axis<Cp, 1>>{});
}

TEST_CASE("the signature has every axis in order") {
    CHECK(Open::for_world(8, 2, 4, 1).signature() == "dp=2 tp=4 cp=1");
    CHECK(Topology3D<4, 2, 1>{}.signature() == "dp=2 tp=4 cp=1");
    CHECK(Topology<Axis<Pp, 2>, Axis<DpShard>>::for_world(6).signature() == "pp=2 dp_shard=3");
}
