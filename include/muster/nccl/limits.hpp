// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/log.hpp>

#include <chrono>

namespace muster::inline v0_1 {

/// Limits of a communicator; split hands them on to the new ones.
struct NcclLimits {
    /// How long a call may wait for NCCL: the launch of a collective, a split, a barrier. Not how long a collective may
    /// run on the GPU: that is what wait() is told.
    std::chrono::milliseconds timeout = std::chrono::minutes(5);
    /// How long ending it by force may take; then it is left behind, with its memory.
    std::chrono::milliseconds abort_timeout = std::chrono::seconds(10);
    /// How long a destructor waits for NCCL to finish in order, before it aborts.
    std::chrono::milliseconds destructor_timeout = std::chrono::seconds(5);
    /// A communicator that failed in an operation is aborted before the error is thrown: what hangs on the GPU ends,
    /// and with it what would wait for the GPU, as cudaFree does. Without it the communicator can still be shrunk.
    bool abort_on_error = true;
    LogSink log = log_to_stderr; ///< hears of communicators that had to be left behind
};

} // namespace muster::inline v0_1
