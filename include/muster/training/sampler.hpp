// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>
#include <muster/training/concept.hpp>

namespace muster::inline v0_1 {

/// Which samples of a data set are this rank's: index, index + count, index + 2 * count, ...
/// Source: num_replicas and rank of torch.utils.data.DistributedSampler.
struct SamplerShard {
    int count = 1; ///< shards: the data set is dealt out among so many
    int index = 0; ///< 0 <= index < count

    friend bool operator==(const SamplerShard&, const SamplerShard&) = default;
};

/// The data set is dealt out along dp alone: ranks that differ in tp or cp work on the same samples.
template <MeshWith<Dp> Mesh>
[[nodiscard]] SamplerShard sampler_shard(const Mesh& mesh) {
    return {mesh.topology().template extent<Dp>(), mesh.template coordinate<Dp>()};
}

} // namespace muster::inline v0_1
