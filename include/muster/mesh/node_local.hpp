// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/options.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/roll_call/nodes.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/topology.hpp>
#include <muster/topology/nodes.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1::detail {

/// "[0 2] on gpu01, gpu02"
[[nodiscard]] inline std::string group_on_nodes(const std::vector<int>& ranks, const Nodes& nodes) {
    constexpr std::size_t most = 4;
    std::vector<int> on;
    for (const int rank : ranks)
        if (std::find(on.begin(), on.end(), nodes.node_of(rank)) == on.end()) on.push_back(nodes.node_of(rank));
    std::string names;
    for (std::size_t i = 0; i < on.size() && i < most; ++i) names += (i > 0 ? ", " : "") + nodes.name(on[i]);
    if (on.size() > most) names += format(" and {} more", {on.size() - most});
    return format("{} on {}", {group_text(ranks), names});
}

/// What a warning says of the groups of one axis that cross nodes. The axis and those after it, which vary faster, make
/// up the block of consecutive ranks in which a group lies.
[[nodiscard]] inline std::string crossing_warning(std::size_t axis, std::span<const std::string_view> names,
                                                  std::span<const int> extents, const Nodes& nodes, std::size_t groups,
                                                  const std::vector<std::vector<int>>& crossing) {
    constexpr std::size_t most = 4;
    const std::string name = upper(names[axis]);
    std::string text =
        format("muster: warning: {} of {} {} group{} cross{} nodes, so {} waits for the network",
               {crossing.size(), groups, name, groups == 1 ? "" : "s", crossing.size() == 1 ? "es" : "", name});
    for (std::size_t i = 0; i < crossing.size() && i < most; ++i)
        text += (i == 0 ? "\n  groups: " : "; ") + group_on_nodes(crossing[i], nodes);
    if (crossing.size() > most) text += format("; and {} more", {crossing.size() - most});
    const std::string block = axis + 1 == names.size() ? format("{} ({})", {name, extents[axis]})
                                                       : factors_text(names.subspan(axis), extents.subspan(axis));
    return text + format(
                      "\n  do: let {} divide the number of ranks on each node, and launch consecutive ranks on one "
                      "node; or, if this is meant, leave '{}' out of Options::node_local",
                      {block, names[axis]});
}

/// Warns of each axis of Options::node_local that crosses nodes, once: on rank 0, which has all records.
template <AxisTag... Tags, int... Extent>
void warn_of_crossing(const Topology<Axis<Tags, Extent>...>& topology, const Session& session, const Options& options) {
    if (session.rank != 0 || !options.log || options.node_local.empty()) return;
    constexpr std::array<std::string_view, sizeof...(Tags)> names{Tags::name...};
    const auto extents = topology.extents();
    const Nodes nodes = nodes_of(session.records);
    std::size_t axis = 0;
    const auto look = [&]<class Tag>() {
        const std::size_t here = axis++;
        if (std::ranges::find(options.node_local, names[here]) == options.node_local.end()) return;
        const auto crossing = crossing_groups<Tag>(topology, nodes);
        const auto groups = static_cast<std::size_t>(topology.size() / topology.template extent<Tag>());
        if (!crossing.empty()) options.log(crossing_warning(here, names, extents, nodes, groups, crossing));
    };
    (look.template operator()<Tags>(), ...);
}

} // namespace muster::inline v0_1::detail
