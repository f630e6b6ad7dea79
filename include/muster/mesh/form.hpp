// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/options.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/launch/launch.hpp>
#include <muster/mesh/backend.hpp>
#include <muster/mesh/extents.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/roll_call.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/topology.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// Everything that a mesh owns.
template <class Grid, Backend B>
struct MeshState {
    Launch launch;
    Grid topology;
    int local_rank = 0;
    std::vector<Record> records;
    Meeting meeting; ///< before the communicators: they close first
    typename B::Communicator world;
    std::array<typename B::Communicator, static_cast<std::size_t>(Grid::ndim())> axes;
};

/// Whether an axis of this extent is the world itself, so that the two share one communicator.
[[nodiscard]] constexpr bool spans_world(int extent, int world_size) noexcept { return extent == world_size; }

/// Counts where the launcher does not tell: ranks on the same host with a lower rank.
[[nodiscard]] inline int local_rank_of(const Launch& launch, const std::vector<Record>& records) {
    if (launch.local_rank) return *launch.local_rank;
    const Record& self = records[static_cast<std::size_t>(launch.rank)];
    return static_cast<int>(std::count_if(records.begin(), records.begin() + launch.rank, [&](const Record& other) {
        return other.host == self.host && other.boot_id == self.boot_id;
    }));
}

/// One split of the world makes all groups of the axis. The colour is the group's lowest rank: no two groups share it.
template <Backend B, class Grid, AxisTag Tag>
[[nodiscard]] typename B::Communicator split_axis(B& backend, typename B::Communicator& world, const Grid& topology,
                                                  int rank) {
    const int extent = topology.template extent<Tag>();
    if (spans_world(extent, topology.size())) return {};
    const int coordinate = topology.template coordinate<Tag>(rank);
    if (extent == 1) return backend.alone();
    return world.split(topology.template group<Tag>(rank).front(), coordinate);
}

template <Backend B, AxisTag... Tags, int... Extent>
[[nodiscard]] auto split_axes(B& backend, typename B::Communicator& world,
                              const Topology<Axis<Tags, Extent>...>& topology, int rank) {
    return std::array{split_axis<B, Topology<Axis<Tags, Extent>...>, Tags>(backend, world, topology, rank)...};
}

/// Runs `step`, and makes every error of this rank an Error.
template <class Step>
auto guarded(Stage stage, int rank, Step&& step) {
    try {
        return std::forward<Step>(step)();
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        throw Error(errc::backend, stage, error.what(), {rank, {rank}, false});
    }
}

/// Limits each operation of a communicator whose operations wait. While a mesh is formed that is what is left of init.
template <class C>
void limit(C& communicator, std::chrono::milliseconds timeout) {
    if constexpr (requires { communicator.set_timeout(timeout); })
        if (communicator.is_open()) communicator.set_timeout(std::max(timeout, std::chrono::milliseconds(1)));
}

/// The whole flow: launch -> device -> rendezvous -> roll call -> communicators -> commit.
template <class Grid, Backend B, Rendezvous R>
[[nodiscard]] MeshState<Grid, B> form_mesh(const Extents& extents, R& rendezvous, const Options& options) {
    const Deadline deadline = Deadline::after(options.timeout);
    const Launch launch = rendezvous.launch();
    Record record = make_record(launch);
    record.backend = B::name;

    // A mistake of this rank alone must not leave the others waiting: it goes to the roll call, and they end with it.
    std::optional<Grid> topology;
    std::optional<B> backend;
    std::optional<Error> failure;
    try {
        topology = fit(std::type_identity<Grid>{}, launch, extents);
        record.mesh = topology->signature();
        guarded(Stage::device, launch.rank, [&] { backend.emplace(launch, options); });
        record.device = backend->device();
        record.must_equal = backend->must_equal();
    } catch (const Error& error) {
        failure = error;
        record.failure = Record::Failure{error.code(), error.stage(), std::string(error.text())};
    }

    std::optional<Meeting> meeting;
    try {
        meeting.emplace(rendezvous.connect(launch, deadline));
    } catch (const Error&) {
        if (failure) throw *failure;
        throw;
    }
    AnyStore& store = meeting->store;
    Session session = call_roll(store, record, backend ? backend->payload() : std::string(), deadline, options.timeout,
                                options.log, meeting->serves());

    // Outside the try: a rank that fails tells the others why before its connections close on them.
    typename B::Communicator world;
    decltype(MeshState<Grid, B>::axes) axes;
    try {
        guarded(Stage::communicator, launch.rank, [&] {
            world = backend->connect(store, session, deadline);
            limit(world, deadline.remaining());
            axes = split_axes(*backend, world, *topology, launch.rank);
            commit(store, session, deadline, options.timeout, options.log);
        });
    } catch (const Error& error) {
        if (error.shared()) throw; // the session's outcome: everybody has it
        report_failure(store, session, error, options.log);
    }
    limit(world, options.timeout);
    for (auto& axis : axes) limit(axis, options.timeout);
    const int local_rank = local_rank_of(launch, session.records);
    return {launch,           *topology,      local_rank, std::move(session.records), std::move(*meeting),
            std::move(world), std::move(axes)};
}

} // namespace muster::inline v0_1::detail
