// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/rendezvous/serve.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/listen.hpp>
#include <muster/store/memory.hpp>
#include <muster/store/prefix.hpp>
#include <muster/store/resolve.hpp>
#include <muster/store/tcp.hpp>
#include <muster/store/tcp_server.hpp>
#include <muster/store/unreachable.hpp>

#include <netdb.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace muster::inline v0_1::detail {

/// Whether a host's name or address is this host to everybody on it.
[[nodiscard]] inline bool is_loopback(const std::string& host) {
    const std::string bare = bare_host(host);
    return bare == "localhost" || bare.starts_with("127.") || bare == "::1";
}

/// The address at which rank 0 serves: the endpoint's and no other. Except for a name that on its own host stands for
/// loopback, too, as Debian writes the host's own name into /etc/hosts: other hosts mean another address by it.
/// Blocks: as resolve_patiently. Throws: Error(errc::connection) where the name cannot be resolved.
[[nodiscard]] inline std::string address_to_serve(const Launch& launch, Deadline deadline) {
    const std::string& host = launch.endpoint->host;
    const std::string bare = bare_host(host);
    if (bare.empty() || look_up(bare, 0, AI_NUMERICHOST).problem.empty()) return host;
    const Resolution found = resolve_patiently(bare, 0, deadline);
    if (!found.problem.empty()) cannot_serve_at_name(host_port(bare, launch.endpoint->port), found.problem);
    if (launch.local_size == launch.world_size || host == "localhost") return host;
    const auto leads_here = [](const Address& address) { return is_loopback(to_string(address)); };
    return std::ranges::any_of(found.addresses, leads_here) ? std::string() : host;
}

/// Where it fails, the text says what the address and the port came from: nobody may have chosen them.
[[nodiscard]] inline std::unique_ptr<TcpStoreServer> serve_at_endpoint(const Launch& launch, Deadline deadline) {
    try {
        return std::make_unique<TcpStoreServer>(address_to_serve(launch, deadline), launch.endpoint->port,
                                                TcpStoreServerOptions{}, deadline);
    } catch (const Error& error) {
        if (launch.from.endpoint.empty()) throw;
        throw Error(error.code(), error.stage(),
                    format("{}\n  the address and the port are from: {}", {error.text(), launch.from.endpoint}),
                    {launch.rank, {launch.rank}, false});
    }
}

/// Meets at the launch's endpoint: rank 0 serves there, unless the launcher already does, and says so to `on_serving`
/// with the port that it has. A world of 1 needs no network. `connect_by`: as for TcpStore.
[[nodiscard]] inline Meeting meet_at_endpoint(const Launch& launch, Deadline deadline,
                                              const std::function<void(const Endpoint&)>& on_serving = {},
                                              Deadline connect_by = Deadline::never()) {
    if (launch.world_size == 1) return Meeting(AnyStore(MemoryStore()));
    if (!launch.endpoint)
        throw Error(errc::invalid_launch, Stage::rendezvous,
                    format("{} ranks have no address at which to meet\n  do: set MASTER_ADDR and MASTER_PORT",
                           {launch.world_size}),
                    {launch.rank, {}, false});
    Endpoint endpoint = *launch.endpoint;
    std::unique_ptr<TcpStoreServer> server;
    if (launch.rank == 0 && !launch.endpoint_is_served) {
        server = serve_at_endpoint(launch, deadline);
        endpoint.port = server->port();
        if (on_serving) on_serving(endpoint);
    }
    try {
        const bool muster_serves = !launch.endpoint_is_served;
        TcpStore connected(endpoint.host, endpoint.port, deadline,
                           muster_serves && !server ? StoreServer::muster : StoreServer::any, connect_by);
        // Jobs that share a store keep apart by their names.
        AnyStore store(PrefixStore<TcpStore>(std::move(connected), format("muster/{}", {launch.job})));
        return muster_serves ? meet_at(std::move(store), std::move(server)) : Meeting(std::move(store));
    } catch (const Error& error) {
        if (launch.endpoint_is_served || launch.rank == 0) throw;
        raise_unreachable(error, launch.rank);
    }
}

} // namespace muster::inline v0_1::detail
