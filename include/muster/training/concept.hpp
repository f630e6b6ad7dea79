// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>

#include <concepts>
#include <type_traits>

namespace muster::inline v0_1 {

/// Satisfied by a mesh that has all these axes: it knows its topology and where this rank stands along each of them.
template <class M, class... Tags>
concept MeshWith = (AxisTag<Tags> && ...) && requires(const std::remove_cvref_t<M>& mesh) {
    requires(std::remove_cvref_t<decltype(mesh.topology())>::template has_axis<Tags> && ...);
    requires(std::same_as<decltype(mesh.template coordinate<Tags>()), int> && ...);
};

} // namespace muster::inline v0_1
