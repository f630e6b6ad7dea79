// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology.hpp>
#include <muster/topology/static_checks.hpp>
#include <muster/topology/steps.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1 {

/// The axis of a mesh that has only one.
struct World {
    static constexpr std::string_view name = "world";
};

namespace detail {

/// A rank's group along some axes.
struct GroupShape {
    std::string name;         ///< of the axes, in the topology's order: "dp+cp"
    std::vector<Steps> steps; ///< equal where all groups are
    std::vector<int> ranks;   ///< of this rank's group, ascending
    int place = 0;            ///< of this rank among them
};

template <class... Chosen, AxisTag... Tags, int... Extent>
[[nodiscard]] GroupShape group_shape(const Topology<Axis<Tags, Extent>...>& topology, int rank) {
    GroupShape shape;
    constexpr auto chosen = chosen_among<AxisList<Axis<Tags, Extent>...>, Chosen...>;
    const std::array<std::string_view, sizeof...(Tags)> names{Tags::name...};
    for (std::size_t axis = 0; axis < names.size(); ++axis) {
        if (!chosen[axis]) continue;
        if (!shape.name.empty()) shape.name += '+';
        shape.name += names[axis];
    }
    shape.steps = steps_along(chosen, topology.extents());
    shape.ranks = topology.template group<Chosen...>(rank);
    shape.place =
        static_cast<int>(std::lower_bound(shape.ranks.begin(), shape.ranks.end(), rank) - shape.ranks.begin());
    return shape;
}

/// The whole world as one group.
[[nodiscard]] inline GroupShape world_shape(int world_size, int rank) {
    return group_shape<World>(Topology<Axis<World>>::for_world(world_size), rank);
}

} // namespace detail
} // namespace muster::inline v0_1
