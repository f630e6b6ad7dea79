// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>

namespace muster::inline v0_1 {

/// The moment at which waiting ends. One deadline is made at the start and handed through every leg, so that no
/// retry, address or message starts the clock again.
class Deadline {
public:
    using Clock = std::chrono::steady_clock; ///< setting the time of day does not move it

    /// A deadline that has passed.
    constexpr Deadline() = default;

    /// The deadline at a point in time.
    constexpr explicit Deadline(Clock::time_point at) noexcept : at_(at) {}

    /// The deadline `wait` from now. Never overflows: a wait too long for the clock means never, one that is not
    /// positive has passed.
    [[nodiscard]] static Deadline after(std::chrono::milliseconds wait) noexcept {
        if (wait.count() <= 0) return Deadline();
        const auto now = Clock::now();
        const auto most = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::time_point::max() - now);
        return wait >= most ? never() : Deadline(now + wait);
    }

    /// The deadline that does not come.
    [[nodiscard]] static constexpr Deadline never() noexcept { return Deadline(Clock::time_point::max()); }

    /// When it is.
    [[nodiscard]] constexpr Clock::time_point at() const noexcept { return at_; }

    /// Whether it has passed.
    [[nodiscard]] bool expired() const noexcept { return Clock::now() >= at_; }

    /// Time left, never negative.
    [[nodiscard]] std::chrono::milliseconds remaining() const noexcept {
        const auto now = Clock::now();
        if (now >= at_) return std::chrono::milliseconds(0);
        return std::chrono::ceil<std::chrono::milliseconds>(at_ - now);
    }

    /// Time left as poll(2) and epoll_wait(2) take it: milliseconds, at least 1 until the deadline has passed.
    [[nodiscard]] int poll_timeout() const noexcept {
        const auto left = remaining().count();
        return static_cast<int>(std::min<decltype(left)>(left, std::numeric_limits<int>::max()));
    }

    /// The nearer of this deadline and `wait` from now.
    [[nodiscard]] Deadline at_most(std::chrono::milliseconds wait) const noexcept {
        return Deadline(std::min(at_, after(wait).at_));
    }

    /// A deadline `wait` after this one.
    [[nodiscard]] constexpr Deadline extended_by(std::chrono::milliseconds wait) const noexcept {
        return at_ > Clock::time_point::max() - wait ? never() : Deadline(at_ + wait);
    }

    friend constexpr auto operator<=>(const Deadline&, const Deadline&) = default;
    // Named, because nvcc declares the one that the other implies and does not define it.
    friend constexpr bool operator==(const Deadline&, const Deadline&) = default;

private:
    Clock::time_point at_{};
};

} // namespace muster::inline v0_1
