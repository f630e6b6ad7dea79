// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>
#include <muster/topology/errors.hpp>
#include <muster/topology/row_major.hpp>

#include <array>
#include <cstddef>
#include <string_view>

namespace muster::inline v0_1::detail {

/// `extents` with the one that is `dynamic`, if there is one, inferred. Throws when they do not make `world_size`.
template <std::size_t N>
constexpr std::array<int, N> fit_to_world(int world_size, std::array<int, N> extents, const AxisFacts& axes,
                                          std::string_view origin) {
    if (world_size < 1) world_size_is_less_than_one(world_size, origin);
    std::size_t inferred = no_axis;
    for (std::size_t axis = 0; axis < N; ++axis) {
        if (extents[axis] == dynamic) {
            if (inferred != no_axis) {
                only_one_extent_can_be_inferred(world_size, axes.names[inferred], axes.names[axis], origin);
            }
            inferred = axis;
        } else if (extents[axis] < 1) {
            extent_is_less_than_one(axes.names[axis], extents[axis], origin);
        }
    }

    const long long known = product(extents);
    const bool fits = inferred == no_axis ? known == world_size : world_size % known == 0;
    if (!fits) world_size_does_not_fit(world_size, axes, extents, origin);
    if (inferred != no_axis) extents[inferred] = static_cast<int>(world_size / known);
    return extents;
}

} // namespace muster::inline v0_1::detail
