// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/launch/environment.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// Where the ranks of a job meet.
struct Endpoint {
    std::string host;       ///< a name or an address, of IPv6 with or without brackets
    std::uint16_t port = 0; ///< 0: any that is free, for TcpRendezvous

    friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// host:port as people write it, an IPv6 address in brackets.
[[nodiscard]] inline std::string to_string(const Endpoint& endpoint) {
    return detail::host_port(endpoint.host, endpoint.port);
}

/// Who this process is in its job, as a plain value. The default is a job of this one process.
struct Launch {
    int rank = 0;                  ///< index among the job's processes
    int world_size = 1;            ///< number of the job's processes
    std::optional<int> local_rank; ///< index among the job's processes on this host, when the launcher tells it
    std::optional<int> local_size; ///< number of the job's processes on this host, when the launcher tells it
    std::optional<int> node_index; ///< index of this host among the job's, when the launcher tells it
    std::optional<int> node_count; ///< number of the job's hosts, when the launcher tells it

    std::optional<Endpoint> endpoint; ///< where to meet; a world of 1 needs none
    bool endpoint_is_served = false;  ///< the launcher already serves a store there: every rank is a client

    std::string launcher = "none"; ///< name of the launcher found
    std::string job = "default";   ///< tells jobs apart that meet at one store

    /// Which variable each value came from, for error texts and tables. A derived value names all it was derived from;
    /// the endpoint names what gave the address, then what gave the port.
    struct Sources {
        /// Names of variables, or of what the program gave; empty where the value was not told.
        std::string rank, world_size, local_rank, local_size, node_index, node_count, endpoint;
    } from; ///< of this launch

    /// Other launchers whose variables were seen, with the reason why they do not count.
    std::vector<std::string> passed_over;

    Environment environment; ///< what all this was read from
};

/// The launcher and what was read where, in one line: "Slurm (rank: SLURM_PROCID; ...; passed over: ...)"; "none".
[[nodiscard]] inline std::string launcher_text(const Launch& launch) {
    const auto& from = launch.from;
    std::vector<std::pair<std::string, std::string_view>> found;
    for (const auto& [what, variable] : {std::pair<std::string_view, std::string_view>{"rank", from.rank},
                                         {"world size", from.world_size},
                                         {"local rank", from.local_rank},
                                         {"local size", from.local_size},
                                         {"node", from.node_index},
                                         {"nodes", from.node_count}}) {
        if (variable.empty()) continue;
        if (!found.empty() && found.back().second == variable)
            found.back().first += detail::format(", {}", {what});
        else
            found.emplace_back(what, variable);
    }
    std::string text;
    for (const auto& [what, variable] : found)
        text += detail::format("{}{}: {}", {text.empty() ? "" : "; ", what, variable});
    for (const std::string& other : launch.passed_over)
        text += detail::format("{}passed over: {}", {text.empty() ? "" : "; ", other});
    return text.empty() ? launch.launcher : detail::format("{} ({})", {launch.launcher, text});
}

} // namespace muster::inline v0_1
