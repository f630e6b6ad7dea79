// SPDX-License-Identifier: Apache-2.0
#include <muster/training/checkpoint.hpp>
#include <muster/training/local_batch.hpp>
#include <muster/training/sampler.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>

#include <cstddef>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "place.hpp"

using muster::Cp;
using muster::Dp;
using muster::Tp;

namespace {

struct Replica {
    static constexpr std::string_view name = "replica";
};

} // namespace

TEST_CASE("the shards cover a data set once for every place along the other axes") {
    constexpr int samples = 10; // not a multiple of DP
    const muster::Topology3D<2, 3, 2> grid;
    std::map<std::pair<int, int>, std::vector<int>> times;
    for (int rank = 0; rank < grid.size(); ++rank) {
        const auto shard = muster::sampler_shard(support::Place{grid, rank});
        auto& seen = times[{grid.coordinate<Tp>(rank), grid.coordinate<Cp>(rank)}];
        seen.resize(samples);
        for (int i = shard.index; i < samples; i += shard.count) ++seen[static_cast<std::size_t>(i)];
    }
    CHECK(times.size() == 4);
    for (const auto& [place, seen] : times) CHECK(seen == std::vector<int>(samples, 1));
}

TEST_CASE("a shard is what torch's DistributedSampler takes") {
    const muster::Topology3D<2, 3, 2> grid; // rank = (dp * 2 + tp) * 2 + cp
    CHECK(muster::sampler_shard(support::Place{grid, 3}) == muster::SamplerShard{3, 0});
    CHECK(muster::sampler_shard(support::Place{grid, 4}) == muster::SamplerShard{3, 1});
    CHECK(muster::sampler_shard(support::Place{grid, 11}) == muster::SamplerShard{3, 2});
}

TEST_CASE("a data set can be dealt out along several axes, in the mesh's order") {
    const muster::Topology<muster::Axis<Replica, 2>, muster::Axis<Dp, 3>, muster::Axis<Tp, 2>> grid;
    std::vector<int> owners(6);
    for (int rank = 0; rank < grid.size(); ++rank) {
        const auto shard = muster::sampler_shard<Dp, Replica>(support::Place{grid, rank});
        CHECK(shard == muster::SamplerShard{6, rank / 2});
        CHECK(muster::local_batch<Replica, Dp>(support::Place{grid, rank}, 12) == 2);
        CHECK(muster::local_batch<12, Dp, Replica>(support::Place{grid, rank}) == 2);
        ++owners[static_cast<std::size_t>(shard.index)];
    }
    CHECK(owners == std::vector<int>(6, 2)); // both tp
    CHECK_THROWS_WITH((muster::local_batch<Replica, Dp>(support::Place{grid, 0}, 10)),
                      "muster: global batch size 10 is not divisible by REPLICA * DP (6)\n  nearest that fit: 6 or 12");
}

TEST_CASE("the axes that are known are dp and cp, where the mesh has them") {
    const muster::Topology<muster::Axis<muster::Pp, 2>, muster::Axis<Dp, 2>, muster::Axis<Tp, 2>> grid;
    for (int rank = 0; rank < grid.size(); ++rank) {
        const support::Place place{grid, rank};
        CHECK(muster::sampler_shard(place) == muster::SamplerShard{2, grid.coordinate<Dp>(rank)});
        CHECK(muster::local_batch(place, 8) == 4);
        CHECK(muster::is_canonical_replica(place) == (grid.coordinate<Dp>(rank) == 0));
    }
    // Nothing differs along an axis of one rank.
    using Megatron =
        muster::OrderedTopology<muster::megatron_order("tp-cp-ep-dp-pp"), muster::Axis<Tp, 2>, muster::Axis<Dp, 2>>;
    CHECK(muster::sampler_shard(support::Place{Megatron(), 3}) == muster::SamplerShard{2, 1});
}
