// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/resolve.hpp>

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace muster::inline v0_1::detail {

/// An address as numbers, empty when it has none.
[[nodiscard]] inline std::string numeric_address(const sockaddr* address, socklen_t size) {
    char text[NI_MAXHOST];
    return ::getnameinfo(address, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0 ? text : "";
}

/// The first numeric address of `host` that this machine can bind. Gloo of 2022 must never see a name: it takes the
/// result of a look-up that failed for an address.
[[nodiscard]] inline std::string local_numeric_address(const std::string& host) {
    const auto refuse = [&](const std::string& why) {
        throw Error(errc::connection, Stage::communicator,
                    format("Gloo cannot use the address {}: {}\n  give the address or the interface of this host "
                           "that the other ranks can reach",
                           {host, why}));
    };
    const Resolution found = look_up(bare_host(host), 0, 0);
    if (!found.problem.empty()) refuse(found.problem);
    int error = 0;
    for (const Address& one : found.addresses) {
        const Fd fd(::socket(one.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (fd && ::bind(fd.get(), one.get(), one.size) == 0) return to_string(one);
        error = errno;
    }
    refuse(format("it is no address of this host ({})", {errno_text(error)}));
    return {};
}

/// The numeric address of a network interface that is up, IPv4 if it has one.
[[nodiscard]] inline std::string interface_address(const std::string& name) {
    ifaddrs* found = nullptr;
    if (::getifaddrs(&found) != 0) {
        throw Error(errc::connection, Stage::communicator,
                    format("cannot list the network interfaces: {}", {errno_text(errno)}));
    }
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(found, &::freeifaddrs);
    std::string v6;
    std::set<std::string> usable;
    for (const ifaddrs* one = found; one != nullptr; one = one->ifa_next) {
        if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_UP) == 0) continue;
        const int family = one->ifa_addr->sa_family;
        if (family != AF_INET && family != AF_INET6) continue;
        usable.insert(one->ifa_name);
        if (one->ifa_name != name) continue;
        if (family == AF_INET) return numeric_address(one->ifa_addr, sizeof(sockaddr_in));
        if (v6.empty()) v6 = numeric_address(one->ifa_addr, sizeof(sockaddr_in6));
    }
    if (!v6.empty()) return v6;
    throw Error(
        errc::connection, Stage::communicator,
        format("Gloo cannot use the interface {}: it is none of this host that is up and has an IP "
               "address; these are: {}",
               {name, usable.empty() ? "none" : joined(std::vector<std::string>(usable.begin(), usable.end()), ", ")}));
}

} // namespace muster::inline v0_1::detail
