// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>
#include <muster/topology/static_checks.hpp>
#include <muster/topology/topology.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace muster::inline v0_1 {

/// Satisfied by a mesh that has all these axes: it knows its topology and where this rank stands along each of them.
template <class M, class... Tags>
concept MeshWith = (AxisTag<Tags> && ...) && requires(const std::remove_cvref_t<M>& mesh) {
    requires(std::remove_cvref_t<decltype(mesh.topology())>::template has_axis<Tags> && ...);
    requires(std::same_as<decltype(mesh.template coordinate<Tags>()), int> && ...);
};

namespace detail {

/// Whether each axis is one of tp, dp, cp and pp, or has one rank: what differs along these is known. Of others only
/// the program knows.
template <class Grid>
inline constexpr bool has_known_axes = false;

template <AxisTag... Tags, int... Extent>
inline constexpr bool has_known_axes<Topology<Axis<Tags, Extent>...>> =
    ((times_among<Tags, Tp, Dp, Cp, Pp> > 0 || Extent == 1) && ...);

template <class Mesh>
using GridOf = std::remove_cvref_t<decltype(std::declval<const Mesh&>().topology())>;

} // namespace detail
} // namespace muster::inline v0_1
