// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/text.hpp>
#include <muster/launch/environment.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace muster::inline v0_1 {

/// Where the ranks of a job meet.
struct Endpoint {
    std::string host;
    std::uint16_t port = 0;

    friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// host:port as people write it, an IPv6 address in brackets.
[[nodiscard]] inline std::string to_string(const Endpoint& endpoint) {
    return detail::host_port(endpoint.host, endpoint.port);
}

/// Who this process is in its job, as a plain value. The default is a job of this one process.
struct Launch {
    int rank = 0;
    int world_size = 1;
    std::optional<int> local_rank; ///< index among the job's processes on this host, when the launcher tells it
    std::optional<int> local_size; ///< number of the job's processes on this host, when the launcher tells it

    std::optional<Endpoint> endpoint; ///< where to meet; a world of 1 needs none
    bool endpoint_is_served = false;  ///< the launcher already serves a store there: every rank is a client

    std::string launcher = "none"; ///< name of the launcher found
    std::string job = "default";   ///< tells jobs apart that meet at one store

    /// Which variable each value came from, for error texts and tables.
    struct Sources {
        std::string rank, world_size, local_rank, local_size, endpoint;
    } from;

    Environment environment; ///< what all this was read from
};

} // namespace muster::inline v0_1
