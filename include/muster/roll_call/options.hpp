// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/log.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace muster::inline v0_1 {

/// How a roll is called.
struct RollCallOptions {
    Deadline deadline;                   ///< of the wait for all ranks
    std::chrono::milliseconds timeout{}; ///< length of the wait, for texts
    LogSink log = {};                    ///< hears who is missing, and the error that all ranks throw

    /// The store began with this roll call, because rank 0's process serves it: nothing in it is of an earlier run, it
    /// sees who disconnects, and it ends with rank 0. Must be the same on all ranks.
    bool fresh = false;

    /// What rank 0 makes of all payloads (index = rank) for Session::answer; as it is, all that are not empty.
    std::function<std::string(const std::vector<std::string>&)> combine = {};
};

} // namespace muster::inline v0_1
