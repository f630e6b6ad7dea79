// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/gloo/arithmetic.hpp>
#include <muster/gloo/state.hpp>

#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/alltoall.h>
#include <gloo/broadcast.h>
#include <gloo/gather.h>
#include <gloo/reduce.h>
#include <gloo/scatter.h>
#include <gloo/transport/unbound_buffer.h>
#include <gloo/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace muster::inline v0_1::detail {

/// The collectives on checked arguments. Data that is only moved is bytes here.
using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

/// Gloo reads through pointers to non-const.
template <class T>
[[nodiscard]] T* readable(std::span<const T> data) noexcept {
    return const_cast<T*>(data.data());
}

template <class GlooCollectiveOptions>
void set_call(GlooCollectiveOptions& options, std::uint32_t tag) {
    options.setTag(tag);
    options.setTimeout(longest_gloo_wait); // the transport knows the deadline
}

inline void copy_bytes(ConstBytes in, Bytes out) {
    if (in.data() != out.data()) std::copy(in.begin(), in.end(), out.begin());
}

inline void gloo_broadcast(GlooState& state, const GlooCall& call, Bytes buffer) {
    state.run(call, [&](std::uint32_t tag) {
        ::gloo::BroadcastOptions options(state.context());
        options.setOutput(buffer.data(), buffer.size());
        options.setRoot(call.root);
        set_call(options, tag);
        ::gloo::broadcast(options);
    });
}

/// `in` may be this rank's part of `out`.
inline void gloo_all_gather(GlooState& state, const GlooCall& call, ConstBytes in, Bytes out, Deadline deadline) {
    if (!in.empty()) copy_bytes(in, out.subspan(static_cast<std::size_t>(state.rank) * in.size(), in.size()));
    state.run(call, deadline, [&](std::uint32_t tag) {
        ::gloo::AllgatherOptions options(state.context());
        options.setOutput(out.data(), out.size());
        set_call(options, tag);
        ::gloo::allgather(options);
    });
}

inline void gloo_all_to_all(GlooState& state, const GlooCall& call, ConstBytes in, Bytes out) {
    if (state.size() == 1) copy_bytes(in, out);
    state.run(call, [&](std::uint32_t tag) {
        ::gloo::AlltoallOptions options(state.context());
        options.setInput(readable(in), in.size());
        options.setOutput(out.data(), out.size());
        set_call(options, tag);
        ::gloo::alltoall(options);
    });
}

/// `out` counts on the root, where `in` may be its own part of it.
inline void gloo_gather(GlooState& state, const GlooCall& call, ConstBytes in, Bytes out) {
    const bool root = state.rank == call.root;
    const auto own = static_cast<std::size_t>(state.rank) * in.size();
    if (root && state.size() == 1) copy_bytes(in, out);
    state.run(call, [&](std::uint32_t tag) {
        // Gloo copies the root's own part: from elsewhere, never onto itself.
        std::vector<std::byte> scratch;
        if (root && in.data() == out.data() + own) scratch.assign(in.begin(), in.end());
        ::gloo::GatherOptions options(state.context());
        options.setInput(scratch.empty() ? readable(in) : scratch.data(), in.size());
        if (root) options.setOutput(out.data(), out.size());
        options.setRoot(call.root);
        set_call(options, tag);
        ::gloo::gather(options);
    });
}

/// `in` counts on the root, where `out` may be its own part of it.
inline void gloo_scatter(GlooState& state, const GlooCall& call, ConstBytes in, Bytes out) {
    const bool root = state.rank == call.root;
    const auto own = static_cast<std::size_t>(state.rank) * out.size();
    if (root && state.size() == 1) copy_bytes(in, out);
    state.run(call, [&](std::uint32_t tag) {
        ::gloo::ScatterOptions options(state.context());
        std::vector<std::byte> scratch;
        if (root) {
            if (in.data() + own == out.data()) scratch.assign(out.begin(), out.end());
            std::vector<std::byte*> parts;
            for (std::size_t i = 0; i < state.ranks.size(); ++i) parts.push_back(readable(in) + i * out.size());
            if (!scratch.empty()) parts[static_cast<std::size_t>(state.rank)] = scratch.data();
            options.setInputs(parts, out.size());
        }
        options.setOutput(out.data(), out.size());
        options.setRoot(call.root);
        set_call(options, tag);
        ::gloo::scatter(options);
    });
}

/// Slots of messages between two ranks: a prefix that no collective of Gloo has, and the number of the message.
[[nodiscard]] inline std::uint64_t message_slot(const GlooCall& call, std::uint32_t number) {
    constexpr std::uint8_t prefix = 0x40;
    return ::gloo::Slot::build(prefix, call.tag(number));
}

/// `call.root` is the peer for both; both sides name the call alike.
inline void gloo_send(GlooState& state, const GlooCall& call, ConstBytes buffer, int peer) {
    const auto slot = message_slot(call, state.sent[static_cast<std::size_t>(peer)]++);
    if (buffer.empty()) return;
    state.attempt("send", Deadline::after(state.options.timeout), [&] {
        const auto message = state.context()->createUnboundBuffer(readable(buffer), buffer.size());
        message->send(peer, slot);
        message->waitSend(longest_gloo_wait);
    });
}

inline void gloo_recv(GlooState& state, const GlooCall& call, Bytes buffer, int peer) {
    const auto slot = message_slot(call, state.received[static_cast<std::size_t>(peer)]++);
    if (buffer.empty()) return;
    state.attempt("recv", Deadline::after(state.options.timeout), [&] {
        const auto message = state.context()->createUnboundBuffer(buffer.data(), buffer.size());
        message->recv(peer, slot);
        message->waitRecv(longest_gloo_wait);
    });
}

/// Elements that Gloo reduces in place: it knows their number and size, and how two of them are joined.
struct GlooElements {
    void* data;
    std::size_t count;
    std::size_t size;
    void (*combine)(void*, const void*, const void*, std::size_t);
};

template <class Op, HostElement T>
[[nodiscard]] GlooElements gloo_elements(std::span<T> data) noexcept {
    return {data.data(), data.size(), sizeof(T), &combine_all<Op, T>};
}

/// Gloo takes the size of the elements from the type of the pointer.
template <class GlooCollectiveOptions>
void set_elements(GlooCollectiveOptions& options, const GlooElements& elements) {
    switch (elements.size) {
        case 1: options.setOutput(static_cast<std::uint8_t*>(elements.data), elements.count); break;
        case 2: options.setOutput(static_cast<std::uint16_t*>(elements.data), elements.count); break;
        case 4: options.setOutput(static_cast<std::uint32_t*>(elements.data), elements.count); break;
        default: options.setOutput(static_cast<std::uint64_t*>(elements.data), elements.count); break;
    }
    options.setReduceFunction(elements.combine);
}

inline void run_all_reduce(GlooState& state, const GlooCall& call, const GlooElements& elements) {
    state.run(call, [&](std::uint32_t tag) {
        ::gloo::AllreduceOptions options(state.context());
        set_elements(options, elements);
        set_call(options, tag);
        ::gloo::allreduce(options);
    });
}

inline void run_reduce(GlooState& state, const GlooCall& call, const GlooElements& elements) {
    state.run(call, [&](std::uint32_t tag) {
        ::gloo::ReduceOptions options(state.context());
        set_elements(options, elements);
        options.setRoot(call.root);
        set_call(options, tag);
        ::gloo::reduce(options);
    });
}

/// `in` may be `out`.
template <class Op, HostElement T>
void gloo_all_reduce(GlooState& state, const GlooCall& call, std::span<const T> in, std::span<T> out, const Op& op) {
    prepare(in, out, op);
    run_all_reduce(state, call, gloo_elements<Op>(out));
    finish<Op, T>(out, state.size());
}

/// `out` counts on the root, where `in` may be `out`. The other ranks work in memory of their own.
template <class Op, HostElement T>
void gloo_reduce(GlooState& state, const GlooCall& call, std::span<const T> in, std::span<T> out, const Op& op) {
    std::vector<T> scratch;
    if (state.rank != call.root) {
        scratch.resize(in.size());
        out = scratch;
    }
    prepare(in, out, op);
    run_reduce(state, call, gloo_elements<Op>(out));
    if (state.rank == call.root) finish<Op, T>(out, state.size());
}

/// Gloo has no such collective with options: every rank collects all contributions to its part and joins them in rank
/// order. That moves what a ring moves, and leaves `in` alone. `out` may be this rank's part of `in`.
template <class Op, HostElement T>
void gloo_reduce_scatter(GlooState& state, const GlooCall& call, std::span<const T> in, std::span<T> out,
                         const Op& op) {
    std::vector<T> mine;
    if constexpr (prepares<Op>) {
        mine.resize(in.size());
        prepare(in, std::span(mine), op);
        in = mine;
    }
    std::vector<T> all(in.size());
    gloo_all_to_all(state, call, std::as_bytes(in), std::as_writable_bytes(std::span(all)));
    if (out.empty()) return;
    std::copy_n(all.begin(), out.size(), out.begin());
    for (std::size_t from = out.size(); from < all.size(); from += out.size()) {
        combine_all<Op, T>(out.data(), out.data(), all.data() + from, out.size());
    }
    finish<Op, T>(out, state.size());
}

} // namespace muster::inline v0_1::detail
