// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>
#include <muster/topology/subset.hpp>
#include <muster/topology/topology.hpp>
#include <muster/training/concept.hpp>

namespace muster::inline v0_1 {

/// Which samples of a data set are this rank's: index, index + count, index + 2 * count, ...
/// Source: num_replicas and rank of torch.utils.data.DistributedSampler.
struct SamplerShard {
    int count = 1; ///< shards: the data set is dealt out among so many
    int index = 0; ///< 0 <= index < count

    friend bool operator==(const SamplerShard&, const SamplerShard&) = default;
};

namespace detail {

template <class Mesh, AxisTag... Tags, int... Extent>
[[nodiscard]] SamplerShard shard_along(const Mesh& mesh, const Topology<Axis<Tags, Extent>...>& axes) {
    return {axes.size(), axes.rank_of({mesh.template coordinate<Tags>()...})};
}

} // namespace detail

/// The data set is dealt out along these axes: sampler_shard<Replica, Dp>(mesh). Ranks that differ along others only
/// work on the same samples.
template <AxisTag... Data, class Mesh>
requires(sizeof...(Data) > 0 && MeshWith<Mesh, Data...>) [[nodiscard]] SamplerShard sampler_shard(const Mesh& mesh) {
    return detail::shard_along(mesh, sub_topology<Data...>(mesh.topology()));
}

/// Along dp, on a mesh of no other axes than tp, dp, cp and pp.
template <MeshWith<Dp> Mesh>
[[nodiscard]] SamplerShard sampler_shard(const Mesh& mesh) {
    static_assert(detail::has_known_axes<detail::GridOf<Mesh>>,
                  "muster: the mesh has other axes than tp, dp, cp and pp: name those along which ranks take other "
                  "samples, as in sampler_shard<Dp>(mesh)");
    return sampler_shard<Dp>(mesh);
}

} // namespace muster::inline v0_1
