// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/tcp_server.hpp>

#include <chrono>
#include <memory>
#include <utility>

namespace muster::inline v0_1 {

/// The meeting of a rank that is connected to `store`; of the one that also serves it, with its server. That rank stays
/// when it leaves until all others have left, for two seconds at most: they leave at once when they close, and a stray
/// client must not keep it.
[[nodiscard]] inline Meeting meet_at(AnyStore store, std::unique_ptr<TcpStoreServer> server = nullptr) {
    if (!server) return Meeting(std::move(store));
    const std::shared_ptr<TcpStoreServer> shared = std::move(server);
    const auto leave = [shared](Deadline deadline) { (void)shared->drain(deadline.at_most(std::chrono::seconds(2))); };
    return Meeting(std::move(store), leave, true);
}

} // namespace muster::inline v0_1
