// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>

#include <chrono>
#include <utility>

namespace muster::inline v0_1 {

/// How long each phase of forming a mesh took on this rank.
struct InitTimes {
    using Duration = std::chrono::duration<double>; ///< seconds

    Duration device{};     ///< launcher's variables, GPU, what the peers need to connect
    Duration rendezvous{}; ///< until the store was reached
    Duration roll_call{};  ///< until all ranks were there and agreed
    Duration world{};      ///< the world's communicator
    Duration axes{};       ///< the axes' communicators
    Duration commit{};     ///< until all ranks had succeeded

    /// All phases together.
    [[nodiscard]] Duration total() const noexcept { return device + rendezvous + roll_call + world + axes + commit; }
};

namespace detail {

class Stopwatch {
public:
    /// Time since the last lap.
    [[nodiscard]] InitTimes::Duration lap() noexcept {
        const auto now = Deadline::Clock::now();
        return now - std::exchange(last_, now);
    }

private:
    Deadline::Clock::time_point last_ = Deadline::Clock::now();
};

} // namespace detail
} // namespace muster::inline v0_1
