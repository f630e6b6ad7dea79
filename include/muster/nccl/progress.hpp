// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/gate.hpp>
#include <muster/nccl/limits.hpp>
#include <muster/nccl/poll.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace muster::inline v0_1::detail {

/// What an NCCL communicator has in progress: looked at, waited for with a limit, and named in errors. Everything here
/// but the limits is for the thread that is inside.
class NcclProgress : public NcclGate {
public:
    NcclProgress(NcclGroupOfRanks group, NcclLimits life_limits)
        : NcclGate(std::move(group)),
          limits(std::move(life_limits)) {}

    /// Null in a group of one, and after the end. To be asked inside only.
    [[nodiscard]] ncclComm_t handle() const noexcept { return handle_; }

    /// Until `comm`, this one or one that is made from it, is no more in progress; to the deadline or an abort.
    [[nodiscard]] ncclResult_t poll(ncclComm_t comm, Deadline deadline) const {
        return poll_nccl(comm, deadline, [this] {
            if (watch_) watch_();
            return interrupted();
        });
    }

    /// Called while NCCL is waited for; what it throws ends the wait.
    void set_watch(std::function<void()> watch) { watch_ = std::move(watch); }

    /// Until NCCL has done what it began with `result`. Everything but success ends the communicator.
    void settle(std::string_view operation, ncclResult_t result, Deadline deadline) {
        if (handle_ == nullptr && !interrupted()) return; // a group of one
        if (result == ncclSuccess || result == ncclInProgress) result = poll(handle_, deadline);
        if (result == ncclSuccess) return;
        if (interrupted()) refuse(operation);
        if (result == ncclInProgress)
            fail(errc::timeout, format("{} {} did not end within {}: NCCL is still at it{}",
                                       {operation, whose(), duration_text(limits.timeout), nccl_last_message()}));
        fail_with(operation, result);
    }

    /// Throws when something went wrong since the last look.
    void check(std::string_view operation) {
        if (handle_ == nullptr) return;
        ncclResult_t state = ncclSuccess;
        const ncclResult_t asked = ncclCommGetAsyncError(handle_, &state);
        if (asked != ncclSuccess) fail_with(operation, asked, last_text());
        if (state != ncclSuccess && state != ncclInProgress) fail_with(operation, state, last_text());
    }

    /// Until all that was called on the stream is done on the GPU.
    void wait(cudaStream_t stream, Deadline deadline) {
        const auto start = Deadline::Clock::now();
        for (Backoff backoff;; backoff.pause()) {
            const cudaError_t ready = cudaStreamQuery(stream);
            // An abort makes a stream ready, too.
            if (interrupted()) refuse("wait");
            if (ready == cudaSuccess) return;
            check("wait");
            if (ready != cudaErrorNotReady) {
                (void)cudaGetLastError();
                fail(errc::backend, format("wait {} failed: cudaStreamQuery: {}\n  {}",
                                           {whose(), cuda_error_text(ready), last_text()}));
            }
            (void)cudaGetLastError(); // cudaErrorNotReady is no error
            if (deadline.expired()) {
                const auto waited =
                    std::chrono::duration_cast<std::chrono::milliseconds>(Deadline::Clock::now() - start);
                fail(errc::timeout,
                     format("wait {} saw no end within {}\n  {}\n  all ranks must call the same operations in the "
                            "same order, with the same sizes and types; see whether the other ranks are alive",
                            {whose(), duration_text(waited), last_text()}));
            }
        }
    }

    [[noreturn]] void fail_with(std::string_view operation, ncclResult_t result, std::string_view more = {}) {
        const bool peer = result == ncclRemoteError;
        fail(peer ? errc::connection : errc::backend,
             format("{} {} failed: {}{}{}{}",
                    {operation, whose(), nccl_result_text(result), more.empty() ? "" : "\n  ", more,
                     peer ? "\n  another rank ended, or its communicator failed, was aborted or closed" : ""}));
    }

    NcclLimits limits;

protected:
    ~NcclProgress() = default;

    /// Looks a few times without asking the clock: a launch takes some microseconds.
    [[nodiscard]] bool settles_soon(ncclResult_t result) const {
        if (handle_ == nullptr) return !interrupted(); // a group of one
        for (int look = 0; look < 32 && result == ncclInProgress; ++look) {
            if (ncclCommGetAsyncError(handle_, &result) != ncclSuccess) return false;
            if (look > 2 && result == ncclInProgress) std::this_thread::yield();
        }
        return result == ncclSuccess;
    }

    [[nodiscard]] std::string last_text() const {
        return last_ == nullptr
                   ? std::string("no operation was called")
                   : format("the last operation called was {}, number {} of this communicator", {last_, launched_});
    }

    ncclComm_t handle_ = nullptr;
    const char* last_ = nullptr; ///< operation
    std::uint64_t launched_ = 0;

private:
    std::function<void()> watch_;
};

} // namespace muster::inline v0_1::detail
