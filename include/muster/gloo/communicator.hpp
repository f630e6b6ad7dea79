// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/comm/checks.hpp>
#include <muster/comm/concept.hpp>
#include <muster/comm/data_type.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/gloo/arguments.hpp>
#include <muster/gloo/operations.hpp>
#include <muster/gloo/split.hpp>
#include <muster/gloo/state.hpp>

#include <gloo/context.h>

#include <chrono>
#include <exception>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// A group of ranks that exchange data of host memory over Gloo.
///
/// All operations are collective over the group, except send and recv, which concern two ranks. All ranks call the
/// same operations in the same order with the same sizes, types and roots; roots and peers are ranks in the group.
/// They block until this rank's part is done, the options' timeout at most. They throw errc::invalid_argument for
/// arguments that break the contract on this rank alone: nothing was sent and the communicator stays as it was. They
/// throw errc::timeout or errc::connection, naming the ranks that were waited for, or errc::backend with what Gloo
/// said: the communicator cannot be used after that. They throw errc::closed on a communicator that is not open.
///
/// Buffers of no elements move nothing, on all ranks alike. `in` and `out` do not overlap, except that where an
/// operation can work in place they may be the same memory, which is said there.
///
/// One thread at a time uses a communicator; abort() may come from any other.
class GlooCommunicator {
public:
    using Stream = HostStream;   ///< nothing to choose: operations end before they return
    using Options = GlooOptions; ///< limits, which a split hands on

    /// Closed, as one that was moved from: everything but is_open, abort, close and destruction throws errc::closed.
    GlooCommunicator() = default;

    /// The group that GlooEndpoint::connect made, whose global ranks are `ranks`. A group of one has no context: its
    /// operations are copies.
    GlooCommunicator(std::shared_ptr<detail::GlooContext> context, std::vector<int> ranks, const Options& options = {})
        : state_(std::make_unique<detail::GlooState>(std::move(context), std::move(ranks), options)) {}

    GlooCommunicator(GlooCommunicator&& other) noexcept : state_(std::move(other.state_)) {}
    GlooCommunicator& operator=(GlooCommunicator&& other) noexcept {
        if (this != &other) {
            finish();
            state_ = std::move(other.state_);
        }
        return *this;
    }

    /// Waits for the other ranks as close() does, for the options' destructor_timeout at most; at once while an
    /// exception unwinds, after an error and after abort().
    ~GlooCommunicator() { finish(); }

    /// The group: readable after close, abort and errors too.
    [[nodiscard]] int size() const { return state("size").size(); }
    [[nodiscard]] int rank() const { return state("rank").rank; }
    /// Global ranks, index = rank in this group.
    [[nodiscard]] std::span<const int> ranks() const { return state("ranks").ranks; }

    /// Whether operations can be called: not closed, aborted, failed or moved from.
    [[nodiscard]] bool is_open() const noexcept { return state_ && state_->is_open(); }

    /// How long one operation may take.
    [[nodiscard]] std::chrono::milliseconds timeout() const { return state("timeout").options.timeout; }

    /// How long it may from now on. Must be positive; more than a day means a day.
    void set_timeout(std::chrono::milliseconds timeout) { open("set_timeout").set_timeout(timeout); }

    /// out[i] = in[i] of all ranks joined by `op`, on every rank. `in` may be `out`.
    template <Buffer In, MutableBuffer Out, class Op>
    void all_reduce(In&& in, Out&& out, Op op, HostStream = {}) {
        auto& group = open("all_reduce");
        detail::require_reduction<Op, detail::gloo_element_t<In>>();
        const auto data = detail::equal_operands<detail::gloo_element_t<In>>("all_reduce", group, in, out);
        detail::gloo_all_reduce(group, detail::gloo_call<Op>("all_reduce", data.in), data.in, data.out, op);
    }

    /// In place.
    template <MutableBuffer B, class Op>
    requires(!Buffer<Op>) void all_reduce(B&& buffer, Op op, HostStream stream = {}) {
        all_reduce(buffer, buffer, op, stream);
    }

    /// As all_reduce, with the result on `root` alone: there `out` counts, elsewhere it is not looked at. `in` may be
    /// `out`.
    template <Buffer In, MutableBuffer Out, class Op>
    void reduce(In&& in, Out&& out, Op op, int root, HostStream = {}) {
        auto& group = open("reduce");
        detail::check_root("reduce", group, root);
        detail::require_reduction<Op, detail::gloo_element_t<In>>();
        const auto data =
            detail::equal_operands<detail::gloo_element_t<In>>("reduce", group, in, out, group.rank == root);
        detail::gloo_reduce(group, detail::gloo_call<Op>("reduce", data.in, root), data.in, data.out, op);
    }

    /// On ranks other than `root` the buffer stays as it was.
    template <MutableBuffer B, class Op>
    requires(!Buffer<Op>) void reduce(B&& buffer, Op op, int root, HostStream stream = {}) {
        reduce(buffer, buffer, op, root, stream);
    }

    /// Rank r gets part r of the joined `in`, which holds size() times as many elements as `out`. `in` stays as it
    /// was, unless `out` is this rank's part of it.
    template <Buffer In, MutableBuffer Out, class Op>
    void reduce_scatter(In&& in, Out&& out, Op op, HostStream = {}) {
        auto& group = open("reduce_scatter");
        detail::require_reduction<Op, detail::gloo_element_t<In>>();
        const auto data = detail::scattering_operands<detail::gloo_element_t<In>>("reduce_scatter", group, in, out);
        detail::gloo_reduce_scatter(group, detail::gloo_call<Op>("reduce_scatter", data.out), data.in, data.out, op);
    }

    /// The root's buffer, on every rank.
    template <MutableBuffer B>
    void broadcast(B&& buffer, int root, HostStream = {}) {
        auto& group = open("broadcast");
        detail::check_root("broadcast", group, root);
        const std::span<detail::gloo_element_t<B>> data(buffer);
        detail::gloo_broadcast(group, detail::gloo_call("broadcast", data, root), std::as_writable_bytes(data));
    }

    /// Every rank's `in`, in rank order, on every rank. `in` may be this rank's part of `out`.
    template <Buffer In, MutableBuffer Out>
    void all_gather(In&& in, Out&& out, HostStream = {}) {
        auto& group = open("all_gather");
        const auto data = detail::gathering_operands<detail::gloo_element_t<In>>("all_gather", group, in, out);
        detail::gloo_all_gather(group, detail::gloo_call("all_gather", data.in), std::as_bytes(data.in),
                                std::as_writable_bytes(data.out), Deadline::after(group.options.timeout));
    }

    /// Part r of `in` goes to rank r; part r of `out` came from rank r.
    template <Buffer In, MutableBuffer Out>
    void all_to_all(In&& in, Out&& out, HostStream = {}) {
        auto& group = open("all_to_all");
        const auto data = detail::exchange_operands<detail::gloo_element_t<In>>("all_to_all", group, in, out);
        detail::gloo_all_to_all(group, detail::gloo_call("all_to_all", data.in), std::as_bytes(data.in),
                                std::as_writable_bytes(data.out));
    }

    /// Every rank's `in`, in rank order, on `root`: there `out` counts, elsewhere it is not looked at. On the root
    /// `in` may be its part of `out`.
    template <Buffer In, MutableBuffer Out>
    void gather(In&& in, Out&& out, int root, HostStream = {}) {
        auto& group = open("gather");
        detail::check_root("gather", group, root);
        const auto data =
            detail::gathering_operands<detail::gloo_element_t<In>>("gather", group, in, out, group.rank == root);
        detail::gloo_gather(group, detail::gloo_call("gather", data.in, root), std::as_bytes(data.in),
                            std::as_writable_bytes(data.out));
    }

    /// Part r of the root's `in` becomes rank r's `out`. `in` counts on the root, elsewhere it is not looked at. On
    /// the root `out` may be its part of `in`.
    template <Buffer In, MutableBuffer Out>
    void scatter(In&& in, Out&& out, int root, HostStream = {}) {
        auto& group = open("scatter");
        detail::check_root("scatter", group, root);
        const auto data =
            detail::scattering_operands<detail::gloo_element_t<In>>("scatter", group, in, out, group.rank == root);
        detail::gloo_scatter(group, detail::gloo_call("scatter", data.out, root), std::as_bytes(data.in),
                             std::as_writable_bytes(data.out));
    }

    /// Messages between two ranks arrive in the order in which they were sent. Blocks until `peer` takes the message.
    /// A rank cannot send to itself.
    template <Buffer B>
    void send(B&& buffer, int peer, HostStream = {}) {
        auto& group = open("send");
        detail::check_peer("send", group, peer);
        const std::span<const detail::gloo_element_t<B>> data(buffer);
        detail::gloo_send(group, detail::gloo_call("message", data), std::as_bytes(data), peer);
    }

    /// Blocks until the message of `peer` is there.
    template <MutableBuffer B>
    void recv(B&& buffer, int peer, HostStream = {}) {
        auto& group = open("recv");
        detail::check_peer("recv", group, peer);
        const std::span<detail::gloo_element_t<B>> data(buffer);
        detail::gloo_recv(group, detail::gloo_call("message", data), std::as_writable_bytes(data), peer);
    }

    /// No rank returns before every rank has called.
    void barrier(HostStream = {}) {
        auto& group = open("barrier");
        group.barrier("barrier", Deadline::after(group.options.timeout));
    }

    /// Returns at once: an operation of this backend has ended when its call returns.
    /// Throws: errc::closed on a communicator that is not open.
    void wait(HostStream = {}, Deadline = {}) { (void)open("wait"); }

    /// Throws: errc::closed, with what happened, on a communicator that is not open.
    void check() const { (void)open("check"); }

    /// One new communicator for each color, with the ranks that gave it, ordered by key, then by rank in this group;
    /// a closed one for no_color. The options are this communicator's.
    ///
    /// Needs no store: the new groups meet over this communicator. Either every rank succeeds or every rank throws.
    [[nodiscard]] GlooCommunicator split(int color, int key) {
        return GlooCommunicator(detail::gloo_split(open("split"), color, key));
    }

    /// Ends whatever this communicator does or will do, in any thread, and closes its connections: the other ranks'
    /// operations fail. Does nothing on one that is closed.
    void abort() noexcept {
        if (state_) state_->abort();
    }

    /// Waits until all ranks have called it, then closes the connections; these close in any case. Does not wait
    /// after an error or abort(). Does nothing on one that is closed.
    ///
    /// Throws: errc::timeout when a rank has not called it by `deadline`, else as an operation.
    void close(Deadline deadline) {
        if (state_) state_->close(deadline);
    }

    /// The Gloo context, for what is not offered here: null in a group of one. Gloo's tags and slots are this
    /// communicator's to choose.
    [[nodiscard]] std::shared_ptr<::gloo::Context> native_handle() const { return open("native_handle").context(); }

private:
    explicit GlooCommunicator(std::unique_ptr<detail::GlooState> state) : state_(std::move(state)) {}

    [[nodiscard]] detail::GlooState& state(std::string_view operation) const {
        if (state_) return *state_;
        throw Error(errc::closed, Stage::communicator,
                    detail::format("{} on a Gloo communicator that is empty: default constructed, moved from, or of a "
                                   "split with no_color",
                                   {operation}));
    }

    [[nodiscard]] detail::GlooState& open(std::string_view operation) const {
        auto& group = state(operation);
        group.require_open(operation);
        return group;
    }

    void finish() noexcept {
        if (!state_) return;
        const bool unwinding = std::uncaught_exceptions() > uncaught_;
        try {
            if (!unwinding) return state_->close(Deadline::after(state_->options.destructor_timeout));
        } catch (const std::exception&) {
            return; // the connections are closed; close() is there for whoever wants to know
        }
        state_->release();
    }

    std::unique_ptr<detail::GlooState> state_;
    int uncaught_ = std::uncaught_exceptions();
};

} // namespace muster::inline v0_1
