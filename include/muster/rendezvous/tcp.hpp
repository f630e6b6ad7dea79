// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/launch/detect.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/meeting_point.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/rendezvous/endpoint.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>

namespace muster::inline v0_1 {

/// Meets at an explicit address. Rank 0 serves there, bound to that address; rank and world size that are not given
/// come from the launcher.
struct TcpRendezvous {
    std::string host;
    std::uint16_t port = 0;
    std::optional<int> rank = {};
    std::optional<int> world_size = {};
    Environment environment = Environment::current();

    /// Throws: Error(errc::invalid_launch).
    [[nodiscard]] Launch launch() const {
        Launch launch = rank && world_size ? given() : detect_launch(environment, Wanted::identity);
        if (rank.value_or(launch.rank) != launch.rank || world_size.value_or(launch.world_size) != launch.world_size)
            throw Error(
                errc::invalid_launch, Stage::launch,
                fmt::format("only one of rank and world size was given, and it contradicts the launcher\n  "
                            "given: rank {}, world size {}; launcher ({}): rank {}, world size {}\n  do: give "
                            "both, or none",
                            rank ? fmt::format("{}", *rank) : "-", world_size ? fmt::format("{}", *world_size) : "-",
                            launch.launcher, launch.rank, launch.world_size));
        const Endpoint endpoint{host, port};
        // The agent's store is honoured for exactly the address at which it is.
        launch.endpoint_is_served = launch.endpoint_is_served && launch.endpoint == endpoint;
        launch.endpoint = endpoint;
        launch.from.endpoint = "TcpRendezvous";
        return launch;
    }

    /// Blocks: until rank 0's store is reached, at most to the deadline.
    [[nodiscard]] Meeting connect(const Launch& launch, Deadline deadline) const {
        return detail::meet_at_endpoint(launch, deadline);
    }

private:
    [[nodiscard]] Launch given() const {
        if (*world_size < 1 || *rank < 0 || *rank >= *world_size)
            throw Error(errc::invalid_argument, Stage::launch,
                        fmt::format("rank {} is not a rank of a world of {}\n  wanted: 0 <= rank < world size", *rank,
                                    *world_size));
        Launch launch;
        launch.rank = *rank;
        launch.world_size = *world_size;
        launch.launcher = "TcpRendezvous";
        launch.from.rank = "TcpRendezvous";
        launch.from.world_size = "TcpRendezvous";
        launch.environment = environment;
        return launch;
    }
};

static_assert(Rendezvous<TcpRendezvous>);

} // namespace muster::inline v0_1
