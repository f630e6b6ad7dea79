// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/comm/checks.hpp>
#include <muster/core/format.hpp>

#include <cstddef>
#include <ranges>
#include <span>
#include <string_view>

namespace muster::inline v0_1::detail {

// Inlined always: what remains of them is a few comparisons before a call that may be made very often.

/// Operands of an operation. `Group` tells size(), rank and global_rank(); T is the element type that the backend takes
/// for the buffers'.
template <class T>
struct Operands {
    std::span<const T> in;
    std::span<T> out;
};

/// A span from its parts: a copied one goes through memory.
template <class T, class B>
[[nodiscard, gnu::always_inline]] inline std::span<T> view_of(B& buffer) {
    return {std::ranges::data(buffer), static_cast<std::size_t>(std::ranges::size(buffer))};
}

/// `in` and `out` have as many elements; `out` is looked at when `needs_out`.
template <class T, class Group, class In, class Out>
[[nodiscard, gnu::always_inline]] inline auto equal_operands(std::string_view operation, const Group& group, In& in,
                                                             Out& out, bool needs_out = true) {
    require_one_type<In, Out>();
    require_equal_extents<In, Out>();
    Operands<T> operands{view_of<const T>(in), {}};
    if (!needs_out) return operands;
    operands.out = view_of<T>(out);
    check_equal(operation, operands.in.size(), operands.out.size(), group);
    check_overlap<T>(operation, operands.in, operands.out, operands.out, "they must be the same memory or apart",
                     group);
    return operands;
}

/// `out` holds as many elements as `in` for every rank; it is looked at when `needs_out`.
template <class T, class Group, class In, class Out>
[[nodiscard, gnu::always_inline]] inline auto gathering_operands(std::string_view operation, const Group& group, In& in,
                                                                 Out& out, bool needs_out = true) {
    require_one_type<In, Out>();
    require_multiple_extents<In, Out>();
    Operands<T> operands{view_of<const T>(in), {}};
    if (!needs_out) return operands;
    operands.out = view_of<T>(out);
    const auto part = operands.in.size();
    check_whole(operation, "out", operands.out.size(), part, group.size(), group);
    check_overlap<T>(operation, operands.in, operands.out,
                     operands.out.subspan(static_cast<std::size_t>(group.rank) * part, part),
                     "in may only be this rank's part of out", group);
    return operands;
}

/// `in` holds as many elements as `out` for every rank; it is looked at when `needs_in`.
template <class T, class Group, class In, class Out>
[[nodiscard, gnu::always_inline]] inline auto scattering_operands(std::string_view operation, const Group& group,
                                                                  In& in, Out& out, bool needs_in = true) {
    require_one_type<In, Out>();
    require_multiple_extents<Out, In>();
    Operands<T> operands{{}, view_of<T>(out)};
    if (!needs_in) return operands;
    operands.in = view_of<const T>(in);
    const auto part = operands.out.size();
    check_whole(operation, "in", operands.in.size(), part, group.size(), group);
    check_overlap<T>(operation, operands.out, operands.in,
                     operands.in.subspan(static_cast<std::size_t>(group.rank) * part, part),
                     "out may only be this rank's part of in", group);
    return operands;
}

template <class T, class Group, class In, class Out>
[[nodiscard, gnu::always_inline]] inline auto exchange_operands(std::string_view operation, const Group& group, In& in,
                                                                Out& out) {
    require_one_type<In, Out>();
    require_equal_extents<In, Out>();
    const Operands<T> operands{view_of<const T>(in), view_of<T>(out)};
    check_equal(operation, operands.in.size(), operands.out.size(), group);
    check_divisible(operation, operands.in.size(), group.size(), group);
    check_overlap<T>(operation, operands.in, operands.out, {}, "they must be apart", group);
    return operands;
}

template <class Group>
[[gnu::always_inline]] inline void check_root(std::string_view operation, const Group& group, int root) {
    check_member(operation, "root", root, group.size(), group);
}

template <class Group>
[[gnu::always_inline]] inline void check_peer(std::string_view operation, const Group& group, int peer) {
    check_member(operation, "peer", peer, group.size(), group);
    if (peer == group.rank) {
        throw_invalid(group.global_rank(), format("{}: peer {} is this rank itself", {operation, peer}));
    }
}

} // namespace muster::inline v0_1::detail
