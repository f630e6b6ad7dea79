// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>

#include <nccl.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace muster::inline v0_1::detail {

/// Pauses between looks at something that another thread finishes: none at first, a millisecond in the end.
class Backoff {
public:
    void pause() {
        using namespace std::chrono_literals;
        if (++looks_ <= 64) return std::this_thread::yield();
        std::this_thread::sleep_for(wait_);
        wait_ = std::min<std::chrono::microseconds>(2 * wait_, 1ms);
    }

private:
    int looks_ = 0;
    std::chrono::microseconds wait_{20};
};

/// Waits while the communicator is in progress. ncclInProgress when the deadline has passed or `stop()` says so.
/// Only one thread may do this for a communicator: a look also ends NCCL's own background thread.
template <class Stop>
[[nodiscard]] ncclResult_t poll_nccl(ncclComm_t comm, Deadline deadline, Stop stop) {
    Backoff backoff;
    while (true) {
        ncclResult_t state = ncclSuccess;
        if (const ncclResult_t asked = ncclCommGetAsyncError(comm, &state); asked != ncclSuccess) return asked;
        if (state != ncclInProgress || stop() || deadline.expired()) return state;
        backoff.pause();
    }
}

} // namespace muster::inline v0_1::detail
