// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/store/thread.hpp>

#include <nccl.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace muster::inline v0_1::detail {

/// What `call` returns, nothing when it has not returned by the deadline. NCCL's calls have no limit of their own, so
/// this one runs on a thread that is then left behind, with all that `call` owns. `call` must not throw.
[[nodiscard]] inline std::optional<ncclResult_t> call_with_limit(Deadline deadline,
                                                                 std::function<ncclResult_t()> call) {
    struct Shared {
        std::function<ncclResult_t()> call;
        std::mutex mutex;
        std::condition_variable ended;
        std::optional<ncclResult_t> result;
    };
    const auto shared = std::make_shared<Shared>();
    shared->call = std::move(call);
    std::thread thread = start_thread([shared] {
        const ncclResult_t result = shared->call();
        const std::lock_guard lock(shared->mutex);
        shared->result = result;
        shared->ended.notify_one();
    });
    std::optional<ncclResult_t> result;
    {
        std::unique_lock lock(shared->mutex);
        const auto has_ended = [&] { return shared->result.has_value(); };
        // Not wait_until(max): a deadline that never comes overflows in the conversion to the system's clock.
        if (deadline == Deadline::never())
            shared->ended.wait(lock, has_ended);
        else
            (void)shared->ended.wait_until(lock, deadline.at(), has_ended);
        result = shared->result;
    }
    if (result)
        thread.join();
    else
        thread.detach();
    return result;
}

} // namespace muster::inline v0_1::detail
