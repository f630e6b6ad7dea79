// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/nccl/abort.hpp>
#include <muster/nccl/config.hpp>
#include <muster/nccl/device_guard.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/frame.hpp>
#include <muster/nccl/gate.hpp>
#include <muster/nccl/limited.hpp>
#include <muster/nccl/limits.hpp>
#include <muster/nccl/open_group.hpp>
#include <muster/nccl/poll.hpp>
#include <muster/nccl/progress.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// An NCCL communicator's life. abort() may come from any thread, everything else from the one that is inside.
class NcclState : public NcclProgress {
public:
    NcclState(NcclGroupOfRanks group, NcclLimits life_limits, std::shared_ptr<const NcclNames> kept)
        : NcclProgress(std::move(group), std::move(life_limits)),
          names(kept ? std::move(kept) : std::make_shared<const NcclNames>()) {}

    ~NcclState() { abort(); }

    /// Takes the communicator; `owned` ones are closed or aborted here. Pre: nobody else is inside.
    void adopt(ncclComm_t handle, bool owned = true) noexcept {
        handle_ = handle;
        owned_ = owned;
    }

    /// Keeps a child that is being made, so that an abort reaches it.
    void expect_child(NcclChild child) noexcept { child_ = std::move(child); }

    /// Device memory for what this communicator sends of its own. Kept to the end: to free it waits for all streams.
    [[nodiscard]] void* own_memory(std::size_t bytes) {
        if (bytes > own_bytes_) {
            const DeviceGuard current(device);
            own_memory_.reserve(own_memory_.size() + 1);
            void* memory = nullptr;
            check_cuda("cudaMalloc", cudaMalloc(&memory, bytes), Stage::communicator, global_rank());
            own_memory_.push_back(memory);
            own_bytes_ = bytes;
        }
        return own_memory_.back();
    }

    /// Lets a call in once more after a failure, where the communicator was not aborted.
    void reopen() noexcept {
        if (busy_.exchange(true, std::memory_order_acquire)) return; // the one inside will say
        auto expected = Status::failed;
        if (handle_ != nullptr) status_.compare_exchange_strong(expected, Status::open);
        leave();
    }

    /// Something that must end before the communicator does: `free` is called at the close, unless it was removed.
    using Free = std::function<ncclResult_t(ncclComm_t)>;
    [[nodiscard]] std::uint64_t add_part(Free free) {
        parts_.emplace(++last_part_, std::move(free));
        return last_part_;
    }

    /// Ends a part now, where the communicator is open.
    void end_part(std::uint64_t part) {
        const auto found = parts_.find(part);
        if (found == parts_.end()) return;
        const Free free = std::move(found->second);
        parts_.erase(found);
        if (is_open()) launch("deregister", free);
    }

    /// Nothing but splits, shrinks and the end are left of the communicator.
    void set_revoked() noexcept { revoked_ = true; }

    /// Gives the communicator up to the caller, who ends it.
    [[nodiscard]] ncclComm_t release() noexcept {
        status_ = Status::closed;
        return std::exchange(handle_, nullptr);
    }

    /// Calls `call(handle)` and waits until NCCL has launched it.
    template <class Call>
    [[gnu::always_inline]] inline void launch(const char* operation, Call call) {
        enter(operation);
        last_ = operation;
        ++launched_;
        const ncclResult_t result = call(handle_);
        if (result != ncclSuccess) [[unlikely]]
            settle_and_leave(operation, result);
        else
            leave();
    }

    /// Runs `body` inside. For what waits, and so cannot stand in a group.
    template <class Body>
    auto inside(const char* operation, Body body) {
        if (nccl_frame.depth > 0)
            throw Error(errc::invalid_argument, Stage::communicator,
                        format("{} {} in a group that has not ended\n  do: end the group first", {operation, whose()}),
                        {.rank = global_rank()});
        const Inside entered(*this, operation);
        return body();
    }

    /// The same for what looks at operations: a failure of theirs ends the communicator.
    template <class Body>
    void watching(const char* operation, Body body) {
        try {
            inside(operation, std::move(body));
        } catch (...) {
            end_failed();
            throw;
        }
    }

    /// Frees what failed, unless that is the program's to do.
    void end_failed() noexcept {
        if (status_ == Status::failed && limits.abort_on_error && !in_own_group()) abort();
    }

    /// Any thread. Ends communicators of one device in any state, and frees them.
    /// Blocks: at most the abort timeout, twice where a thread is inside and does not leave.
    static void abort_all(const std::vector<NcclState*>& states) noexcept;
    void abort() noexcept { abort_all({this}); }

    /// Finishes what runs, waits for NCCL to the deadline, and frees the communicator. Anything but success aborts it.
    void close(Deadline deadline) {
        if (!is_open()) return abort();
        ncclComm_t handle = nullptr;
        std::vector<void*> memory;
        try {
            inside("close", [&] {
                if (handle_ != nullptr && owned_) finalize(deadline);
                auto expected = Status::open;
                status_.compare_exchange_strong(expected, Status::closed);
                handle = std::exchange(handle_, nullptr);
                memory = std::exchange(own_memory_, {});
            });
        } catch (...) {
            abort();
            throw;
        }
        destroy(owned_ ? handle : nullptr, std::move(memory), deadline);
    }

    const std::shared_ptr<const NcclNames> names;

private:
    friend class NcclGroupEnd;

    [[gnu::noinline]] void settle_and_leave(const char* operation, ncclResult_t result) {
        // A group has launched nothing before its end.
        const bool launches_later = in_own_group() && result == ncclInProgress;
        try {
            if (!launches_later && !settles_soon(result)) settle(operation, result, Deadline::after(limits.timeout));
        } catch (...) {
            leave();
            end_failed();
            throw;
        }
        leave();
    }

    void finalize(Deadline deadline) {
        for (; !parts_.empty(); parts_.erase(std::prev(parts_.end())))
            settle("deregister", std::prev(parts_.end())->second(handle_), deadline);
        if (!revoked_) settle("close", ncclCommFinalize(handle_), deadline);
    }

    void destroy(ncclComm_t handle, std::vector<void*> memory, Deadline deadline) {
        if (handle == nullptr && memory.empty()) return;
        // Local after finalize; on a thread of its own all the same, for nothing limits it.
        const auto limit = std::max(deadline, Deadline::after(limits.abort_timeout));
        const auto result = call_with_limit(limit, [handle, memory = std::move(memory), on = device, kept = names] {
            (void)cudaSetDevice(on);
            for (void* each : memory) (void)cudaFree(each); // reports what earlier work did
            return handle == nullptr ? ncclSuccess : ncclCommDestroy(handle);
        });
        if (!result) return left_behind("ncclCommDestroy");
        if (*result != ncclSuccess && *result != ncclInProgress)
            throw_nccl(format("close {}: ncclCommDestroy", {whose()}), *result, Stage::communicator, global_rank());
    }

    void left_behind(std::string_view call) const noexcept {
        try {
            if (limits.log)
                limits.log(format("muster: {} {} did not return within {}: the communicator is left behind",
                                  {call, whose(), duration_text(limits.abort_timeout)}));
        } catch (const std::exception&) {
            return; // nobody left to tell
        }
    }

    bool owned_ = true;
    bool revoked_ = false;
    std::vector<void*> own_memory_; ///< the last is the largest
    std::size_t own_bytes_ = 0;
    NcclChild child_;
    std::map<std::uint64_t, Free> parts_;
    std::uint64_t last_part_ = 0;
};

inline void NcclState::abort_all(const std::vector<NcclState*>& states) noexcept {
    try {
        std::vector<NcclDoomed> doomed;
        const NcclState* told = nullptr;
        for (NcclState* state : states) {
            state->interrupt();
            // What this thread called in a group that is still open must not be launched any more.
            if (state->in_own_group() && nccl_frame.depth > 0) NcclOpenGroup::cancel();
            const Deadline limit = Deadline::after(state->limits.abort_timeout);
            Backoff backoff;
            bool inside = state->busy_.exchange(true, std::memory_order_acquire);
            for (; inside && !limit.expired(); inside = state->busy_.exchange(true, std::memory_order_acquire))
                backoff.pause();
            if (inside) {
                state->left_behind("the thread that is inside");
                continue;
            }
            ncclComm_t handle = std::exchange(state->handle_, nullptr);
            NcclChild child = std::exchange(state->child_, {});
            std::vector<void*> memory = std::exchange(state->own_memory_, {});
            state->own_bytes_ = 0;
            state->leave();
            if (!state->owned_) handle = nullptr;
            if (handle == nullptr && memory.empty()) continue;
            doomed.push_back({handle, std::move(child), state->names, std::move(memory)});
            told = state;
        }
        if (told == nullptr) return;
        const auto result = abort_nccl(std::move(doomed), told->device, told->limits.abort_timeout);
        if (!result) return told->left_behind("ncclCommAbort");
        if (*result != ncclSuccess && told->limits.log)
            told->limits.log(format("muster: ncclCommAbort {} failed: {}", {told->whose(), nccl_result_text(*result)}));
    } catch (const std::exception&) {
        return; // out of memory or threads: what is left of the communicators stays
    }
}

} // namespace muster::inline v0_1::detail
