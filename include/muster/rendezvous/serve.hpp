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

/// The meeting of a rank that is connected to the store that rank 0 serves; of rank 0, with its server. That rank stays
/// when it leaves until all others who said hello have left or ended.
[[nodiscard]] inline Meeting meet_at(AnyStore store, std::unique_ptr<TcpStoreServer> server = nullptr) {
    if (!server) return Meeting(std::move(store), {}, false, true);
    const std::shared_ptr<TcpStoreServer> shared = std::move(server);
    const auto leave = [shared](Deadline deadline) {
        shared->stop_listening(); // the next meeting may be at this address
        (void)shared->drain_wills(deadline);
    };
    return Meeting(std::move(store), leave, true, true);
}

} // namespace muster::inline v0_1
