// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/report/describe.hpp>
#include <muster/topology.hpp>
#include <muster/topology/nodes.hpp>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

// What the diagrams of a topology show, as plain values.
namespace muster::inline v0_1::detail {

/// The groups along one axis.
struct AxisGroups {
    std::string name;
    std::vector<std::vector<int>> groups;
    std::vector<int> nodes; ///< on how many nodes each group sits

    [[nodiscard]] bool crosses(std::size_t group) const { return nodes[group] > 1; }
    [[nodiscard]] std::size_t crossing() const {
        return groups.size() - static_cast<std::size_t>(std::count(nodes.begin(), nodes.end(), 1));
    }
};

/// Who sits where.
struct Layout {
    std::string title;                    ///< "world 8 = DP 2 x TP 2 x CP 2 on 2 nodes"
    std::string axis_names;               ///< "dp,tp,cp"
    std::vector<std::string> coordinates; ///< "1,0,1", index = rank
    std::vector<std::string> nodes;       ///< names, index = node
    std::vector<std::vector<int>> ranks;  ///< of each node, ascending
    std::vector<std::size_t> node_of;     ///< index = rank
    std::vector<AxisGroups> axes;
};

[[nodiscard]] inline std::string count_of(std::size_t count, std::string_view thing) {
    return format("{} {}{}", {count, thing, count == 1 ? "" : "s"});
}

/// On how many nodes these ranks sit.
[[nodiscard]] inline int count_nodes(const std::vector<int>& ranks, const Nodes& nodes) {
    std::vector<int> found;
    found.reserve(ranks.size());
    for (const int rank : ranks) found.push_back(nodes.node_of(rank));
    std::sort(found.begin(), found.end());
    return static_cast<int>(std::unique(found.begin(), found.end()) - found.begin());
}

template <AxisTag Tag, class Grid>
[[nodiscard]] AxisGroups axis_groups(const Grid& topology, const Nodes& nodes) {
    AxisGroups axis{std::string(Tag::name), topology.template groups<Tag>(), {}};
    for (const auto& group : axis.groups) axis.nodes.push_back(count_nodes(group, nodes));
    return axis;
}

/// Throws: as Nodes::check.
template <AxisTag... Tags, int... Extent>
[[nodiscard]] Layout layout_of(const Topology<Axis<Tags, Extent>...>& topology, const Nodes& nodes) {
    nodes.check(topology.size());
    Layout layout;
    layout.axis_names = joined(std::vector<std::string>{std::string(Tags::name)...}, ",");
    for (int rank = 0; rank < topology.size(); ++rank) {
        layout.coordinates.push_back(joined(topology.coordinate(rank), ","));
        const auto node = static_cast<std::size_t>(nodes.node_of(rank));
        layout.node_of.push_back(node);
        if (node >= layout.ranks.size()) layout.ranks.resize(node + 1);
        layout.ranks[node].push_back(rank);
    }
    for (std::size_t node = 0; node < layout.ranks.size(); ++node)
        layout.nodes.push_back(nodes.name(static_cast<int>(node)));
    layout.axes = {axis_groups<Tags>(topology, nodes)...};
    layout.title =
        format("world {} = {} on {}", {topology.size(), shape_text(topology), count_of(layout.nodes.size(), "node")});
    return layout;
}

/// "4 of 4 groups, on 2 nodes each", "1 of 4 groups, on 2 to 3 nodes"; of an axis that crosses nodes.
[[nodiscard]] inline std::string crossing_text(const AxisGroups& axis) {
    std::vector<int> nodes;
    std::copy_if(axis.nodes.begin(), axis.nodes.end(), std::back_inserter(nodes), [](int n) { return n > 1; });
    const auto [least, most] = std::minmax_element(nodes.begin(), nodes.end());
    const std::string on = *least == *most ? format("on {} nodes{}", {*most, nodes.size() == 1 ? "" : " each"})
                                           : format("on {} to {} nodes", {*least, *most});
    return format("{} of {}, {}", {nodes.size(), count_of(axis.groups.size(), "group"), on});
}

} // namespace muster::inline v0_1::detail
