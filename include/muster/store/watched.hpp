// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/store/fd.hpp>

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

namespace muster::inline v0_1::detail {

/// The sockets that one thread watches, with epoll.
class WatchedSockets {
public:
    /// For what there is to read.
    void add(int fd) {
        if (!control(EPOLL_CTL_ADD, fd, EPOLLIN))
            throw Error(errc::connection, Stage::store, format("cannot watch a socket: {}", {errno_text(errno)}));
    }

    /// Watches for other events. False when the system refuses.
    [[nodiscard]] bool change(int fd, std::uint32_t events) noexcept { return control(EPOLL_CTL_MOD, fd, events); }

    /// Before a socket is closed: a fork of this process may have a copy, and would keep it open, and watched.
    void end(int fd) noexcept {
        (void)control(EPOLL_CTL_DEL, fd, 0);
        (void)::shutdown(fd, SHUT_RDWR);
    }

    /// What has happened, at the latest at the deadline. Valid until the next call.
    [[nodiscard]] std::span<const epoll_event> wait(Deadline deadline) noexcept {
        const int n =
            ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), deadline.poll_timeout());
        return std::span(events_).first(static_cast<std::size_t>(std::max(n, 0)));
    }

private:
    bool control(int operation, int fd, std::uint32_t events) noexcept {
        epoll_event event{};
        event.events = events;
        event.data.fd = fd;
        return ::epoll_ctl(epoll_.get(), operation, fd, &event) == 0;
    }

    Fd epoll_ = made(::epoll_create1(EPOLL_CLOEXEC), "epoll");
    std::array<epoll_event, 256> events_;
};

} // namespace muster::inline v0_1::detail
