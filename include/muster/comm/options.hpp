// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/log.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace muster::inline v0_1 {

/// How a mesh is formed. The defaults are right for most programs.
struct Options {
    /// Limit of the whole of init, and of each Gloo operation afterwards.
    std::chrono::milliseconds timeout = std::chrono::minutes(5);

    /// The GPU to use, as an index among the visible ones; by default the local rank decides. Gloo has none.
    std::optional<int> device = {};

    /// Network interface for traffic between hosts ("eth0"); by default the one that leads to the rendezvous address.
    std::string interface = {};

    /// Where progress and warnings go.
    LogSink log = log_to_stderr;
};

} // namespace muster::inline v0_1
