// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo.hpp>
#include <muster/training/local_batch.hpp>

#include <catch2/catch_test_macros.hpp>

#include <climits>
#include <string>

#include "place.hpp"

using muster::Cp;
using muster::Dp;
using muster::dynamic;
using muster::Pp;
using muster::Tp;
using support::Place;

using Mesh = muster::DeviceMesh<2, 4, 1, muster::Gloo>;
static_assert(muster::MeshWith<Mesh, Dp> && muster::MeshWith<const Mesh&, Dp, Tp, Cp> && muster::MeshWith<Mesh>);
static_assert(!muster::MeshWith<Mesh, Pp> && !muster::MeshWith<Mesh, Dp, Pp> && !muster::MeshWith<Mesh, int>);
static_assert(!muster::MeshWith<muster::ProcessGroup<muster::Gloo>, Dp>);
static_assert(!muster::MeshWith<int, Dp> && !muster::MeshWith<muster::Topology3D<2, 4, 1>, Dp>);

namespace {

const auto grid = muster::Topology3D<2, dynamic, 3>::for_world(24); // DP is 4

std::string refusal(int global_batch) {
    try {
        (void)muster::local_batch(Place{grid, 7}, global_batch);
    } catch (const muster::Error& error) {
        CHECK(error.code() == muster::errc::invalid_argument);
        return error.what();
    }
    return "no error";
}

} // namespace

TEST_CASE("what is dealt out evenly has a share for every rank") {
    for (int rank = 0; rank < grid.size(); ++rank) {
        const Place place{grid, rank};
        CHECK(muster::local_batch(place, 4) == 1);
        CHECK(muster::local_batch(place, 64) == 16);
        CHECK(muster::local_batch<64>(place) == 16);
        CHECK(place.grid.shard<Cp>(4096 * 3, "sequence length") == 4096);
        CHECK(place.grid.shard<Tp>(128, "hidden size") == 64);
        CHECK(muster::local_batch(place, INT_MAX - 3) == (INT_MAX - 3) / 4);
    }
    CHECK(muster::local_batch<8>(Place{muster::Topology3D<2, 4, 1>(), 3}) == 2);
}

TEST_CASE("what cannot be dealt out says what is near") {
    CHECK(refusal(10) == "muster: global batch size 10 is not divisible by DP (4)\n  nearest that fit: 8 or 12");
    CHECK(refusal(3) == "muster: global batch size 3 is not divisible by DP (4)\n  nearest that fit: 4");
    CHECK(refusal(0) == "muster: global batch size is 0, but DP (4) ranks share it: it must be at least 4");
    CHECK(refusal(-4) == "muster: global batch size is -4, but DP (4) ranks share it: it must be at least 4");
    CHECK(refusal(INT_MAX) ==
          "muster: global batch size 2147483647 is not divisible by DP (4)\n  nearest that fit: 2147483644");
    CHECK_THROWS_AS(muster::local_batch<6>(Place{grid, 0}), muster::Error); // DP is known at run time only
    CHECK_THROWS_AS(grid.shard<Cp>(4, "sequence length"), muster::Error);
}
