// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/comm/operands.hpp>
#include <muster/comm/split.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/nccl/adopt.hpp>
#include <muster/nccl/data_type.hpp>
#include <muster/nccl/group.hpp>
#include <muster/nccl/limits.hpp>
#include <muster/nccl/operations.hpp>
#include <muster/nccl/split.hpp>
#include <muster/nccl/state.hpp>
#include <muster/nccl/wishes.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// A group of ranks that exchange data of GPU memory over NCCL: an owned ncclComm_t.
///
/// All operations are collective over the group, except send and recv, which concern two ranks. All ranks call the
/// same operations in the same order with the same sizes, types and roots; roots and peers are ranks in the group.
/// They return when NCCL has launched them on the stream; the GPU does them in the stream's order, and wait() says when
/// they are done. Buffers must stay until then. In a group of one they are copies.
///
/// They throw errc::invalid_argument for arguments that break the contract on this rank alone: nothing was called and
/// the communicator stays as it was. They throw errc::backend with what NCCL said, errc::connection when another rank
/// went away, or errc::timeout: the communicator cannot be used after that, and what it has on the GPU was ended by an
/// abort (NcclLimits::abort_on_error). They throw errc::closed on a communicator that is not open.
///
/// `in` and `out` do not overlap, except that where an operation can work in place they may be the same memory, which
/// is said there. Pre: the communicator's GPU is current on the calling thread (muster::DeviceGuard).
///
/// One thread at a time uses a communicator; abort() may come from any other. Ranks that use several communicators must
/// use them in one order: NCCL can wait for ever otherwise, which only wait() ends.
class NcclCommunicator {
public:
    using Stream = cudaStream_t; ///< null: the default stream
    using Group = muster::Group; ///< makes one launch of several operations

    /// Closed, as one that was moved from: everything but is_open, abort, close and destruction throws errc::closed.
    NcclCommunicator() = default;

    /// For the backend, which makes the state.
    explicit NcclCommunicator(std::shared_ptr<detail::NcclState> state) noexcept : state_(std::move(state)) {}

    NcclCommunicator(NcclCommunicator&& other) noexcept : state_(std::move(other.state_)) {}
    NcclCommunicator& operator=(NcclCommunicator&& other) noexcept {
        if (this != &other) {
            finish();
            state_ = std::move(other.state_);
        }
        return *this;
    }

    /// Closes with a few seconds' limit; aborts while an exception unwinds and after an error.
    ~NcclCommunicator() { finish(); }

    /// A view of a communicator that somebody else owns and ends: close() and abort() only end the view. So does a
    /// failure: what hangs on the GPU then, and cudaFree with it, ends when the owner aborts. `ranks` are its global
    /// ranks; without them they are counted from 0.
    /// Throws: Error(errc::backend) when NCCL does not know the handle.
    [[nodiscard]] static NcclCommunicator from_native_handle(ncclComm_t handle, std::vector<int> ranks = {},
                                                             const NcclLimits& limits = {}) {
        return NcclCommunicator(detail::adopt_nccl(handle, std::move(ranks), limits));
    }
    static NcclCommunicator from_native_handle(int, std::vector<int> = {}, const NcclLimits& = {}) = delete;
    static NcclCommunicator from_native_handle(std::nullptr_t, std::vector<int> = {}, const NcclLimits& = {}) = delete;

    /// The group: readable after close, abort and errors too.
    [[nodiscard]] int size() const { return state("size").size(); }
    [[nodiscard]] int rank() const { return state("rank").rank; }
    /// Global ranks, index = rank in this group.
    [[nodiscard]] std::span<const int> ranks() const { return state("ranks").ranks; }
    /// The GPU, as cudaSetDevice counts.
    [[nodiscard]] int device() const { return state("device").device; }

    /// Whether operations can be called: not closed, aborted, failed or moved from.
    [[nodiscard]] bool is_open() const noexcept { return state_ && state_->is_open(); }

    /// How long a call may wait for NCCL; see NcclLimits::timeout.
    [[nodiscard]] std::chrono::milliseconds timeout() const { return state("timeout").limits.timeout; }

    /// How long it may from now on. Must be positive.
    void set_timeout(std::chrono::milliseconds timeout) {
        auto& group = state("set_timeout");
        if (timeout.count() <= 0)
            detail::throw_invalid(group.global_rank(),
                                  detail::format("set_timeout: {} ms is not positive", {timeout.count()}));
        group.limits.timeout = timeout;
    }

    /// out[i] = in[i] of all ranks joined by `op`, on every rank. `in` may be `out`.
    template <Buffer In, MutableBuffer Out, class Op>
    void all_reduce(In&& in, Out&& out, Op op, Stream stream = nullptr) {
        using T = detail::nccl_element_t<In>;
        detail::require_nccl_reduction<Op, T>();
        auto& group = state("all_reduce");
        const auto data = detail::equal_operands<T>("all_reduce", group, in, out);
        detail::nccl_all_reduce<T>(group, data.in, data.out, op, stream);
    }

    /// In place.
    template <MutableBuffer B, class Op>
    requires(!Buffer<Op>) void all_reduce(B&& buffer, Op op, Stream stream = nullptr) {
        all_reduce(buffer, buffer, op, stream);
    }

    /// As all_reduce, with the result on `root` alone: there `out` counts, elsewhere it is not looked at. `in` may be
    /// `out`.
    template <Buffer In, MutableBuffer Out, class Op>
    void reduce(In&& in, Out&& out, Op op, int root, Stream stream = nullptr) {
        using T = detail::nccl_element_t<In>;
        detail::require_nccl_reduction<Op, T>();
        auto& group = state("reduce");
        detail::check_root("reduce", group, root);
        const auto data = detail::equal_operands<T>("reduce", group, in, out, group.rank == root);
        detail::nccl_reduce<T>(group, data.in, data.out.data(), op, root, stream);
    }

    /// On ranks other than `root` the buffer stays as it was.
    template <MutableBuffer B, class Op>
    requires(!Buffer<Op>) void reduce(B&& buffer, Op op, int root, Stream stream = nullptr) {
        reduce(buffer, buffer, op, root, stream);
    }

    /// Rank r gets part r of the joined `in`, which holds size() times as many elements as `out`. `in` stays as it
    /// was, unless `out` is this rank's part of it.
    template <Buffer In, MutableBuffer Out, class Op>
    void reduce_scatter(In&& in, Out&& out, Op op, Stream stream = nullptr) {
        using T = detail::nccl_element_t<In>;
        detail::require_nccl_reduction<Op, T>();
        auto& group = state("reduce_scatter");
        const auto data = detail::scattering_operands<T>("reduce_scatter", group, in, out);
        detail::nccl_reduce_scatter<T>(group, data.in, data.out, op, stream);
    }

    /// The root's buffer, on every rank.
    template <MutableBuffer B>
    void broadcast(B&& buffer, int root, Stream stream = nullptr) {
        using T = detail::nccl_element_t<B>;
        auto& group = state("broadcast");
        detail::check_root("broadcast", group, root);
        detail::nccl_broadcast<T>(group, std::span<T>(buffer), root, stream);
    }

    /// Every rank's `in`, in rank order, on every rank. `in` may be this rank's part of `out`.
    template <Buffer In, MutableBuffer Out>
    void all_gather(In&& in, Out&& out, Stream stream = nullptr) {
        using T = detail::nccl_element_t<In>;
        auto& group = state("all_gather");
        const auto data = detail::gathering_operands<T>("all_gather", group, in, out);
        detail::nccl_all_gather<T>(group, data.in, data.out, stream);
    }

    /// Part r of `in` goes to rank r; part r of `out` came from rank r.
    template <Buffer In, MutableBuffer Out>
    void all_to_all(In&& in, Out&& out, Stream stream = nullptr) {
        using T = detail::nccl_element_t<In>;
        auto& group = state("all_to_all");
        const auto data = detail::exchange_operands<T>("all_to_all", group, in, out);
        detail::nccl_all_to_all<T>(group, data.in, data.out, stream);
    }

    /// Every rank's `in`, in rank order, on `root`: there `out` counts, elsewhere it is not looked at. On the root
    /// `in` may be its part of `out`.
    template <Buffer In, MutableBuffer Out>
    void gather(In&& in, Out&& out, int root, Stream stream = nullptr) {
        using T = detail::nccl_element_t<In>;
        auto& group = state("gather");
        detail::check_root("gather", group, root);
        const auto data = detail::gathering_operands<T>("gather", group, in, out, group.rank == root);
        detail::nccl_gather<T>(group, data.in, data.out.data(), root, stream);
    }

    /// Part r of the root's `in` becomes rank r's `out`. `in` counts on the root, elsewhere it is not looked at. On
    /// the root `out` may be its part of `in`.
    template <Buffer In, MutableBuffer Out>
    void scatter(In&& in, Out&& out, int root, Stream stream = nullptr) {
        using T = detail::nccl_element_t<In>;
        auto& group = state("scatter");
        detail::check_root("scatter", group, root);
        const auto data = detail::scattering_operands<T>("scatter", group, in, out, group.rank == root);
        detail::nccl_scatter<T>(group, data.in.data(), data.out, root, stream);
    }

    /// Messages between two ranks arrive in the order in which they were sent. A rank that sends and receives does so
    /// in a muster::Group: alone, the one would wait for the other's end. A rank cannot send to itself.
    template <Buffer B>
    void send(B&& buffer, int peer, Stream stream = nullptr) {
        using T = detail::nccl_element_t<B>;
        auto& group = state("send");
        detail::check_peer("send", group, peer);
        detail::nccl_send<T>(group, std::span<const T>(buffer), peer, stream);
    }

    /// As send, from the other side.
    template <MutableBuffer B>
    void recv(B&& buffer, int peer, Stream stream = nullptr) {
        using T = detail::nccl_element_t<B>;
        auto& group = state("recv");
        detail::check_peer("recv", group, peer);
        detail::nccl_recv<T>(group, std::span<T>(buffer), peer, stream);
    }

    /// No rank returns before every rank has called, and what was called on the stream before is done.
    /// Blocks: at most the timeout.
    void barrier(Stream stream = nullptr) {
        auto& group = state("barrier");
        detail::nccl_barrier(group, stream, Deadline::after(group.limits.timeout));
    }

    /// Until all that was called on the stream is done. Looks at NCCL meanwhile, so that another rank's end is seen.
    /// Blocks: at most to the deadline (the timeout if none is given).
    /// Throws: Error(errc::timeout, connection or backend) that names the last operation called; the communicator
    /// cannot be used after that, and what hangs on the stream ends with abort().
    void wait(Stream stream, Deadline deadline) {
        auto& group = state("wait");
        group.watching("wait", [&] { group.wait(stream, deadline); });
    }
    void wait(Stream stream = nullptr) { wait(stream, Deadline::after(state("wait").limits.timeout)); }

    /// Throws what NCCL found out meanwhile, as wait does; does not wait.
    void check() {
        auto& group = state("check");
        group.watching("check", [&] { group.check("check"); });
    }

    /// One new communicator for each color, with the ranks that gave it, ordered by key, then by rank in this group;
    /// a closed one for no_color.
    ///
    /// Other ranks may still be in it when it returns here, and fail where the new one is aborted at once: a barrier of
    /// the new one says that all are through.
    /// Collective: over the group, no_color too. Blocks: at most the timeout. Pre: nothing called on this communicator
    /// is pending.
    [[nodiscard]] NcclCommunicator split(int color, int key, const NcclConfig& config = {}) {
        auto& group = state("split");
        const auto wishes = detail::exchange_wishes(group, {color, key});
        detail::check_colors(wishes, group.ranks, group.global_rank());
        const auto members = color == no_color ? std::vector<int>{} : detail::members_of(wishes, color);
        return split(color, key, detail::global_ranks(members, group.ranks), group.label + "/split", config);
    }

    /// The same where every rank knows the ranks of its own new group, as global ranks in the new order: they need not
    /// be exchanged. `label` names the group in texts, and in NCCL's logs.
    [[nodiscard]] NcclCommunicator split(int color, int key, std::vector<int> ranks, std::string label,
                                         const NcclConfig& config = {}) {
        auto& group = state("split");
        if (group.alone) {
            group.inside("split", [] {});
            if (color == no_color) return {};
            return NcclCommunicator(detail::alone_nccl(group, std::move(label)));
        }
        return NcclCommunicator(detail::split_nccl(group, color, key, std::move(ranks), std::move(label), config));
    }

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
    /// A new communicator without the ranks of `excluded` (ranks in this group), which do not call. With `abort`, what
    /// still runs on this one is ended first, also after an error (without abort_on_error); close or abort this one
    /// then. Collective: over the ranks that stay. Blocks: at most the timeout. Source: ncclCommShrink, NCCL 2.27.3.
    [[nodiscard]] NcclCommunicator shrink(std::vector<int> excluded, bool abort = false,
                                          const NcclConfig& config = {}) {
        return NcclCommunicator(detail::shrink_nccl(state("shrink"), std::move(excluded), abort, config));
    }
#endif

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 7)
    /// Ends what runs on this communicator and keeps it for split, shrink and close. Not collective.
    /// Blocks: at most the timeout. Source: ncclCommRevoke, NCCL 2.28.7.
    void revoke() {
        auto& group = state("revoke");
        group.inside("revoke", [&] {
            if (group.handle() == nullptr) return;
            group.settle("revoke", ncclCommRevoke(group.handle(), NCCL_REVOKE_DEFAULT),
                         Deadline::after(group.limits.timeout));
            group.set_revoked();
        });
    }
#endif

    /// Ends whatever this communicator does or will do, from any thread, and frees it; the other ranks' operations
    /// fail. Does nothing on one that is closed.
    /// Blocks: at most the abort timeout (twice where another thread is inside and does not leave), after which the
    /// communicator is left behind and the log says so.
    void abort() noexcept {
        if (state_) state_->abort();
    }

    /// The same for several communicators of one GPU at once: one by one, an abort can wait for another's kernel.
    static void abort_together(std::span<NcclCommunicator* const> all) noexcept {
        try {
            std::vector<detail::NcclState*> states;
            for (const NcclCommunicator* each : all)
                if (each->state_) states.push_back(each->state_.get());
            detail::NcclState::abort_all(states);
        } catch (const std::exception&) {
            for (NcclCommunicator* each : all) each->abort();
        }
    }

    /// Called while a split or another call of this thread waits for NCCL; what it throws ends the wait. Null: nothing.
    void set_watch(std::function<void()> watch) { state("set_watch").set_watch(std::move(watch)); }

    /// Waits until NCCL has finished all that was called, and frees the communicator; it is aborted when that does not
    /// work, and after an error. Does nothing on one that is closed.
    /// Collective: over the group, in that NCCL may wait for the other ranks of the host. Blocks: at most to the
    /// deadline and the abort timeout.
    /// Throws: Error(errc::timeout, connection or backend).
    void close(Deadline deadline) {
        if (state_) state_->close(deadline);
    }

    /// NCCL's own handle, for what is not offered here: null in a group of one. It stays this object's to end.
    [[nodiscard]] ncclComm_t native_handle() const {
        auto& group = state("native_handle");
        return group.inside("native_handle", [&] { return group.handle(); });
    }

    /// Gives NCCL's handle to the caller, who ends it; this object is closed then. Null in a group of one.
    [[nodiscard]] ncclComm_t release() {
        auto& group = state("release");
        return group.inside("release", [&] { return group.release(); });
    }

    /// What registrations and windows hold on to.
    [[nodiscard]] const std::shared_ptr<detail::NcclState>& shared_state() const {
        (void)state("registration");
        return state_;
    }

private:
    [[nodiscard]] detail::NcclState& state(const char* operation) const {
        if (state_) [[likely]]
            return *state_;
        throw_empty(operation);
    }

    [[noreturn]] static void throw_empty(std::string_view operation) {
        throw Error(errc::closed, Stage::communicator,
                    detail::format("{} on an NCCL communicator that is empty: default constructed, moved from, or of a "
                                   "split with no_color",
                                   {operation}));
    }

    void finish() noexcept {
        if (!state_) return;
        const bool unwinding = std::uncaught_exceptions() > uncaught_;
        try {
            if (!unwinding) return state_->close(Deadline::after(state_->limits.destructor_timeout));
        } catch (const std::exception&) {
            return; // it was aborted; close() is there for whoever wants to know
        }
        state_->abort();
    }

    std::shared_ptr<detail::NcclState> state_;
    int uncaught_ = std::uncaught_exceptions();
};

} // namespace muster::inline v0_1
