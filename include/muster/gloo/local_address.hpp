// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <string>

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
                    fmt::format("Gloo cannot use the address {}: {}\n  give the address or the interface of this host "
                                "that the other ranks can reach",
                                host, why));
    };
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int rc = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); rc != 0) {
        refuse(rc == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(rc));
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
    int error = 0;
    for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
        const int fd = ::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
        const bool bound = fd >= 0 && ::bind(fd, one->ai_addr, one->ai_addrlen) == 0;
        if (!bound) error = errno;
        if (fd >= 0) ::close(fd); // nothing was written, so there is nothing to lose
        if (!bound) continue;
        if (auto text = numeric_address(one->ai_addr, one->ai_addrlen); !text.empty()) return text;
    }
    refuse(fmt::format("it is no address of this host ({})", std::strerror(error)));
    return {};
}

/// The numeric address of a network interface that is up, IPv4 if it has one.
[[nodiscard]] inline std::string interface_address(const std::string& name) {
    ifaddrs* found = nullptr;
    if (::getifaddrs(&found) != 0) {
        throw Error(errc::connection, Stage::communicator,
                    fmt::format("cannot list the network interfaces: {}", std::strerror(errno)));
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
    throw Error(errc::connection, Stage::communicator,
                fmt::format("Gloo cannot use the interface {}: it is none of this host that is up and has an IP "
                            "address; these are: {}",
                            name, usable.empty() ? "none" : fmt::format("{}", fmt::join(usable, ", "))));
}

} // namespace muster::inline v0_1::detail
