// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/comm/checks.hpp>
#include <muster/comm/data_type.hpp>
#include <muster/gloo/arithmetic.hpp>
#include <muster/gloo/state.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace muster::inline v0_1::detail {

template <class B>
struct GlooElement {
    static_assert(HostElement<element_t<B&>>,
                  "muster: the elements of a Gloo communicator's buffers are integers, float or double (not bool, wide "
                  "characters or long double)");
    using type = element_t<B&>;
};

/// Element type of a buffer, refused in words when Gloo's communicator has no use for it.
template <class B>
using gloo_element_t = typename GlooElement<std::remove_reference_t<B>>::type;

/// Operands of an operation, as far as their types tell what is wrong with them.
template <class T>
struct GlooOperands {
    std::span<const T> in;
    std::span<T> out;
};

/// `in` and `out` have as many elements; `out` is looked at when `needs_out`.
template <class Op, class In, class Out>
[[nodiscard]] auto equal_operands(std::string_view operation, const GlooState& group, In& in, Out& out,
                                  bool needs_out = true) {
    require_one_type<In, Out>();
    require_equal_extents<In, Out>();
    using T = gloo_element_t<In>;
    require_reduction<Op, T>();
    GlooOperands<T> operands{std::span<const T>(in), {}};
    if (!needs_out) return operands;
    operands.out = std::span<T>(out);
    check_equal(operation, operands.in.size(), operands.out.size(), group.global_rank());
    check_overlap<T>(operation, operands.in, operands.out, operands.out, "they must be the same memory or apart",
                     group.global_rank());
    return operands;
}

/// `out` holds as many elements as `in` for every rank; it is looked at when `needs_out`.
template <class In, class Out>
[[nodiscard]] auto gathering_operands(std::string_view operation, const GlooState& group, In& in, Out& out,
                                      bool needs_out = true) {
    require_one_type<In, Out>();
    require_multiple_extents<In, Out>();
    using T = gloo_element_t<In>;
    GlooOperands<T> operands{std::span<const T>(in), {}};
    if (!needs_out) return operands;
    operands.out = std::span<T>(out);
    const auto part = operands.in.size();
    check_whole(operation, "out", operands.out.size(), part, group.size(), group.global_rank());
    check_overlap<T>(operation, operands.in, operands.out,
                     operands.out.subspan(static_cast<std::size_t>(group.rank) * part, part),
                     "in may only be this rank's part of out", group.global_rank());
    return operands;
}

/// `in` holds as many elements as `out` for every rank; it is looked at when `needs_in`.
template <class In, class Out>
[[nodiscard]] auto scattering_operands(std::string_view operation, const GlooState& group, In& in, Out& out,
                                       bool needs_in = true) {
    require_one_type<In, Out>();
    require_multiple_extents<Out, In>();
    using T = gloo_element_t<In>;
    GlooOperands<T> operands{{}, std::span<T>(out)};
    if (!needs_in) return operands;
    operands.in = std::span<const T>(in);
    const auto part = operands.out.size();
    check_whole(operation, "in", operands.in.size(), part, group.size(), group.global_rank());
    check_overlap<T>(operation, operands.out, operands.in,
                     operands.in.subspan(static_cast<std::size_t>(group.rank) * part, part),
                     "out may only be this rank's part of in", group.global_rank());
    return operands;
}

template <class In, class Out>
[[nodiscard]] auto exchange_operands(std::string_view operation, const GlooState& group, In& in, Out& out) {
    require_one_type<In, Out>();
    require_equal_extents<In, Out>();
    using T = gloo_element_t<In>;
    const GlooOperands<T> operands{std::span<const T>(in), std::span<T>(out)};
    check_equal(operation, operands.in.size(), operands.out.size(), group.global_rank());
    check_divisible(operation, operands.in.size(), group.size(), group.global_rank());
    check_overlap<T>(operation, operands.in, operands.out, {}, "they must be apart", group.global_rank());
    return operands;
}

inline void check_root(std::string_view operation, const GlooState& group, int root) {
    check_member(operation, "root", root, group.size(), group.global_rank());
}

inline void check_peer(std::string_view operation, const GlooState& group, int peer) {
    check_member(operation, "peer", peer, group.size(), group.global_rank());
    if (peer == group.rank) {
        throw_invalid(group.global_rank(), fmt::format("{}: peer {} is this rank itself", operation, peer));
    }
}

/// `part` is what each rank contributes or gets.
template <class Op = void, class T>
[[nodiscard]] GlooCall gloo_call(std::string_view name, std::span<T> part, int root = -1) {
    std::uint8_t number = 0;
    if constexpr (!std::is_void_v<Op>) number = operation_number<Op>;
    return {name, part.size_bytes(), type_number<std::remove_const_t<T>>, number, root};
}

} // namespace muster::inline v0_1::detail
