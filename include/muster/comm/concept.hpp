// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/reduction.hpp>
#include <muster/core/deadline.hpp>

#include <concepts>
#include <span>
#include <type_traits>

namespace muster::inline v0_1 {

/// The colour of a rank that takes part in a split but wants no group of its own.
inline constexpr int no_color = -1;

namespace detail {

/// Owned once: movable without throwing, never copied, because a copy would be a hidden collective.
template <class C>
concept OwnsOnce = std::default_initializable<C> && std::is_nothrow_move_constructible_v<C> &&
                   std::is_nothrow_move_assignable_v<C> && !std::is_copy_constructible_v<C> &&
                   !std::is_copy_assignable_v<C>;

template <class C>
concept KnowsItsGroup = requires(const C& comm) {
    { comm.size() } -> std::same_as<int>;
    { comm.rank() } -> std::same_as<int>;
    { comm.ranks() } -> std::same_as<std::span<const int>>;
};

template <class C>
concept Reduces = requires(C& comm, std::span<const float> in, std::span<float> out, int root,
                           typename C::Stream stream) {
    comm.all_reduce(in, out, sum, stream);
    comm.all_reduce(out, sum, stream);
    comm.reduce(in, out, sum, root, stream);
    comm.reduce(out, sum, root, stream);
    comm.reduce_scatter(in, out, sum, stream);
};

template <class C>
concept Distributes = requires(C& comm, std::span<const float> in, std::span<float> out, int root,
                               typename C::Stream stream) {
    comm.broadcast(out, root, stream);
    comm.all_gather(in, out, stream);
    comm.all_to_all(in, out, stream);
    comm.gather(in, out, root, stream);
    comm.scatter(in, out, root, stream);
    comm.send(in, root, stream);
    comm.recv(out, root, stream);
    comm.barrier(stream);
};

template <class C>
concept HasAnEnd = requires(C& comm, const C& view, Deadline deadline, typename C::Stream stream) {
    { view.is_open() } -> std::same_as<bool>;
    comm.wait(stream, deadline);
    comm.check();
    comm.abort();
    comm.close(deadline);
    view.native_handle();
};

template <class C>
concept Splits = requires(C& comm, int color, int key) {
    { comm.split(color, key) } -> std::same_as<C>;
};

} // namespace detail

/// A group of ranks that exchange data: the same operations on every backend.
///
///   size() rank() ranks()             the group: how many, who am I in it, everybody's global rank
///   all_reduce reduce reduce_scatter  with sum, prod, min, max, avg, premul_sum(factor)
///   broadcast all_gather all_to_all gather scatter send recv barrier
///   split(color, key)                 one new communicator for each colour; closed for `no_color`
///   wait(stream, deadline) check()    until what was called on the stream is done; throws what went wrong meanwhile
///   is_open() abort() close(deadline) native_handle()
///
/// The last argument of an operation is a stream, C::Stream. Default constructed and moved-from communicators are
/// closed.
template <class C>
concept Communicator = detail::OwnsOnce<C> && detail::KnowsItsGroup<C> && detail::Reduces<C> &&
    detail::Distributes<C> && detail::HasAnEnd<C> && detail::Splits<C>;

} // namespace muster::inline v0_1
