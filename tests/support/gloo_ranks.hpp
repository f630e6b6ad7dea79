// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/gloo/communicator.hpp>
#include <muster/gloo/device.hpp>
#include <muster/gloo/endpoint.hpp>

#include <chrono>
#include <numeric>
#include <utility>
#include <vector>

#include "ranks.hpp"

namespace support {

/// Runs fn(communicator) on n ranks, each with a device of its own, as processes have. Global ranks are 10, 11, ...:
/// never a rank in the group.
template <class Fn>
void with_gloo(int n, Fn fn, const muster::GlooOptions& options = {}) {
    Meeting meeting(n);
    run_ranks(n, [&](int rank) {
        std::vector<int> ranks(static_cast<std::size_t>(n));
        std::iota(ranks.begin(), ranks.end(), 10);
        const muster::GlooDevice device;
        muster::GlooEndpoint endpoint(rank, n, device, ranks);
        auto context = endpoint.connect(meeting.all(0, rank, endpoint.payload()),
                                        muster::Deadline::after(std::chrono::seconds(30)));
        muster::GlooCommunicator comm(std::move(context), ranks, options);
        fn(comm);
    });
}

/// The error that fn() throws; fails the caller when it throws none.
template <class Fn>
muster::Error error_of(Fn fn) {
    try {
        fn();
    } catch (const muster::Error& error) {
        return error;
    }
    throw std::runtime_error("expected a muster::Error");
}

} // namespace support
