// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/resolve.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

struct Listener {
    Fd fd;
    std::uint16_t port = 0;
};

/// Binds and listens; `error` is errno where it fails.
[[nodiscard]] inline Fd listen_at(const Address& address, bool both_families, int& error) {
    Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    const int only_v6 = both_families ? 0 : 1;
    // What is accepted inherits that nothing is held back to be sent together with more.
    const bool listens = fd && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                         ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
                         (address.family() != AF_INET6 ||
                          ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof only_v6) == 0) &&
                         ::bind(fd.get(), address.get(), address.size) == 0 && ::listen(fd.get(), SOMAXCONN) == 0;
    if (!listens) {
        error = errno;
        fd.reset();
    }
    return fd;
}

[[nodiscard]] inline std::uint16_t bound_port(const Fd& fd) {
    Address address;
    address.size = sizeof address.storage;
    if (::getsockname(fd.get(), address.get(), &address.size) != 0)
        throw Error(errc::connection, Stage::store,
                    format("the port of a socket cannot be read: {}", {errno_text(errno)}));
    return ntohs(address.family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(address.get())->sin6_port
                                              : reinterpret_cast<const sockaddr_in*>(address.get())->sin_port);
}

[[nodiscard]] inline std::string bind_advice(int error) {
    switch (error) {
        case EADDRINUSE:
            return "choose another MASTER_PORT, or port 0 for any that is free; if a launcher serves a store there "
                   "already, be its client";
        case EADDRNOTAVAIL:
            return "give an address of this host (rank 0's: see MASTER_ADDR), or an empty host for all it has";
        case EACCES: return "choose a port of 1024 or above";
        default: return "see whether this host allows to listen at that address";
    }
}

[[noreturn]] inline void cannot_serve_at_name(const std::string& where, const std::string& problem) {
    throw Error(
        errc::connection, Stage::store,
        format("cannot serve a store at {}: the name cannot be resolved: {}\n  do: give an address of this host, "
               "or an empty host for all it has",
               {where, problem}));
}

/// Listens at the first address that can be bound. `any`: they mean every address, of both families or of one.
[[nodiscard]] inline Listener listen_at_first(const std::string& where, const std::vector<Address>& addresses,
                                              bool any) {
    int error = EAFNOSUPPORT;
    for (const Address& address : addresses) {
        Fd fd = listen_at(address, any, error);
        if (fd) {
            const std::uint16_t bound = bound_port(fd);
            return {std::move(fd), bound};
        }
        // Clients try them in this order: behind somebody else's address they would not find this one.
        if (error == EADDRINUSE || (any && error != EAFNOSUPPORT && error != EADDRNOTAVAIL)) break;
    }
    throw Error(errc::connection, Stage::store,
                format("cannot serve a store at {}: {}\n  do: {}", {where, errno_text(error), bind_advice(error)}));
}

/// Listens at the first address of `host` that can be bound; an empty host means every address of both families.
/// Blocks: to the deadline where `host` is a name and the name server does not answer.
[[nodiscard]] inline Listener listen_on(const std::string& host, std::uint16_t port,
                                        Deadline deadline = Deadline::after(std::chrono::seconds(30))) {
    const std::string bare = bare_host(host);
    const std::string where = bare.empty() ? format("port {} of all addresses", {port}) : host_port(bare, port);
    Resolution found;
    if (bare.empty()) {
        // Dual stack first; a host without IPv6 has IPv4 only.
        for (const char* any : {"::", "0.0.0.0"})
            for (const Address& address : look_up(any, port, AI_NUMERICHOST).addresses)
                found.addresses.push_back(address);
    } else {
        found = resolve(bare, port, deadline);
        if (!found.problem.empty()) cannot_serve_at_name(where, found.problem);
    }
    return listen_at_first(where, found.addresses, bare.empty());
}

} // namespace muster::inline v0_1::detail
