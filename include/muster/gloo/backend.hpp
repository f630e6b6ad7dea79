// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/options.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/gloo/communicator.hpp>
#include <muster/gloo/device.hpp>
#include <muster/gloo/endpoint.hpp>
#include <muster/gloo/route.hpp>
#include <muster/launch/launch.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/roll_call/watch.hpp>
#include <muster/store/any_store.hpp>

#include <chrono>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1 {

/// The backend for machines without a GPU: buffers are host memory, Gloo moves them over TCP.
///
/// Every rank listens before the roll call, which carries all addresses: the world connects without another exchange.
class Gloo {
public:
    static constexpr std::string_view name = "gloo";
    using Communicator = GlooCommunicator;

    /// Opens the transport on options.interface, else on the address that leads to the rendezvous; where that has none,
    /// as a folder has, on the one that leads out of this host.
    /// Throws: Error(errc::connection or errc::backend) when there is no such address.
    Gloo(const Launch& launch, const Options& options) : rank_(launch.rank), timeout_(options.timeout) {
        if (launch.world_size == 1) return;
        GlooDeviceOptions where;
        where.interface = options.interface;
        if (launch.endpoint)
            where.address = detail::local_address(launch, *launch.endpoint, Deadline::after(options.timeout));
        else if (launch.local_size != launch.world_size)
            where.address = detail::local_address_outward(); // they meet in a folder, perhaps of several hosts
        device_.emplace(where);
        endpoint_.emplace(launch.rank, launch.world_size, *device_);
    }

    /// "cpu": every rank computes on its host.
    [[nodiscard]] std::string device() const { return "cpu"; }

    [[nodiscard]] std::map<std::string, std::string> must_equal() const { return {}; }

    [[nodiscard]] std::string payload() const { return endpoint_ ? endpoint_->payload() : std::string(); }

    /// The world's communicator.
    /// Collective: over the world. Blocks: until all ranks are connected or one has failed, at most to the deadline.
    [[nodiscard]] Communicator connect(AnyStore& store, const Session& session, Deadline deadline) {
        if (!endpoint_) return alone();
        const std::vector<std::string> payloads = detail::payloads(session);
        std::vector<int> ranks(static_cast<std::size_t>(session.size));
        std::iota(ranks.begin(), ranks.end(), 0);
        const detail::FailureWatch watch(store, session, deadline, [this] { endpoint_->interrupt(); });
        return Communicator(endpoint_->connect(payloads, deadline), std::move(ranks), communicator_options());
    }

    /// A group of this rank alone.
    [[nodiscard]] Communicator alone() const { return Communicator(nullptr, {rank_}, communicator_options()); }

    /// All ranks are connected: what they met with is not needed any more.
    void formed() {
        endpoint_.reset();
        device_.reset();
    }

private:
    [[nodiscard]] GlooOptions communicator_options() const {
        GlooOptions options;
        options.timeout = timeout_;
        return options;
    }

    int rank_;
    std::chrono::milliseconds timeout_;
    std::optional<GlooDevice> device_;
    std::optional<GlooEndpoint> endpoint_;
};

} // namespace muster::inline v0_1
