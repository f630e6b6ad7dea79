// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/launch/launch.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/tcp_server.hpp>

#include <chrono>
#include <concepts>
#include <memory>
#include <utility>

namespace muster::inline v0_1 {

/// A connected store, and the server behind it where this rank runs it.
class Meeting {
public:
    /// `fresh` on all ranks or on none: the store is one that rank 0's `server` serves.
    explicit Meeting(AnyStore connected, bool fresh = false, std::unique_ptr<TcpStoreServer> server = nullptr)
        : store(std::move(connected)),
          server_(std::move(server)),
          fresh_(fresh) {}

    Meeting(Meeting&&) noexcept = default;
    Meeting& operator=(Meeting&&) = delete;
    Meeting(const Meeting&) = delete;
    Meeting& operator=(const Meeting&) = delete;
    ~Meeting() { leave(Deadline::after(std::chrono::seconds(1))); }

    /// Leaves the store. The rank that serves it stays until all others have left; those that ended have.
    /// Blocks: on that rank, at most to the deadline.
    void leave(Deadline deadline) noexcept {
        store = AnyStore();
        if (!server_) return;
        server_->stop_listening(); // the next meeting may be at this address
        (void)server_->drain(deadline);
        server_.reset();
    }

    /// Whether the store ends with this process.
    [[nodiscard]] bool serves() const noexcept { return server_ != nullptr; }

    /// Whether the store began with this meeting and ends with it: rank 0's process serves it.
    [[nodiscard]] bool fresh() const noexcept { return fresh_; }

    AnyStore store;

private:
    std::unique_ptr<TcpStoreServer> server_;
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
