// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/launch/launch.hpp>
#include <muster/mesh/device_mesh.hpp>
#include <muster/mesh/dry_run.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/topology.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace muster::inline v0_1 {

namespace detail {

/// Rows of cells as lines with aligned columns; numbers to the right would gain nothing here.
[[nodiscard]] inline std::string table_text(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) line += padded(row[i], widths[i] + 2);
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + '\n';
    }
    return text;
}

} // namespace detail

/// "DP 2 x TP 2 x CP 2", in axis order.
template <AxisTag... Tags, int... Extent>
[[nodiscard]] std::string shape_text(const Topology<Axis<Tags, Extent>...>& topology) {
    const std::vector<std::string> parts{
        detail::format("{} {}", {detail::upper(Tags::name), topology.template extent<Tags>()})...};
    return detail::joined(parts, " x ");
}

/// The mesh as a table that a person reads: for every rank its host, process, device, coordinate and groups, and in
/// the first line the shape, the backend, the launcher and what was read where. Every rank can print it, by itself.
/// Blocks, Throws: as BasicDeviceMesh::records.
template <AxisTag... Tags, int... Extent, class B>
[[nodiscard]] std::string describe(const BasicDeviceMesh<Topology<Axis<Tags, Extent>...>, B>& mesh) {
    const auto& topology = mesh.topology();
    const Launch& launch = mesh.launch();
    std::string text = detail::format("world {} = {}, backend {}, launcher {}",
                                      {mesh.world_size(), shape_text(topology), B::name, launcher_text(launch)});
    if (launch.endpoint && !launch.from.endpoint.empty())
        text += detail::format(", met at {} ({})", {to_string(*launch.endpoint), launch.from.endpoint});
    std::vector<std::vector<std::string>> rows{{"rank", "host", "process", "device", std::string(Tags::name)...}};
    (rows.front().push_back(detail::format("{} group", {Tags::name})), ...);
    for (const Record& record : mesh.records()) {
        rows.push_back({std::to_string(record.rank), record.host, std::to_string(record.pid), record.device,
                        std::to_string(topology.template coordinate<Tags>(record.rank))...});
        (rows.back().push_back(detail::joined(topology.template group<Tags>(record.rank), " ")), ...);
    }
    return text + '\n' + detail::table_text(rows);
}

/// A plan as a table that a person reads: where the rank stands, and each of its groups.
template <AxisTag... Tags, int... Extent>
[[nodiscard]] std::string describe(const MeshPlan<Topology<Axis<Tags, Extent>...>>& plan) {
    const std::vector<std::string> place{
        detail::format("{} {}", {Tags::name, plan.topology.template coordinate<Tags>(plan.rank)})...};
    std::vector<std::vector<std::string>> rows{{"axis", "ranks", "communicator"}};
    for (const PlannedGroup& group : plan.groups)
        rows.push_back({group.axis, detail::joined(group.ranks, " "),
                        group.ranks.size() == 1 ? "none, one rank"
                        : group.shares.empty()  ? "its own"
                                                : "that of " + group.shares});
    return detail::format("rank {} of {} = {}: {}\n",
                          {plan.rank, plan.topology.size(), shape_text(plan.topology), detail::joined(place, ", ")}) +
           detail::table_text(rows);
}

} // namespace muster::inline v0_1
