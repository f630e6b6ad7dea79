// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/launch/launch.hpp>
#include <muster/store/any_store.hpp>

#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <concepts>
#include <functional>
#include <utility>

namespace muster::inline v0_1 {

/// A connected store, and what the policy that connected it has to do when this rank leaves.
class Meeting {
public:
    /// Called once, after the store was closed. Blocks: at most to the deadline and a few seconds. Must not throw.
    using Leave = std::function<void(Deadline)>;

    /// `serves`: the store ends with this process. `fresh`, on all ranks or on none: it began with this meeting, in a
    /// TcpStoreServer of rank 0's process.
    explicit Meeting(AnyStore connected, Leave leave = {}, bool serves = false, bool fresh = false)
        : store(std::move(connected)),
          leave_(std::move(leave)),
          serves_(serves),
          fresh_(fresh) {}

    Meeting(Meeting&& other) noexcept
        : store(std::move(other.store)),
          leave_(std::exchange(other.leave_, nullptr)),
          owner_(other.owner_),
          serves_(std::exchange(other.serves_, false)),
          fresh_(other.fresh_) {}
    Meeting& operator=(Meeting&&) = delete;
    Meeting(const Meeting&) = delete;
    Meeting& operator=(const Meeting&) = delete;
    ~Meeting() { leave(Deadline::after(std::chrono::seconds(1))); }

    /// Leaves the store; the rank that serves it stays until all others have left. A fork of this process does nothing
    /// but let go: what is to be done is its parent's.
    void leave(Deadline deadline) noexcept {
        store = AnyStore();
        serves_ = false;
        const Leave last = std::exchange(leave_, nullptr);
        if (last && ::getpid() == owner_) last(deadline);
    }

    /// Adds what is to be done first when this rank leaves.
    void before_leaving(std::function<void()> first) {
        leave_ = [first = std::move(first), then = std::move(leave_)](Deadline deadline) {
            first();
            if (then) then(deadline);
        };
    }

    /// Whether the store ends with this process.
    [[nodiscard]] bool serves() const noexcept { return serves_; }

    /// Whether the store began with this meeting and ends with it: rank 0's process serves it.
    [[nodiscard]] bool fresh() const noexcept { return fresh_; }

    AnyStore store; ///< connected; empty once this rank has left

private:
    Leave leave_;
    pid_t owner_ = ::getpid();
    bool serves_ = false;
    bool fresh_ = false;
};

/// A way for the ranks of a job to meet.
///
/// Satisfied by a type with
///   launch() -> Launch             who this process is; reads, but does not talk to anybody
///   connect(launch, deadline) -> Meeting   a store that all ranks of the job share; Blocks: at most to the deadline
template <class R>
concept Rendezvous = requires(R& rendezvous, const Launch& launch, Deadline deadline) {
    { rendezvous.launch() } -> std::same_as<Launch>;
    { rendezvous.connect(launch, deadline) } -> std::same_as<Meeting>;
};

} // namespace muster::inline v0_1
