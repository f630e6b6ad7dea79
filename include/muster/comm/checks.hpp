// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/comm/reduction.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace muster::inline v0_1::detail {

/// The arguments of a communicator's operation, checked before anything is sent: what breaks a contract on this rank
/// is named on this rank and leaves the communicator as it was.

template <class B>
inline constexpr std::size_t static_extent = std::dynamic_extent;
template <class T, std::size_t N>
inline constexpr std::size_t static_extent<std::array<T, N>> = N;
template <class T, std::size_t N>
inline constexpr std::size_t static_extent<std::span<T, N>> = N;
template <class T, std::size_t N>
inline constexpr std::size_t static_extent<T[N]> = N;

/// Number of elements in a buffer as far as its type tells; std::dynamic_extent otherwise.
template <class B>
inline constexpr std::size_t extent_of = static_extent<std::remove_cvref_t<B>>;

template <class A, class B>
inline constexpr bool both_static = extent_of<A> != std::dynamic_extent&& extent_of<B> != std::dynamic_extent;

template <class In, class Out>
constexpr void require_one_type() {
    static_assert(std::same_as<element_t<In&>, element_t<Out&>>,
                  "muster: both buffers of an operation must have the same element type");
}

template <class Op, class T>
constexpr void require_reduction() {
    static_assert(Reduction<Op, T>,
                  "muster: the operation must be sum, prod, min, max, avg or premul_sum(factor) with a factor of the "
                  "element type");
}

template <class In, class Out>
constexpr void require_equal_extents() {
    if constexpr (both_static<In, Out>) {
        static_assert(extent_of<In> == extent_of<Out>, "muster: both buffers must have the same number of elements");
    }
}

template <class Part, class Whole>
constexpr void require_multiple_extents() {
    if constexpr (both_static<Part, Whole>) {
        static_assert(extent_of<Part> == 0 ? extent_of<Whole> == 0
                                           : extent_of<Whole> % (extent_of<Part> == 0 ? 1 : extent_of<Part>) == 0,
                      "muster: the larger buffer must hold the smaller one once for every rank of the group");
    }
}

[[noreturn]] inline void throw_invalid(int rank, std::string_view text) {
    throw Error(errc::invalid_argument, Stage::communicator, std::string(text), {.rank = rank});
}

// What refuses stands apart from what checks, so that a check is a comparison where it is called.

[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_unequal(std::string_view operation, std::size_t in,
                                                                  std::size_t out, int rank) {
    throw_invalid(rank, format("{}: out has {} elements, expected {}, as many as in", {operation, out, in}));
}

[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_whole(std::string_view operation, std::string_view name,
                                                                std::size_t whole, std::size_t part, int size,
                                                                int rank) {
    throw_invalid(rank, format("{}: {} has {} elements, expected {}: {} for each of the {} ranks of the group",
                               {operation, name, whole, part * static_cast<std::size_t>(size), part, size}));
}

[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_indivisible(std::string_view operation, std::size_t elements,
                                                                      int size, int rank) {
    throw_invalid(
        rank, format("{}: {} elements cannot be divided among the {} ranks of the group", {operation, elements, size}));
}

[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_member(std::string_view operation, std::string_view name,
                                                                 int value, int size, int rank) {
    throw_invalid(rank, format("{}: {} {} is not a rank of the group, which has ranks 0 to {}",
                               {operation, name, value, size - 1}));
}

[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_overlap(std::string_view operation, std::string_view rule,
                                                                  int rank) {
    throw_invalid(rank, format("{}: in and out overlap; {}", {operation, rule}));
}

/// `self` is the group or whatever else knows global_rank(), for the error.
template <class Self>
[[gnu::always_inline]] inline void check_equal(std::string_view operation, std::size_t in, std::size_t out,
                                               const Self& self) {
    if (in != out) [[unlikely]]
        refuse_unequal(operation, in, out, self.global_rank());
}

/// The buffer `whole`, called `name`, must hold `part` elements for each of `size` ranks.
template <class Self>
[[gnu::always_inline]] inline void check_whole(std::string_view operation, std::string_view name, std::size_t whole,
                                               std::size_t part, int size, const Self& self) {
    // A product that overflowed would need a part larger than any memory.
    const auto ranks = static_cast<std::size_t>(size);
    if (whole != part * ranks || part > whole) [[unlikely]]
        refuse_whole(operation, name, whole, part, size, self.global_rank());
}

template <class Self>
[[gnu::always_inline]] inline void check_divisible(std::string_view operation, std::size_t elements, int size,
                                                   const Self& self) {
    if (elements % static_cast<std::size_t>(size) != 0) [[unlikely]]
        refuse_indivisible(operation, elements, size, self.global_rank());
}

/// `name` is "root" or "peer".
template <class Self>
[[gnu::always_inline]] inline void check_member(std::string_view operation, std::string_view name, int value, int size,
                                                const Self& self) {
    if (value < 0 || value >= size) [[unlikely]]
        refuse_member(operation, name, value, size, self.global_rank());
}

/// Refuses operands that share memory, except when `in` is `allowed` itself: the part of `out`, or the whole, in which
/// an operation works in place. `in` and `out` may stand for each other.
template <class T, class Self>
[[gnu::always_inline]] inline void check_overlap(std::string_view operation, std::span<const T> in,
                                                 std::span<const T> out, std::span<const T> allowed,
                                                 std::string_view rule, const Self& self) {
    const std::less<const T*> before;
    if (!before(in.data(), out.data() + out.size()) || !before(out.data(), in.data() + in.size())) return;
    if (in.empty() || out.empty() || (in.data() == allowed.data() && in.size() == allowed.size())) return;
    refuse_overlap(operation, rule, self.global_rank());
}

} // namespace muster::inline v0_1::detail
