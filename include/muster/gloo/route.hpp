// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/gloo/local_address.hpp>
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/endpoint.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/resolve.hpp>

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <string>

namespace muster::inline v0_1::detail {

/// The local address from which this host reaches `endpoint`, as numbers; empty when there is no way to it. A loopback
/// address only where there is no other. Asks the routing table: connecting a datagram socket sends nothing.
/// Blocks: as long as the name takes to resolve, at most to the deadline.
[[nodiscard]] inline std::string local_address_toward(const Endpoint& endpoint, Deadline deadline) {
    std::string loopback;
    for (const Address& address : resolve_patiently(bare_host(endpoint.host), endpoint.port, deadline).addresses) {
        const Fd fd(::socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (!fd || ::connect(fd.get(), address.get(), address.size) != 0) continue;
        Address local;
        local.size = sizeof local.storage;
        if (::getsockname(fd.get(), local.get(), &local.size) != 0) continue;
        std::string text = to_string(local);
        if (!is_loopback(text)) return text;
        if (loopback.empty()) loopback = text;
    }
    return loopback;
}

/// The address by which other hosts are likely to know this one: that of the default route, else the first interface
/// that is up and no loopback; empty where there is neither.
[[nodiscard]] inline std::string local_address_outward() {
    // Addresses kept for documentation: nobody has them, and nothing is sent (RFC 5737, RFC 3849).
    for (const char* const nobody : {"192.0.2.1", "2001:db8::1"})
        if (auto address = local_address_toward({nobody, 9}, Deadline::never()); !address.empty()) return address;
    ifaddrs* found = nullptr;
    if (::getifaddrs(&found) != 0) return {};
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(found, &::freeifaddrs);
    for (const int family : {AF_INET, AF_INET6})
        for (const ifaddrs* one = found; one != nullptr; one = one->ifa_next) {
            const bool usable = (one->ifa_flags & IFF_UP) != 0 && (one->ifa_flags & IFF_LOOPBACK) == 0;
            if (!usable || one->ifa_addr == nullptr || one->ifa_addr->sa_family != family) continue;
            return numeric_address(one->ifa_addr, family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
        }
    return {};
}

/// The address at which the other ranks reach this one, who meet at `endpoint`. A host's own name may stand for
/// loopback there, and means another address elsewhere. Blocks: as local_address_toward.
[[nodiscard]] inline std::string local_address(const Launch& launch, const Endpoint& endpoint, Deadline deadline) {
    std::string toward = local_address_toward(endpoint, deadline);
    if (launch.local_size == launch.world_size || !is_loopback(toward) || is_loopback(endpoint.host)) return toward;
    const std::string outward = local_address_outward();
    return outward.empty() ? toward : outward;
}

} // namespace muster::inline v0_1::detail
