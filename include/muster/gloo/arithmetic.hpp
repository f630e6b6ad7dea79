// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/data_type.hpp>
#include <muster/comm/reduction.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace muster::inline v0_1::detail {

/// Unsigned integer in which arithmetic on the integer T wraps instead of overflowing.
template <std::integral T>
using wrapping_t = std::common_type_t<unsigned, std::make_unsigned_t<T>>;

template <HostElement T>
[[nodiscard]] constexpr T add(T a, T b) noexcept {
    if constexpr (std::integral<T>) {
        return static_cast<T>(static_cast<wrapping_t<T>>(a) + static_cast<wrapping_t<T>>(b));
    } else {
        return a + b;
    }
}

template <HostElement T>
[[nodiscard]] constexpr T multiply(T a, T b) noexcept {
    if constexpr (std::integral<T>) {
        return static_cast<T>(static_cast<wrapping_t<T>>(a) * static_cast<wrapping_t<T>>(b));
    } else {
        return a * b;
    }
}

/// The part of a reduction that joins two values: averages and pre-multiplied sums are sums here.
template <class Op, HostElement T>
[[nodiscard]] constexpr T combine(T a, T b) noexcept {
    if constexpr (std::same_as<Op, Prod>) {
        return multiply(a, b);
    } else if constexpr (std::same_as<Op, Min>) {
        return std::min(a, b);
    } else if constexpr (std::same_as<Op, Max>) {
        return std::max(a, b);
    } else {
        return add(a, b);
    }
}

/// `combine` in the shape that Gloo calls: out[i] = a[i] op b[i], where out may be a or b.
template <class Op, HostElement T>
void combine_all(void* out, const void* a, const void* b, std::size_t n) {
    auto* const to = static_cast<T*>(out);
    const auto* const left = static_cast<const T*>(a);
    const auto* const right = static_cast<const T*>(b);
    for (std::size_t i = 0; i < n; ++i) to[i] = combine<Op, T>(left[i], right[i]);
}

/// What a reduction does to this rank's values before they are joined. `in` may be `out`.
template <class Op, HostElement T>
void prepare(std::span<const T> in, std::span<T> out, [[maybe_unused]] const Op& op) {
    if constexpr (std::same_as<Op, PremulSum<T>>) {
        std::transform(in.begin(), in.end(), out.begin(), [&](T value) { return multiply(value, op.factor); });
    } else {
        if (in.data() != out.data()) std::copy(in.begin(), in.end(), out.begin());
    }
}

/// What a reduction does to the joined values.
template <class Op, HostElement T>
void finish([[maybe_unused]] std::span<T> values, [[maybe_unused]] int size) {
    if constexpr (std::same_as<Op, Avg>) {
        for (T& value : values) {
            if constexpr (std::floating_point<T>) {
                value /= static_cast<T>(size);
            } else if constexpr (std::signed_integral<T>) {
                value = static_cast<T>(static_cast<std::intmax_t>(value) / size);
            } else {
                value = static_cast<T>(static_cast<std::uintmax_t>(value) / static_cast<std::uintmax_t>(size));
            }
        }
    }
}

/// Whether a reduction changes this rank's values before they are joined.
template <class Op>
inline constexpr bool prepares = false;
template <class T>
inline constexpr bool prepares<PremulSum<T>> = true;

/// Numbers that differ between types and between operations that cannot meet in one reduction.
template <HostElement T>
inline constexpr std::uint8_t type_number = static_cast<std::uint8_t>(sizeof(T) * 4 + (std::floating_point<T>    ? 2
                                                                                       : std::signed_integral<T> ? 1
                                                                                                                 : 0));

template <class Op>
inline constexpr std::uint8_t operation_number = 6;
template <>
inline constexpr std::uint8_t operation_number<Sum> = 1;
template <>
inline constexpr std::uint8_t operation_number<Prod> = 2;
template <>
inline constexpr std::uint8_t operation_number<Min> = 3;
template <>
inline constexpr std::uint8_t operation_number<Max> = 4;
template <>
inline constexpr std::uint8_t operation_number<Avg> = 5;

} // namespace muster::inline v0_1::detail
