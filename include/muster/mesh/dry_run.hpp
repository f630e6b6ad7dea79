// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/mesh/extents.hpp>
#include <muster/mesh/group_shape.hpp>
#include <muster/topology.hpp>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// One rank's group along one axis, as a mesh would make it.
struct PlannedGroup {
    std::string axis;       ///< its name
    std::vector<int> ranks; ///< ascending
    std::string shares;     ///< whose communicator it uses: "world", an axis, or empty for one of its own
};

/// What a mesh would be on one rank.
template <class Topology>
struct MeshPlan {
    Topology topology;                ///< with the extents that were inferred
    int rank = 0;                     ///< the one that was asked for
    std::vector<PlannedGroup> groups; ///< one for each axis, in axis order
    int communicators = 0;            ///< with more than one rank that this rank would have, the world's included
};

namespace detail {

template <AxisTag... Tags, int... Extent>
[[nodiscard]] MeshPlan<Topology<Axis<Tags, Extent>...>> plan(const Topology<Axis<Tags, Extent>...>& topology,
                                                             int rank) {
    MeshPlan<Topology<Axis<Tags, Extent>...>> plan{topology, rank, {}, topology.size() > 1 ? 1 : 0};
    std::vector<GroupShape> made{world_shape(topology.size(), rank)};
    for (GroupShape& group : std::vector{group_shape<Tags>(topology, rank)...}) {
        PlannedGroup planned{group.name, group.ranks, {}};
        for (const GroupShape& other : made)
            if (planned.shares.empty() && other.steps == group.steps) planned.shares = other.name;
        if (planned.shares.empty() && group.ranks.size() > 1) ++plan.communicators;
        plan.groups.push_back(std::move(planned));
        made.push_back(std::move(group));
    }
    return plan;
}

} // namespace detail

/// The topology and the groups that `Mesh` would have on `rank` of a world of `world_size`, without any other process:
/// `dry_run<DeviceMesh<8, dynamic, 2>>(1024, 17)`. Extents and environment as for the mesh itself; settings under which
/// groups of the same ranks do not share a communicator are not looked at.
/// Throws: errc::world_mismatch or errc::invalid_argument, as the mesh would.
template <class Mesh>
[[nodiscard]] MeshPlan<typename Mesh::Topology> dry_run(int world_size, int rank, const Extents& extents = {},
                                                        const Environment& environment = Environment::current()) {
    Launch launch;
    launch.rank = rank;
    launch.world_size = world_size;
    launch.launcher = "dry run";
    launch.from.world_size = "the argument";
    launch.environment = environment;
    const auto topology = detail::fit(std::type_identity<typename Mesh::Topology>{}, launch, extents);
    return detail::plan(topology, rank);
}

} // namespace muster::inline v0_1
