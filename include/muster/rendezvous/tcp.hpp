// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/rendezvous/endpoint.hpp>
#include <muster/rendezvous/given.hpp>
#include <muster/rendezvous/port_file.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace muster::inline v0_1 {

/// Meets at an explicit address. Rank 0 serves there, bound to that address; rank and world size that are not given
/// come from the launcher.
///
/// Port 0 is any that is free. The other ranks learn it from rank 0 when all are on one host (the launcher says so, or
/// the address is loopback): through a file in $XDG_RUNTIME_DIR/muster-UID, or /tmp/muster-UID, named by the job. Else
/// the program tells them: `on_serving` gives it to rank 0, and they are made with it.
struct TcpRendezvous {
    std::string host;                                 ///< a name or address of rank 0's host
    std::uint16_t port = 0;                           ///< 0: any that is free
    std::optional<int> rank = {};                     ///< the launcher's when not given
    std::optional<int> world_size = {};               ///< the launcher's when not given
    Environment environment = Environment::current(); ///< whose variables count

    /// Called on rank 0 once it serves, with the address and port at which it does.
    std::function<void(const Endpoint&)> on_serving = {};

    /// Throws: Error(errc::invalid_launch or errc::invalid_argument).
    [[nodiscard]] Launch launch() const {
        Launch launch = detail::launch_of("TcpRendezvous", {rank, world_size}, environment);
        const Endpoint endpoint{host, port};
        // The agent's store is honoured for exactly the address at which it is.
        launch.endpoint_is_served = launch.endpoint_is_served && launch.endpoint == endpoint;
        launch.endpoint = endpoint;
        launch.from.endpoint = "TcpRendezvous";
        return launch;
    }

    /// Blocks: until rank 0's store is reached, at most to the deadline.
    [[nodiscard]] Meeting connect(const Launch& launch, Deadline deadline) const {
        if (port != 0 || launch.world_size == 1) return detail::meet_at_endpoint(launch, deadline, on_serving);
        const bool one_host = launch.local_size == launch.world_size || detail::is_loopback(host);
        if (!one_host && (launch.rank != 0 || !on_serving))
            throw Error(
                errc::invalid_launch, Stage::rendezvous,
                detail::format(
                    "port 0 at {} cannot be told to ranks on other hosts\n  seen: world size {}, ranks on "
                    "this host: {}\n  do: give a port; or let rank 0 tell the others the one that it gets "
                    "(TcpRendezvous::on_serving)",
                    {host, launch.world_size, launch.local_size ? std::to_string(*launch.local_size) : "not known"}),
                {launch.rank, {}, false});
        if (!one_host) return detail::meet_at_endpoint(launch, deadline, on_serving);
        return launch.rank == 0 ? serve_and_publish(launch, deadline) : find(launch, deadline);
    }

private:
    [[nodiscard]] Meeting serve_and_publish(const Launch& launch, Deadline deadline) const {
        const auto file = std::make_shared<detail::PortFile>(launch);
        Meeting meeting = detail::meet_at_endpoint(launch, deadline, [&](const Endpoint& endpoint) {
            file->publish(endpoint.port);
            if (on_serving) on_serving(endpoint);
        });
        meeting.before_leaving([file] { file->withdraw(); });
        return meeting;
    }

    /// A file that an earlier run left leads nowhere, and is read again.
    [[nodiscard]] Meeting find(const Launch& launch, Deadline deadline) const {
        using namespace std::chrono_literals;
        const detail::PortFile file(launch);
        for (;;) {
            if (const auto found = file.read()) {
                Launch there = launch;
                there.endpoint->port = *found;
                try {
                    return detail::meet_at_endpoint(there, deadline, {}, deadline.at_most(1s));
                } catch (const Error&) {
                    if (deadline.expired()) throw;
                }
            }
            if (deadline.expired())
                throw Error(
                    errc::missing_ranks, Stage::rendezvous,
                    detail::format("rank 0, which serves the store, did not arrive: no process that lives has said "
                                   "in {} at which port of {} it serves\n  do: see whether the process of rank 0 was "
                                   "started on this host, with the same job name ('{}')",
                                   {file.path(), host, launch.job}),
                    {launch.rank, {0}, false});
            std::this_thread::sleep_for(5ms);
        }
    }
};

static_assert(Rendezvous<TcpRendezvous>);

} // namespace muster::inline v0_1
