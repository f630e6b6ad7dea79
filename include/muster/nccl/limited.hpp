// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/store/thread.hpp>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace muster::inline v0_1::detail {

/// What `call` returns, nothing when it has not returned by the deadline. NCCL's calls have no limit of their own, so
/// this one runs on a thread that is then left behind, with all that `call` owns. `call` must not throw.
template <class Call>
[[nodiscard]] auto call_with_limit(Deadline deadline, Call call) -> std::optional<decltype(call())> {
    struct Shared {
        explicit Shared(Call body) : call(std::move(body)) {}
        Call call;
        std::mutex mutex;
        std::condition_variable ended;
        std::optional<decltype(call())> result;
    };
    const auto shared = std::make_shared<Shared>(std::move(call));
    std::thread thread = start_thread([shared] {
        auto result = shared->call();
        const std::lock_guard lock(shared->mutex);
        shared->result = std::move(result);
        shared->ended.notify_one();
    });
    std::optional<decltype(call())> result;
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
