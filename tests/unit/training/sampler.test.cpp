// SPDX-License-Identifier: Apache-2.0
#include <muster/training/sampler.hpp>

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <utility>
#include <vector>

#include "place.hpp"

using muster::Cp;
using muster::Tp;

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
