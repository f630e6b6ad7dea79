// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/format.hpp>
#include <muster/store/thread.hpp>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// A socket address of either family, port included.
struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    [[nodiscard]] int family() const noexcept { return storage.ss_family; }
    [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
    [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
};

/// The addresses that a host name stands for, or why there are none.
struct Resolution {
    std::vector<Address> addresses;
    std::string problem;
};

/// As numbers, without the port. Never asks a name server.
[[nodiscard]] inline std::string to_string(const Address& address) {
    char text[NI_MAXHOST];
    const int error = ::getnameinfo(address.get(), address.size, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
    return error == 0 ? std::string(text) : "an address that cannot be shown";
}

/// An address that is written as numbers in the usual way; its size is 0 where it is not.
[[nodiscard]] inline Address parse_address(const std::string& host, std::uint16_t port) noexcept {
    Address address;
    auto* const v4 = reinterpret_cast<sockaddr_in*>(address.get());
    auto* const v6 = reinterpret_cast<sockaddr_in6*>(address.get());
    if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        address.size = sizeof *v4;
    } else if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        address.size = sizeof *v6;
    }
    return address;
}

[[nodiscard]] inline Resolution look_up(const std::string& host, std::uint16_t port, int flags) {
    if (const Address number = parse_address(host, port); number.size > 0) return {{number}, {}};
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    Resolution result;
    const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
    if (error != 0) {
        result.problem =
            error == EAI_SYSTEM ? std::generic_category().message(errno) : std::string(::gai_strerror(error));
        return result;
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
        if (each->ai_addrlen > sizeof(sockaddr_storage)) continue;
        Address address;
        std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
        address.size = each->ai_addrlen;
        result.addresses.push_back(address);
    }
    if (result.addresses.empty()) result.problem = "the name has no address";
    return result;
}

/// All addresses of both families of a host, which is a name or a number, in the order that the system prefers.
/// Blocks: at most to the deadline. getaddrinfo knows no deadline, so a name is looked up by a thread of its own, which
/// is left behind with what it needs when the name server hangs.
[[nodiscard]] inline Resolution resolve(const std::string& host, std::uint16_t port, Deadline deadline) {
    if (Resolution number = look_up(host, port, AI_NUMERICHOST); number.problem.empty()) return number;

    struct Request {
        std::mutex mutex;
        std::condition_variable done;
        bool finished = false;
        Resolution result;
    };
    const auto request = std::make_shared<Request>();
    try {
        start_thread([request, host, port] {
            Resolution result;
            try {
                result = look_up(host, port, 0);
            } catch (const std::exception& error) {
                result.problem = error.what();
            }
            const std::lock_guard lock(request->mutex);
            request->result = std::move(result);
            request->finished = true;
            request->done.notify_one();
        }).detach();
    } catch (const std::system_error& error) {
        return {{}, format("no thread to look it up: {}", {error.what()})};
    }
    std::unique_lock lock(request->mutex);
    if (!request->done.wait_until(lock, deadline.at(), [&] { return request->finished; }))
        return {{}, "name resolution did not end in time"};
    return std::move(request->result);
}

/// The same of a name that may not be known yet, as that of a pod which has just started: it is asked for again, for a
/// while. A wrong name should not take as long as a rank that is late.
[[nodiscard]] inline Resolution resolve_patiently(const std::string& host, std::uint16_t port, Deadline deadline) {
    using namespace std::chrono_literals;
    deadline = deadline.at_most(30s);
    for (;;) {
        Resolution found = resolve(host, port, deadline);
        if (found.problem.empty() || host.empty()) return found;
        // No name server tells when it learns of a name.
        std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(500ms, deadline.remaining()));
        if (deadline.expired()) return found;
    }
}

} // namespace muster::inline v0_1::detail
