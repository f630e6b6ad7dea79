// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/launch/environment.hpp>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1::detail {

/// NCCL's variables that say what a host or a process has of its own, or only what is printed and where.
/// Source: NCCL's documentation of its environment variables, 2.28.
inline constexpr std::array<std::string_view, 22> own_nccl_variables{
    "NCCL_CONF_FILE",
    "NCCL_DEBUG",
    "NCCL_DEBUG_FILE",
    "NCCL_DEBUG_SUBSYS",
    "NCCL_DEBUG_TIMESTAMP_FORMAT",
    "NCCL_DEBUG_TIMESTAMP_LEVELS",
    "NCCL_GRAPH_DUMP_FILE",
    "NCCL_GRAPH_DUMP_FILE_RANK",
    "NCCL_GRAPH_FILE",
    "NCCL_HOSTID",
    "NCCL_IB_ADDR_RANGE",
    "NCCL_IB_GID_INDEX",
    "NCCL_IB_HCA",
    "NCCL_IB_ROUTABLE_FLID_GID_INDEX",
    "NCCL_MNNVL_CLIQUE_ID",
    "NCCL_MNNVL_UUID",
    "NCCL_OOB_NET_IFNAME",
    "NCCL_RAS_ADDR",
    "NCCL_SOCKET_IFNAME",
    "NCCL_TOPO_DUMP_FILE",
    "NCCL_TOPO_DUMP_FILE_RANK",
    "NCCL_TOPO_FILE",
};

/// The variables that NCCL sees and that all ranks must have alike: those of the environment, and of NCCL's
/// configuration files where the environment does not define them, the first file first. Without those that a host
/// has of its own, and those in `may_differ`.
[[nodiscard]] inline std::map<std::string, std::string> common_nccl_variables(
    const Environment& environment, const std::vector<std::string>& files, const std::vector<std::string>& may_differ) {
    std::map<std::string, std::string> variables;
    const auto take = [&](const std::string& name, const std::string& value) {
        if (std::ranges::find(own_nccl_variables, name) == own_nccl_variables.end() &&
            std::ranges::find(may_differ, name) == may_differ.end())
            variables.emplace(name, value);
    };
    for (const auto& [name, value] : environment.starting_with("NCCL_")) take(name, value);
    for (const std::string& path : files) {
        std::ifstream file(path);
        for (std::string line; std::getline(file, line);) {
            if (line.ends_with('\r')) line.pop_back();
            const auto equals = line.find('=');
            if (!line.starts_with("NCCL_") || equals == std::string::npos || equals + 1 == line.size()) continue;
            const std::string name = line.substr(0, equals);
            if (!environment.defines(name)) take(name, line.substr(equals + 1));
        }
    }
    return variables;
}

} // namespace muster::inline v0_1::detail
