// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>
#include <muster/training/concept.hpp>

#include <type_traits>

namespace muster::inline v0_1 {

/// Samples of the global batch that this rank takes: those of one step, along dp.
/// Throws: as Topology::shard, the same text on every rank.
template <MeshWith<Dp> Mesh>
[[nodiscard]] int local_batch(const Mesh& mesh, int global_batch) {
    return mesh.topology().template shard<Dp>(global_batch, "global batch size");
}

/// The same where the compiler knows the global batch: one that does not fit a mesh whose DP the type fixes does not
/// compile.
template <int GlobalBatch, MeshWith<Dp> Mesh>
[[nodiscard]] int local_batch(const Mesh& mesh) {
    constexpr int fixed = std::remove_cvref_t<decltype(mesh.topology())>::template static_extent<Dp>();
    static_assert(GlobalBatch >= 1, "muster: the global batch size must be at least 1");
    static_assert(fixed == dynamic || GlobalBatch % (fixed == dynamic ? 1 : fixed) == 0,
                  "muster: the global batch size is not a multiple of the mesh's DP; change one of them");
    return local_batch(mesh, GlobalBatch);
}

} // namespace muster::inline v0_1
