// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/options.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/launch/launch.hpp>
#include <muster/mesh/backend.hpp>
#include <muster/mesh/communicators.hpp>
#include <muster/mesh/extents.hpp>
#include <muster/mesh/node_local.hpp>
#include <muster/mesh/times.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/roll_call/commit.hpp>
#include <muster/roll_call/keys.hpp>
#include <muster/roll_call/options.hpp>
#include <muster/roll_call/outcome.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/responder.hpp>
#include <muster/roll_call/roll_call.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/roll_call/watch.hpp>
#include <muster/store/any_store.hpp>
#include <muster/topology.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
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
    std::array<bool, static_cast<std::size_t>(Grid::ndim())> shares_world{}; ///< by axis
    Record record;                                                           ///< what this rank said of itself
    InitTimes times;
    Meeting meeting; ///< before the communicators: they close first
    Session session; ///< its records are fetched when they are asked for
    Communicators<B, static_cast<std::size_t>(Grid::ndim())> communicators;
};

/// What the roll call compares of a device.
template <Backend B>
void describe_device(const B& backend, Record& record) {
    record.device = backend.device();
    record.must_equal = backend.must_equal();
    if constexpr (requires { backend.exclusive(); }) {
        record.exclusive = backend.exclusive();
        record.device_source = backend.device_source();
    }
}

/// Counts where the launcher does not tell: ranks on the same host with a lower rank.
[[nodiscard]] inline int local_rank_of(const Launch& launch, AnyStore& store, const Session& session,
                                       Deadline deadline) {
    if (launch.local_rank) return *launch.local_rank;
    const auto records = fetch_records(store, session, deadline);
    const Record& self = records[static_cast<std::size_t>(launch.rank)];
    return static_cast<int>(std::count_if(records.begin(), records.begin() + launch.rank, [&](const Record& other) {
        return other.host == self.host && other.boot_id == self.boot_id;
    }));
}

/// One split of the world makes all groups of the axis; closed where the axis shares the world's communicator. The
/// colour is the group's lowest rank: no two groups share it.
template <Backend B, class Grid, AxisTag Tag>
[[nodiscard]] typename B::Communicator split_axis(B& backend, typename B::Communicator& world, const Grid& topology,
                                                  int rank, Deadline deadline) {
    if (shares_world<Tag>(backend, topology)) return {};
    if (topology.template extent<Tag>() == 1) return backend.alone();
    const int coordinate = topology.template coordinate<Tag>(rank);
    std::vector<int> ranks = topology.template group<Tag>(rank);
    limit(world, deadline.remaining());
    if constexpr (requires { backend.split(world, Tag::name, coordinate, ranks); })
        return backend.split(world, Tag::name, coordinate, std::move(ranks));
    else
        return world.split(ranks.front(), coordinate);
}

template <Backend B, AxisTag... Tags, int... Extent>
[[nodiscard]] std::array<bool, sizeof...(Tags)> sharing(const B& backend,
                                                        const Topology<Axis<Tags, Extent>...>& topology) {
    return {shares_world<Tags>(backend, topology)...};
}

/// The axes' communicators, one after the other; a failure of another rank ends the wait for it.
template <Backend B, AxisTag... Tags, int... Extent>
void split_axes(B& backend, Communicators<B, sizeof...(Tags)>& all, const Topology<Axis<Tags, Extent>...>& topology,
                AnyStore& store, const Session& session, Deadline deadline) {
    using Grid = Topology<Axis<Tags, Extent>...>;
    constexpr bool watches = requires { all.world.set_watch(OutcomeCheck(store, session)); };
    if constexpr (watches)
        if (topology.size() > 1) all.world.set_watch(OutcomeCheck(store, session));
    std::size_t axis = 0;
    ((all.axes[axis++] = split_axis<B, Grid, Tags>(backend, all.world, topology, session.rank, deadline)), ...);
    if constexpr (watches) all.world.set_watch(nullptr);
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

/// Meets all ranks and calls the roll. Where the last world of this very process still stands at the address, comes
/// again until the next one's store is there.
template <Rendezvous R>
[[nodiscard]] Session meet(R& rendezvous, const Launch& launch, const Record& record, std::string_view payload,
                           RollCallOptions options, InitTimes& times, Stopwatch& watch,
                           std::optional<Meeting>& meeting) {
    for (;;) {
        meeting.emplace(rendezvous.connect(launch, options.deadline));
        times.rendezvous += watch.lap();
        options.fresh = meeting->fresh();
        try {
            Session session = call_roll(meeting->store, record, payload, options);
            times.roll_call += watch.lap();
            return session;
        } catch (const StoreOfOldWorld&) {
            meeting.reset();
            std::this_thread::sleep_for(std::chrono::milliseconds(20)); // until the old server has closed its door
        }
    }
}

/// The whole flow: launch -> device -> rendezvous -> roll call -> communicators -> commit.
template <class Grid, Backend B, Rendezvous R>
[[nodiscard]] MeshState<Grid, B> form_mesh(const Extents& extents, R& rendezvous, const Options& options) {
    const Deadline deadline = Deadline::after(options.timeout);
    Stopwatch watch;
    InitTimes times;
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
        describe_device(*backend, record);
    } catch (const Error& error) {
        failure = error;
        record.failure = Record::Failure{error.code(), error.stage(), std::string(error.text())};
    }
    times.device = watch.lap();

    std::optional<Meeting> meeting;
    Session session;
    try {
        session = meet(rendezvous, launch, record, backend ? backend->payload() : std::string(),
                       {.deadline = deadline, .timeout = options.timeout, .log = options.log}, times, watch, meeting);
    } catch (const Error&) {
        if (failure && !meeting) throw *failure; // there was nobody to tell
        throw;
    }
    AnyStore& store = meeting->store;

    // Outside the try: a rank that fails tells the others why before its connections close on them.
    Communicators<B, static_cast<std::size_t>(Grid::ndim())> all;
    int local_rank = 0;
    try {
        try {
            guarded(Stage::communicator, launch.rank, [&] {
                all.world = backend->connect(store, session, deadline);
                times.world = watch.lap();
                tell_place(store, session, "with the world connected, at the axes",
                           deadline.extended_by(listening_time));
                split_axes(*backend, all, *topology, store, session, deadline);
                local_rank = local_rank_of(launch, store, session, deadline);
                times.axes = watch.lap();
                commit(store, session, deadline);
                times.commit = watch.lap();
            });
        } catch (const Error& error) {
            if (error.shared()) throw; // the session's outcome: everybody has it
            report_failure(store, session, error);
        }
    } catch (...) {
        all.abort();
        throw;
    }
    all.limit_each(options.timeout);
    warn_of_crossing(*topology, session, options);
    return {launch,
            *topology,
            local_rank,
            sharing(*backend, *topology),
            std::move(record),
            times,
            std::move(*meeting),
            std::move(session),
            std::move(all)};
}

} // namespace muster::inline v0_1::detail
