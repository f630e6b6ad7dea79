// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/launch/launch.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/resolve.hpp>

#include <sys/socket.h>

#include <string>

namespace muster::inline v0_1::detail {

/// The local address from which this host reaches `endpoint`, as numbers; empty when there is no way to it. Asks the
/// routing table: connecting a datagram socket sends nothing.
/// Blocks: as long as the name takes to resolve, at most to the deadline.
[[nodiscard]] inline std::string local_address_toward(const Endpoint& endpoint, Deadline deadline) {
    for (const Address& address : resolve(bare_host(endpoint.host), endpoint.port, deadline).addresses) {
        const Fd fd(::socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (!fd || ::connect(fd.get(), address.get(), address.size) != 0) continue;
        Address local;
        local.size = sizeof local.storage;
        if (::getsockname(fd.get(), local.get(), &local.size) == 0) return to_string(local);
    }
    return {};
}

} // namespace muster::inline v0_1::detail
