// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/mesh/backend.hpp>
#include <muster/topology.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <span>
#include <string>

namespace muster::inline v0_1::detail {

/// Limits each operation of a communicator whose operations wait. While a mesh is formed that is what is left of init.
template <class C>
void limit(C& communicator, std::chrono::milliseconds timeout) {
    if constexpr (requires { communicator.set_timeout(timeout); })
        if (communicator.is_open()) communicator.set_timeout(std::max(timeout, std::chrono::milliseconds(1)));
}

/// Whether an axis is the world itself, so that the two share one communicator.
template <AxisTag Tag, Backend B, class Grid>
[[nodiscard]] bool shares_world(const B& backend, const Grid& topology) {
    if (topology.template extent<Tag>() != topology.size()) return false;
    if constexpr (requires { backend.shares_world(Tag::name); }) return backend.shares_world(Tag::name);
    return true;
}

/// The communicators of a mesh. An axis that is closed shares the world's.
template <Backend B, std::size_t N>
struct Communicators {
    using Communicator = typename B::Communicator;

    Communicator world;
    std::array<Communicator, N> axes;

    /// Axes before the world. Throws the first error met; all are closed or aborted in any case.
    void close(Deadline deadline) {
        std::exception_ptr first;
        const auto close_one = [&](Communicator& communicator) {
            try {
                communicator.close(deadline);
            } catch (const Error&) {
                if (!first) first = std::current_exception();
                communicator.abort();
            }
        };
        for (Communicator& axis : axes) close_one(axis);
        close_one(world);
        if (first) std::rethrow_exception(first);
    }

    /// All at once where the backend can: an abort may wait for another communicator.
    void abort() noexcept {
        const std::span<Communicator> worlds(&world, 1);
        if constexpr (requires { Communicator::abort_together({std::span<Communicator>(axes), worlds}); }) {
            Communicator::abort_together({std::span<Communicator>(axes), worlds});
        } else {
            for (Communicator& axis : axes) axis.abort();
            world.abort();
        }
    }

    void limit_each(std::chrono::milliseconds timeout) {
        limit(world, timeout);
        for (Communicator& axis : axes) limit(axis, timeout);
    }
};

} // namespace muster::inline v0_1::detail
