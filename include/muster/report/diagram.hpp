// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/mesh/device_mesh.hpp>
#include <muster/report/layout.hpp>
#include <muster/roll_call/nodes.hpp>
#include <muster/topology.hpp>
#include <muster/topology/nodes.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace muster::inline v0_1 {

namespace detail {

/// Columns of a terminal. Only the name of a host may be longer.
inline constexpr std::size_t diagram_width = 100;

/// One node: its name and its ranks' cells, on as many lines as the width asks for, equally filled.
[[nodiscard]] inline std::string node_text(const Layout& layout, std::size_t node, std::size_t name_width) {
    const std::size_t digits = std::to_string(layout.coordinates.size() - 1).size();
    const std::size_t cell = digits + layout.coordinates.back().size() + 6; // the last rank's are the longest
    const std::vector<int>& ranks = layout.ranks[node];
    const std::size_t room = std::max(diagram_width, name_width + cell + 4) - name_width - 4;
    const std::size_t lines = (ranks.size() + room / cell - 1) / (room / cell);
    const std::size_t on_line = (ranks.size() + lines - 1) / lines;

    std::string text;
    for (std::size_t i = 0; i < ranks.size(); ++i) {
        if (i % on_line == 0)
            text += (i > 0 ? "\n  " : "  ") + padded(i > 0 ? "" : layout.nodes[node], name_width) + " |";
        const std::string where = '(' + layout.coordinates[static_cast<std::size_t>(ranks[i])] + ')';
        const std::string rank = std::to_string(ranks[i]);
        text.append(1 + digits - rank.size(), ' ').append(rank).append(1, ' ');
        text += padded(where, layout.coordinates.back().size() + 2) + " |";
    }
    return text + '\n';
}

/// One axis: whether its groups cross nodes, and those that do, else all; two lines of them at most.
[[nodiscard]] inline std::string axis_text(const AxisGroups& axis, std::size_t name_width) {
    const std::size_t crossing = axis.crossing();
    std::string line = "  " + padded(axis.name, name_width) + "  ";
    if (axis.groups.front().size() == 1) return line + "one rank in each group\n";
    line += crossing > 0 ? "crosses nodes  " : "inside a node  ";
    const std::string next(line.size(), ' ');
    line += crossing > 0 ? crossing_text(axis) : count_of(axis.groups.size(), "group");
    line += ':';

    std::string text;
    std::size_t left = crossing > 0 ? crossing : axis.groups.size();
    for (std::size_t group = 0; group < axis.groups.size(); ++group) {
        if (crossing > 0 && !axis.crosses(group)) continue;
        const std::string more = format(" and {} more", {left});
        const std::string word = ' ' + group_text(axis.groups[group]);
        const bool last_line = !text.empty();
        // On the last line there must be room for the words about those that are left out.
        if (line.size() + word.size() + (last_line && left > 1 ? more.size() : 0) > diagram_width) {
            if (last_line) return format("{}{}{}\n", {text, line, more});
            text = line + '\n';
            line = next.substr(1);
        }
        line += word;
        --left;
    }
    return text + line + '\n';
}

[[nodiscard]] inline std::string diagram_text(const Layout& layout) {
    const auto width = [](const auto& all, auto name) {
        std::size_t most = 0;
        for (const auto& one : all) most = std::max(most, name(one).size());
        return most;
    };
    const std::size_t name_width = width(
        layout.nodes, [](const std::string& name) -> auto& { return name; });
    const std::size_t axis_width = width(
        layout.axes, [](const AxisGroups& axis) -> auto& { return axis.name; });
    std::string text = format("{}; each cell: rank ({})\n\n", {layout.title, layout.axis_names});
    for (std::size_t node = 0; node < layout.nodes.size(); ++node) text += node_text(layout, node, name_width);
    text += '\n';
    for (const AxisGroups& axis : layout.axes) text += axis_text(axis, axis_width);
    return text;
}

} // namespace detail

/// A picture of the topology for a terminal: a row for each node with its ranks and their coordinates, and for each
/// axis whether its groups stay inside a node, and which do not. Talks to nobody.
///
///     std::puts(muster::diagram(topology, muster::Nodes::of_size(8)).c_str());
///
/// Throws: errc::invalid_argument when the nodes are those of another world.
template <class... Axes>
[[nodiscard]] std::string diagram(const Topology<Axes...>& topology, const Nodes& nodes) {
    return detail::diagram_text(detail::layout_of(topology, nodes));
}

/// The same of a mesh, on the hosts where its ranks are.
/// Blocks, Throws: as BasicDeviceMesh::records.
template <class Topology, class B>
[[nodiscard]] std::string diagram(const BasicDeviceMesh<Topology, B>& mesh) {
    return diagram(mesh.topology(), nodes_of(mesh.records()));
}

} // namespace muster::inline v0_1
