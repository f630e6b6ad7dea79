// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/options.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/launch/launch.hpp>
#include <muster/mesh/backend.hpp>
#include <muster/mesh/communicators.hpp>
#include <muster/mesh/extents.hpp>
#include <muster/mesh/group_shape.hpp>
#include <muster/mesh/node_local.hpp>
#include <muster/mesh/times.hpp>
#include <muster/mesh/view.hpp>
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
#include <memory>
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
    Record record; ///< what this rank said of itself
    InitTimes times;
    Meeting meeting; ///< before the communicators: they close first
    Session session; ///< its records are fetched when they are asked for
    std::unique_ptr<Communicators<B>> communicators;
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
    return static_cast<int>(std::count_if(records.begin(), records.begin() + launch.rank,
                                          [&](const Record& other) { return same_node(other, self); }));
}

/// The axes' communicators, one after the other; a failure of another rank ends the wait for it.
template <Backend B, class Grid>
void make_axes(Communicators<B>& all, const Grid& topology, AnyStore& store, const Session& session,
               Deadline deadline) {
    constexpr bool watches = requires { all.world().set_watch(OutcomeCheck(store, session, deadline)); };
    std::optional<FailureWatch> watch; // for a communicator that does not look itself
    if (topology.size() > 1) {
        if constexpr (watches)
            all.world().set_watch(OutcomeCheck(store, session, deadline));
        else
            watch.emplace(store, session, deadline, [&all] { all.world().abort(); });
    }
    (void)MeshView<Grid, B>(all, topology, session.rank, deadline);
    if constexpr (watches) all.world().set_watch(nullptr);
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
    std::unique_ptr<B> backend;
    std::optional<Error> failure;
    try {
        topology = fit(std::type_identity<Grid>{}, launch, extents);
        record.mesh = topology->signature();
        guarded(Stage::device, launch.rank, [&] { backend = std::make_unique<B>(launch, options); });
        describe_device(*backend, record);
        record.must_equal["Options::share_communicators"] = options.share_communicators ? "true" : "false";
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
    auto all = std::make_unique<Communicators<B>>(std::move(backend), options.share_communicators, options.timeout);
    int local_rank = 0;
    try {
        try {
            guarded(Stage::communicator, launch.rank, [&] {
                all->set_world(world_shape(session.size, session.rank),
                               all->backend().connect(store, session, deadline));
                times.world = watch.lap();
                tell_place(store, session, "with the world connected, at the axes",
                           deadline.extended_by(listening_time));
                make_axes(*all, *topology, store, session, deadline);
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
        all->abort();
        throw;
    }
    if constexpr (requires { all->backend().formed(); }) all->backend().formed();
    warn_of_crossing(*topology, session, options);
    return {launch, *topology,           local_rank,         std::move(record),
            times,  std::move(*meeting), std::move(session), std::move(all)};
}

} // namespace muster::inline v0_1::detail
