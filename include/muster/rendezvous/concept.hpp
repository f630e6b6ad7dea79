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
    explicit Meeting(AnyStore connected, std::unique_ptr<TcpStoreServer> server = nullptr)
        : store(std::move(connected)),
          server_(std::move(server)) {}

    Meeting(Meeting&&) noexcept = default;
    Meeting& operator=(Meeting&&) = delete;
    Meeting(const Meeting&) = delete;
    Meeting& operator=(const Meeting&) = delete;
    ~Meeting() { leave(Deadline::after(std::chrono::seconds(1))); }

    /// Leaves the store. The rank that serves it stays until all others have left.
    /// Blocks: on that rank, at most to the deadline and two seconds.
    void leave(Deadline deadline) noexcept {
        store = AnyStore();
        if (!server_) return;
        // The ranks leave at once when they close; a stray client must not keep this one.
        (void)server_->drain(deadline.at_most(std::chrono::seconds(2)));
        server_.reset();
    }

    /// Whether the store ends with this process.
    [[nodiscard]] bool serves() const noexcept { return server_ != nullptr; }

    AnyStore store;

private:
    std::unique_ptr<TcpStoreServer> server_;
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
