// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>
#include <muster/topology/errors.hpp>
#include <muster/topology/subset.hpp>
#include <muster/topology/topology.hpp>
#include <muster/training/concept.hpp>

#include <limits>
#include <string>

namespace muster::inline v0_1 {

namespace detail {

template <AxisTag... Tags, int... Extent>
[[nodiscard]] int local_batch_along(const Topology<Axis<Tags, Extent>...>& axes, int global_batch) {
    const int parts = axes.size();
    if (global_batch >= 1 && global_batch % parts == 0) return global_batch / parts;
    std::string names;
    ((names += names.empty() ? "" : " * ", names += Tags::name), ...);
    number_is_not_divisible<long long>("global batch size", global_batch, std::numeric_limits<int>::max(), names,
                                       parts);
}

/// 1 where the type does not fix it.
template <class Axes>
consteval int parts_known() {
    if constexpr (Axes::is_static) return Axes::static_size();
    return 1;
}

} // namespace detail

/// Samples of the global batch that this rank takes: those of one step, along these axes.
/// Throws: as Topology::shard, the same text on every rank.
template <AxisTag... Data, class Mesh>
requires(sizeof...(Data) > 0 && MeshWith<Mesh, Data...>)
    [[nodiscard]] int local_batch(const Mesh& mesh, int global_batch) {
    return detail::local_batch_along(sub_topology<Data...>(mesh.topology()), global_batch);
}

/// Along dp, on a mesh of no other axes than tp, dp, cp and pp.
template <MeshWith<Dp> Mesh>
[[nodiscard]] int local_batch(const Mesh& mesh, int global_batch) {
    static_assert(detail::has_known_axes<detail::GridOf<Mesh>>,
                  "muster: the mesh has other axes than tp, dp, cp and pp: name those along which ranks take other "
                  "samples, as in local_batch<Dp>(mesh, size)");
    return local_batch<Dp>(mesh, global_batch);
}

/// The same where the compiler knows the global batch: one that does not fit axes whose extents the type fixes does not
/// compile.
template <int GlobalBatch, AxisTag... Data, class Mesh>
requires MeshWith<Mesh, Data...>
[[nodiscard]] int local_batch(const Mesh& mesh) {
    static_assert(GlobalBatch >= 1, "muster: the global batch size must be at least 1");
    if constexpr (sizeof...(Data) == 0) {
        static_assert(detail::has_known_axes<detail::GridOf<Mesh>>,
                      "muster: the mesh has other axes than tp, dp, cp and pp: name those along which ranks take other "
                      "samples, as in local_batch<64, Dp>(mesh)");
        return local_batch<GlobalBatch, Dp>(mesh);
    } else {
        static_assert(
            GlobalBatch % detail::parts_known<typename detail::GridOf<Mesh>::template subset<Data...>>() == 0,
            "muster: the global batch size is not a multiple of the mesh's DP, or of the axes that are named; change "
            "one of them");
        return local_batch<Data...>(mesh, GlobalBatch);
    }
}

} // namespace muster::inline v0_1
