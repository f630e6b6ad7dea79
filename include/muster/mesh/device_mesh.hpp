// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/options.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/launch.hpp>
#include <muster/mesh/backend.hpp>
#include <muster/mesh/extents.hpp>
#include <muster/mesh/form.hpp>
#include <muster/mesh/times.hpp>
#include <muster/mesh/view.hpp>
#include <muster/rendezvous/env.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/topology.hpp>

#include <chrono>
#include <concepts>
#include <exception>
#include <span>
#include <string>
#include <utility>

namespace muster::inline v0_1 {

class Nccl;

/// Any axes, any order: BasicDeviceMesh<Topology<Axis<Dp, 4>, Axis<Tp, 2>>, Backend>.
template <class Topology, class Backend = Nccl>
class BasicDeviceMesh {
    static_assert(!std::same_as<Topology, Topology>,
                  "muster: this is no Topology with a Backend: the NCCL backend is in <muster/muster.hpp>, the Gloo "
                  "backend in <muster/gloo.hpp>");
};

/// The ranks of a job as a mesh with named axes, connected: one communicator for the world and one for each axis.
///
/// Groups of the same ranks share one communicator, such as an axis that spans the world and the world; an axis of
/// extent 1 stays addressable, owns no connection, and its collectives are copies. Move-only: a copy would be a hidden
/// collective.
template <AxisTag... Tags, int... Extent, Backend B>
class BasicDeviceMesh<Topology<Axis<Tags, Extent>...>, B> : public MeshView<Topology<Axis<Tags, Extent>...>, B> {
    using View = MeshView<muster::Topology<Axis<Tags, Extent>...>, B>;

public:
    /// The grid, what moves the data, and what the axes' groups are.
    using Topology = muster::Topology<Axis<Tags, Extent>...>;
    using Backend = B;
    using Communicator = typename B::Communicator;

    /// The topology, if a world of `WorldSize` fits it; a readable compile error if not.
    template <int WorldSize>
    using require_world = typename Topology::template require_world<WorldSize>;

    /// The topology, if no group along the axes crosses a node, and if the axis divides a number; as Topology's own.
    template <int PerNode, AxisTag... Chosen>
    using require_node_local = typename Topology::template require_node_local<PerNode, Chosen...>;
    template <AxisTag Tag, int Number>
    using require_divisible = typename Topology::template require_divisible<Tag, Number>;

    /// Finds out who this process is, takes its device, meets all other ranks, checks every rank against every other,
    /// connects, and returns when all ranks have succeeded.
    /// Collective: over the world. Blocks: at most options.timeout and about one second.
    /// Throws: Error; where the ranks could still talk, the same text on every rank.
    template <Rendezvous R = EnvRendezvous>
    explicit BasicDeviceMesh(R rendezvous = {}, const Options& options = {})
        : BasicDeviceMesh(Extents{}, std::move(rendezvous), options) {}

    /// The same with extents known at run time; those that the type fixes must agree.
    template <Rendezvous R = EnvRendezvous>
    explicit BasicDeviceMesh(const Extents& extents, R rendezvous = {}, const Options& options = {})
        : BasicDeviceMesh(detail::form_mesh<Topology, B>(extents, rendezvous, options)) {}

    BasicDeviceMesh(BasicDeviceMesh&& other) noexcept
        : View(other),
          state_(std::move(other.state_)),
          is_initialized_(std::exchange(other.is_initialized_, false)),
          unwinding_(other.unwinding_) {}
    BasicDeviceMesh& operator=(BasicDeviceMesh&&) = delete;
    BasicDeviceMesh(const BasicDeviceMesh&) = delete;
    BasicDeviceMesh& operator=(const BasicDeviceMesh&) = delete;

    /// Closes with a few seconds' limit; aborts where an exception is unwinding. close() says what goes wrong.
    ~BasicDeviceMesh() {
        if (!is_initialized_) return;
        if (std::uncaught_exceptions() > unwinding_) {
            abort();
            return;
        }
        try {
            close(Deadline::after(std::chrono::seconds(5)));
        } catch (const std::exception&) {
            abort(); // a destructor has nobody to tell
        }
    }

    /// Until close() or abort(). Rank, world size and topology stay readable after.
    [[nodiscard]] bool is_initialized() const noexcept { return is_initialized_; }

    /// Index among the job's processes on this host: as the launcher says, else counted by the roll call.
    [[nodiscard]] int local_rank() const noexcept { return state_.local_rank; }

    /// What the backend says of this rank's device.
    [[nodiscard]] const std::string& device() const noexcept { return record().device; }

    /// The same ranks as another grid, such as dp x ep beside dp x cp x tp. Its axes share the communicators of groups
    /// of the same ranks; the others are made.
    /// Collective: over the world. Blocks: at most the options' timeout. Pre: the same topology on all ranks.
    /// Throws: errc::world_mismatch where the grid has another number of ranks; Error.
    template <class Other>
    [[nodiscard]] MeshView<Other, B> view(const Other& other) {
        if (other.size() != this->world_size())
            throw Error(errc::world_mismatch, Stage::mesh,
                        detail::format("a view of {} has {} ranks, the mesh has {}\n  do: make it with for_world({})",
                                       {other.signature(), other.size(), this->world_size(), this->world_size()}),
                        {.rank = this->rank()});
        return {*state_.communicators, other, this->rank(), state_.communicators->deadline()};
    }
    template <class Other>
    [[nodiscard]] MeshView<Other, B> view() {
        return view(Other::for_world(this->world_size()));
    }

    /// What every rank said of itself in the roll call; index = rank. Rank 0 has it; another rank asks the store the
    /// first time. One thread at a time.
    /// Blocks: the first time, for the store's answer, at most 10 seconds.
    /// Throws: Error with errc::closed or connection where it was not asked before close() and rank 0's end.
    [[nodiscard]] std::span<const Record> records() const {
        auto& session = state_.session;
        if (session.records.empty())
            session.records =
                detail::fetch_records(state_.meeting.store, session, Deadline::after(std::chrono::seconds(10)));
        return session.records;
    }
    [[nodiscard]] const Record& record() const noexcept { return state_.record; }

    /// How long each phase of forming the mesh took.
    [[nodiscard]] const InitTimes& times() const noexcept { return state_.times; }

    /// Who this process is, and which variables say so.
    [[nodiscard]] const Launch& launch() const noexcept { return state_.launch; }

    /// Closes all communicators, axes before the world, and leaves the store. Nothing to do the second time.
    /// Collective: over the world. Blocks: until all ranks have come here, at most to the deadline.
    /// Throws: the first error met; everything is closed all the same.
    void close(Deadline deadline) {
        if (!std::exchange(is_initialized_, false)) return;
        std::exception_ptr first;
        try {
            state_.communicators->close(deadline);
        } catch (const Error&) {
            first = std::current_exception();
        }
        state_.meeting.leave(deadline);
        if (first) std::rethrow_exception(first);
    }

    /// Ends all communicators at once, from any state; operations of other ranks with this one fail.
    void abort() noexcept {
        is_initialized_ = false;
        if (state_.communicators) state_.communicators->abort();
        state_.meeting.leave(Deadline());
    }

private:
    explicit BasicDeviceMesh(detail::MeshState<Topology, B> state)
        : View(*state.communicators, state.topology, state.launch.rank, Deadline()),
          state_(std::move(state)),
          is_initialized_(true) {}

    mutable detail::MeshState<Topology, B> state_; ///< mutable for records() alone
    bool is_initialized_ = false;
    int unwinding_ = std::uncaught_exceptions();
};

/// TP x DP x CP ranks, `dynamic` for an extent known at run time; rank = (dp * TP + tp) * CP + cp.
template <int TP, int DP, int CP, class Backend = Nccl>
using DeviceMesh = BasicDeviceMesh<Topology3D<TP, DP, CP>, Backend>;

/// One axis, the whole world: what torch.distributed.init_process_group alone gives.
template <class Backend = Nccl>
using ProcessGroup = BasicDeviceMesh<Topology<Axis<World>>, Backend>;

} // namespace muster::inline v0_1
