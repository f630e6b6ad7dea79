// SPDX-License-Identifier: Apache-2.0
#include <muster/training/checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <set>
#include <string>
#include <string_view>

#include "place.hpp"

using muster::Axis;
using muster::checkpoint_name;
using muster::Cp;
using muster::Dp;
using muster::is_canonical_replica;
using muster::Pp;
using muster::Tp;
using support::Place;

namespace {

struct Rows {
    static constexpr std::string_view name = "rows";
};

const muster::Topology3D<2, 3, 2> grid; // rank = (dp * 2 + tp) * 2 + cp

} // namespace

TEST_CASE("every shard has one canonical replica") {
    std::multiset<int> writers;
    for (int rank = 0; rank < grid.size(); ++rank) {
        const Place place{grid, rank};
        if (is_canonical_replica(place)) writers.insert(grid.coordinate<Tp>(rank));
        CHECK(is_canonical_replica(place) == (grid.coordinate<Dp>(rank) == 0 && grid.coordinate<Cp>(rank) == 0));
    }
    CHECK(writers == std::multiset{0, 1});
}

TEST_CASE("the axes along which the state is replicated can be named") {
    int along_dp = 0;
    int along_all = 0;
    for (int rank = 0; rank < grid.size(); ++rank) {
        along_dp += is_canonical_replica<Dp>(Place{grid, rank});
        along_all += is_canonical_replica<Dp, Tp, Cp>(Place{grid, rank});
    }
    CHECK(along_dp == 4);
    CHECK(along_all == 1);
    const muster::Topology<Axis<Pp, 2>, Axis<Rows, 2>> other;
    CHECK(is_canonical_replica<Rows>(Place{other, 2}));
    CHECK_FALSE(is_canonical_replica<Rows>(Place{other, 3}));
}

TEST_CASE("a file is named by the coordinates in axis order") {
    CHECK(checkpoint_name(Place{grid, 7}) == "model-dp1-tp1-cp1.bin");
    CHECK(checkpoint_name(Place{grid, 4}, {.prefix = "run/optimizer", .extension = ".pt", .step = 100}) ==
          "run/optimizer-step100-dp1-tp0-cp0.pt");
    CHECK(checkpoint_name(Place{muster::Topology<Axis<Rows, 4>>(), 3}, {.step = 0}) == "model-step0-rows3.bin");
    const muster::Topology<Axis<Tp, 2>, Axis<Dp, 2>, Axis<Cp, 1>> other;
    CHECK(checkpoint_name(Place{other, 1}) == "model-tp0-dp1-cp0.bin");
}

TEST_CASE("a file of sharded state is named by the axes of its shards") {
    CHECK(checkpoint_name<Tp>(Place{grid, 7}, {.step = 5}) == "model-step5-tp1.bin");
    CHECK(checkpoint_name<Cp, Dp>(Place{grid, 9}) == "model-dp2-cp1.bin");
    CHECK(checkpoint_name<Dp, Cp>(Place{grid, 9}) == "model-dp2-cp1.bin");
}

TEST_CASE("the canonical replicas write every file once") {
    std::set<std::string> all;
    std::set<std::string> shards;
    std::multiset<std::string> written;
    for (int rank = 0; rank < grid.size(); ++rank) {
        const Place place{grid, rank};
        all.insert(checkpoint_name(place));
        shards.insert(checkpoint_name<Tp>(place));
        if (is_canonical_replica(place)) written.insert(checkpoint_name<Tp>(place));
    }
    CHECK(all.size() == 12);
    CHECK(written == std::multiset<std::string>(shards.begin(), shards.end()));
}
