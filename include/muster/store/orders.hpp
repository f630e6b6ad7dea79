// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/store/fd.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace muster::inline v0_1::detail {

/// What other threads tell the thread of a store server, which polls fd() for it.
class ServiceOrders {
public:
    enum class Order : std::uint8_t { none, stop_listening, stop };

    [[nodiscard]] int fd() const noexcept { return event_.get(); }

    void give(Order order) noexcept {
        order_ = order;
        const std::uint64_t one = 1;
        // Fails only when the counter is full, and the thread has been told then.
        (void)!::write(fd(), &one, sizeof one);
    }

    /// The latest. None where a fork of the process gave it: that wakes its parent, too.
    [[nodiscard]] Order take() noexcept {
        std::uint64_t count = 0;
        (void)!::read(fd(), &count, sizeof count); // before the look: a later order comes again
        return order_;
    }

private:
    Fd event_ = made(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "an eventfd");
    std::atomic<Order> order_{Order::none};
};

} // namespace muster::inline v0_1::detail
