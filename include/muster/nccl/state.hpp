// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/log.hpp>
#include <muster/core/text.hpp>
#include <muster/nccl/abort.hpp>
#include <muster/nccl/config.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/frame.hpp>
#include <muster/nccl/poll.hpp>

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// Limits of a communicator; split hands them on to the new ones.
struct NcclLimits {
    /// How long a call may wait for NCCL: the launch of a collective, a split, a barrier. Not how long a collective may
    /// run on the GPU: that is what wait() is told.
    std::chrono::milliseconds timeout = std::chrono::minutes(5);
    std::chrono::milliseconds abort_timeout = std::chrono::seconds(10);
    /// How long a destructor waits for NCCL to finish in order, before it aborts.
    std::chrono::milliseconds destructor_timeout = std::chrono::seconds(5);
    /// A communicator that failed in an operation is aborted before the error is thrown: what hangs on the GPU ends,
    /// and with it what would wait for the GPU, as cudaFree does. Without it the communicator can still be shrunk.
    bool abort_on_error = true;
    LogSink log = log_to_stderr; ///< hears of communicators that had to be left behind
};

namespace detail {

/// The group that a communicator connects.
struct NcclGroupOfRanks {
    std::vector<int> ranks; ///< global, index = rank in the group
    int rank = 0;
    int device = 0;
    std::string label; ///< "tp", "world", for texts
};

/// An NCCL communicator's life: open, until the first failure, abort or close ends it for good.
///
/// One thread at a time is inside it. abort() may come from any other: it waits for that thread, which leaves as soon
/// as it sees the request.
class NcclState {
public:
    NcclState(NcclGroupOfRanks group, NcclLimits life_limits, std::shared_ptr<const NcclNames> kept)
        : ranks(std::move(group.ranks)),
          count(static_cast<int>(ranks.size())),
          alone(count == 1),
          rank(group.rank),
          device(group.device),
          label(std::move(group.label)),
          limits(std::move(life_limits)),
          names(kept ? std::move(kept) : std::make_shared<const NcclNames>()) {}

    NcclState(const NcclState&) = delete;
    NcclState& operator=(const NcclState&) = delete;
    ~NcclState() { abort(); }

    [[nodiscard]] int size() const noexcept { return count; }
    [[nodiscard]] int global_rank() const { return ranks[static_cast<std::size_t>(rank)]; }
    [[nodiscard]] bool is_open() const noexcept { return status_ == Status::open; }

    /// Whether this thread's or another's abort ends what waits here.
    [[nodiscard]] bool interrupted() const noexcept { return status_.load(std::memory_order_acquire) != Status::open; }

    /// Null in a group of one, and after the end. To be asked inside only.
    [[nodiscard]] ncclComm_t handle() const noexcept { return handle_; }

    /// Takes the communicator; `owned` ones are closed or aborted here. Pre: nobody else is inside.
    void adopt(ncclComm_t handle, bool owned = true) noexcept {
        handle_ = handle;
        owned_ = owned;
    }

    /// Keeps a child that is being made, so that an abort reaches it.
    void expect_child(NcclChild child) noexcept { child_ = std::move(child); }

    /// A word of device memory for barriers.
    [[nodiscard]] void* scratch() {
        if (scratch_ == nullptr)
            check_cuda("cudaMalloc", cudaMalloc(&scratch_, sizeof(std::int64_t)), Stage::communicator, global_rank());
        return scratch_;
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

    /// Lets a call in once more after a failure.
    void reopen() noexcept {
        auto expected = Status::failed;
        status_.compare_exchange_strong(expected, Status::open);
    }

    /// Gives the communicator up to the caller, who ends it.
    [[nodiscard]] ncclComm_t release() noexcept {
        status_ = Status::closed;
        return std::exchange(handle_, nullptr);
    }

    // The way in and out of every call: no lock and no branch taken when all is well.
    [[gnu::always_inline]] inline void enter(const char* operation) {
        if (nccl_frame.depth == 0) [[likely]] {
            if (busy_.exchange(true, std::memory_order_acquire)) [[unlikely]]
                refuse_second(operation);
        } else {
            enter_group(operation);
        }
        if (interrupted()) [[unlikely]]
            leave_and_refuse(operation);
    }
    [[gnu::always_inline]] inline void leave() noexcept {
        if (holder_.load(std::memory_order_relaxed) == nullptr) busy_.store(false, std::memory_order_release);
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
            throw Error(
                errc::invalid_argument, Stage::communicator,
                fmt::format("{} {} in a group that has not ended\n  do: end the group first", operation, whose()),
                {.rank = global_rank()});
        enter(operation);
        struct Leave {
            NcclState& state;
            ~Leave() { state.leave(); }
        } const leaving{*this};
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
            fail(errc::timeout, fmt::format("{} {} did not end within {}: NCCL is still at it{}", operation, whose(),
                                            duration_text(limits.timeout), nccl_last_message()));
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
                fail(errc::backend, fmt::format("wait {} failed: cudaStreamQuery: {}\n  {}", whose(),
                                                cuda_error_text(ready), last_text()));
            }
            (void)cudaGetLastError(); // cudaErrorNotReady is no error
            if (deadline.expired()) {
                const auto waited =
                    std::chrono::duration_cast<std::chrono::milliseconds>(Deadline::Clock::now() - start);
                fail(errc::timeout,
                     fmt::format("wait {} saw no end within {}\n  {}\n  all ranks must call the same operations in the "
                                 "same order, with the same sizes and types; see whether the other ranks are alive",
                                 whose(), duration_text(waited), last_text()));
            }
        }
    }

    /// Ends the communicator for good with this text.
    [[noreturn]] void fail(errc code, const std::string& text, std::vector<int> about = {}) {
        failure_ = text;
        auto expected = Status::open;
        status_.compare_exchange_strong(expected, Status::failed);
        throw Error(code, Stage::communicator, text, {.rank = global_rank(), .ranks = std::move(about)});
    }

    [[noreturn]] void fail_with(std::string_view operation, ncclResult_t result, std::string_view more = {}) {
        const bool peer = result == ncclRemoteError;
        fail(peer ? errc::connection : errc::backend,
             fmt::format("{} {} failed: {}{}{}{}", operation, whose(), nccl_result_text(result),
                         more.empty() ? "" : "\n  ", more,
                         peer ? "\n  another rank ended, or its communicator failed, was aborted or closed" : ""));
    }

    /// Any thread. What runs or waits in this communicator ends; nothing is freed yet.
    void interrupt() noexcept {
        auto expected = Status::open;
        status_.compare_exchange_strong(expected, Status::aborted);
    }

    /// Any thread. Ends communicators of one device in any state, and frees them.
    /// Blocks: at most the abort timeout, twice where a thread is inside and does not leave.
    static void abort_all(const std::vector<NcclState*>& states) noexcept;
    void abort() noexcept { abort_all({this}); }

    /// Finishes what runs, waits for NCCL to the deadline, and frees the communicator. Anything but success aborts it.
    void close(Deadline deadline) {
        if (!is_open()) return abort();
        ncclComm_t handle = nullptr;
        void* memory = nullptr;
        try {
            inside("close", [&] {
                if (handle_ != nullptr && owned_) finalize(deadline);
                auto expected = Status::open;
                status_.compare_exchange_strong(expected, Status::closed);
                handle = std::exchange(handle_, nullptr);
                memory = std::exchange(scratch_, nullptr);
            });
        } catch (...) {
            abort();
            throw;
        }
        if (owned_) destroy(handle, memory, deadline);
    }

    // For groups.
    friend class NcclGroupEnd;

    const std::vector<int> ranks;
    const int count;  ///< of ranks, at hand for every check
    const bool alone; ///< a group of one: what it moves it copies
    const int rank;
    const int device;
    const std::string label;
    NcclLimits limits;
    const std::shared_ptr<const NcclNames> names;

    /// "on rank 3 of the NCCL communicator tp of ranks 2, 3"
    [[nodiscard]] std::string whose() const {
        return fmt::format("on rank {} of the NCCL communicator {}{}of {}", global_rank(), label,
                           label.empty() ? "" : " ", ranks_text(ranks));
    }

    [[noreturn]] void refuse(std::string_view operation) const {
        const auto why = [&]() -> std::string {
            switch (status_.load()) {
                case Status::failed: return fmt::format("that failed before:\n  {}", indented(failure_));
                case Status::aborted: return "that was aborted";
                default: return "that was closed";
            }
        };
        throw Error(errc::closed, Stage::communicator,
                    fmt::format("{} on an NCCL communicator {}{}of {} {}", operation, label, label.empty() ? "" : " ",
                                ranks_text(ranks), why()),
                    {.rank = global_rank()});
    }

private:
    enum class Status : std::uint8_t { open, failed, aborted, closed };

    /// Whether it was called in the group that is open on this thread.
    [[nodiscard]] bool in_own_group() const noexcept { return holder_.load(std::memory_order_relaxed) == &nccl_frame; }

    [[noreturn, gnu::cold, gnu::noinline]] void leave_and_refuse(const char* operation) {
        leave();
        refuse(operation);
    }

    [[gnu::noinline]] void enter_group(const char* operation) {
        if (in_own_group()) return;
        if (busy_.exchange(true, std::memory_order_acquire)) refuse_second(operation);
        holder_.store(&nccl_frame, std::memory_order_relaxed);
        next_ = std::exchange(nccl_frame.first, this);
    }

    /// Looks a few times without asking the clock: a launch takes some microseconds.
    [[nodiscard]] bool settles_soon(ncclResult_t result) const {
        for (int look = 0; look < 32 && result == ncclInProgress; ++look) {
            if (ncclCommGetAsyncError(handle_, &result) != ncclSuccess) return false;
            if (look > 2 && result == ncclInProgress) std::this_thread::yield();
        }
        return result == ncclSuccess;
    }

    [[noreturn, gnu::cold, gnu::noinline]] void refuse_second(const char* operation) const {
        if (interrupted()) refuse(operation);
        throw Error(errc::invalid_argument, Stage::communicator,
                    fmt::format("{} {}: another thread is using it\n  do: let one thread at a time use a communicator",
                                operation, whose()),
                    {.rank = global_rank()});
    }

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

    [[nodiscard]] std::string last_text() const {
        return last_ == nullptr
                   ? std::string("no operation was called")
                   : fmt::format("the last operation called was {}, number {} of this communicator", last_, launched_);
    }

    void finalize(Deadline deadline) {
        for (; !parts_.empty(); parts_.erase(std::prev(parts_.end())))
            settle("deregister", std::prev(parts_.end())->second(handle_), deadline);
        if (!revoked_) settle("close", ncclCommFinalize(handle_), deadline);
    }

    void destroy(ncclComm_t handle, void* memory, Deadline deadline) {
        if (handle == nullptr) return;
        // Local after finalize; on a thread of its own all the same, for nothing limits it.
        const auto limit = std::max(deadline, Deadline::after(limits.abort_timeout));
        const auto result = call_with_limit(limit, [handle, memory, on = device, kept = names] {
            (void)cudaSetDevice(on);
            (void)cudaFree(memory); // reports what earlier work did
            return ncclCommDestroy(handle);
        });
        if (!result) return left_behind("ncclCommDestroy");
        if (*result != ncclSuccess && *result != ncclInProgress)
            throw_nccl(fmt::format("close {}: ncclCommDestroy", whose()), *result, Stage::communicator, global_rank());
    }

    /// Ends it with a group that launched nothing.
    void give_up() noexcept {
        auto expected = Status::open;
        if (!status_.compare_exchange_strong(expected, Status::failed)) return;
        try {
            failure_ = "a group in which it was called was given up before its end";
        } catch (const std::exception&) {
            return; // its status says enough
        }
    }

    void left_behind(std::string_view call) const noexcept {
        try {
            if (limits.log)
                limits.log(fmt::format("muster: {} {} did not return within {}: the communicator is left behind", call,
                                       whose(), duration_text(limits.abort_timeout)));
        } catch (const std::exception&) {
            return; // nobody left to tell
        }
    }

    ncclComm_t handle_ = nullptr;
    const char* last_ = nullptr;
    std::uint64_t launched_ = 0;
    std::atomic<bool> busy_{false};
    std::atomic<Status> status_{Status::open};
    std::atomic<const NcclFrame*> holder_{nullptr}; ///< the group that keeps the way in shut until its end
    bool owned_ = true;
    bool revoked_ = false;
    void* scratch_ = nullptr;
    NcclState* next_ = nullptr; ///< in the group
    NcclChild child_;
    std::map<std::uint64_t, Free> parts_;
    std::uint64_t last_part_ = 0;
    std::function<void()> watch_;
    std::string failure_;
};

/// The end of this thread's open group for each communicator that was called in it.
class NcclGroupEnd {
public:
    /// Waits until all is launched; throws the first error, after all have been looked at.
    static void settle(ncclResult_t result, const Deadline* deadline) {
        if (result == ncclSuccess || result == ncclInProgress) {
            NcclState* state = nccl_frame.first;
            // Unlike a split, a group that ended with success has nothing in progress.
            while (state != nullptr && (result == ncclSuccess || state->settles_soon(result))) state = let_go(*state);
            nccl_frame.first = state;
            if (state == nullptr) return;
        }
        settle_slowly(result, deadline);
    }

    /// Ends the group without launching anything of it. Its communicators cannot be used after that.
    static void cancel() noexcept {
        if (nccl_frame.depth == 0) return;
        poison_nccl_group();
        for (; nccl_frame.depth > 0; --nccl_frame.depth) (void)ncclGroupEnd(); // says what poisoned it
        nccl_frame.canceled = true;
        for_each([](NcclState& state) { state.give_up(); });
    }

private:
    /// Opens the way in again; the next of the group.
    static NcclState* let_go(NcclState& state) noexcept {
        NcclState* const next = std::exchange(state.next_, nullptr);
        state.holder_.store(nullptr, std::memory_order_relaxed);
        state.leave();
        return next;
    }

    template <class Visit>
    static void for_each(Visit visit) {
        for (NcclState* state = std::exchange(nccl_frame.first, nullptr); state != nullptr;) {
            visit(*state);
            state = let_go(*state);
        }
    }

    [[gnu::cold, gnu::noinline]] static void settle_slowly(ncclResult_t result, const Deadline* deadline) {
        std::exception_ptr first;
        std::vector<NcclState*> failed;
        for_each([&](NcclState& state) {
            try {
                state.settle("a group's end", result, deadline ? *deadline : Deadline::after(state.limits.timeout));
            } catch (const Error&) {
                if (!first) first = std::current_exception();
                if (state.limits.abort_on_error) failed.push_back(&state);
            }
        });
        if (!failed.empty()) NcclState::abort_all(failed);
        if (first) std::rethrow_exception(first);
        if (result != ncclSuccess && result != ncclInProgress)
            throw_nccl("ncclGroupEnd", result, Stage::communicator, -1);
    }

    friend class NcclState;
};

inline void NcclState::abort_all(const std::vector<NcclState*>& states) noexcept {
    try {
        std::vector<NcclDoomed> doomed;
        const NcclState* told = nullptr;
        for (NcclState* state : states) {
            state->interrupt();
            // What this thread called in a group that is still open must not be launched any more.
            if (state->in_own_group() && nccl_frame.depth > 0) NcclGroupEnd::cancel();
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
            state->leave();
            if (handle == nullptr || !state->owned_) continue;
            doomed.push_back({handle, std::move(child), state->names, std::exchange(state->scratch_, nullptr)});
            told = state;
        }
        if (told == nullptr) return;
        const auto result = abort_nccl(std::move(doomed), told->device, told->limits.abort_timeout);
        if (!result) return told->left_behind("ncclCommAbort");
        if (*result != ncclSuccess && told->limits.log)
            told->limits.log(
                fmt::format("muster: ncclCommAbort {} failed: {}", told->whose(), nccl_result_text(*result)));
    } catch (const std::exception&) {
        return; // out of memory or threads: what is left of the communicators stays
    }
}

} // namespace detail
} // namespace muster::inline v0_1
