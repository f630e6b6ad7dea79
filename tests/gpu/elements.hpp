// SPDX-License-Identifier: Apache-2.0
// Element types as the reference sees them: random values of each, what they mean, and how far a sum may be off.
#pragma once

#include <muster/muster.hpp>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

namespace gpu {

enum class Op { none, sum, prod, min, max, avg, premul_sum };

inline constexpr std::string_view op_names[] = {"", "sum", "prod", "min", "max", "avg", "premul_sum"};

template <class T>
inline constexpr bool is_fp8 = std::same_as<T, __nv_fp8_e4m3> || std::same_as<T, __nv_fp8_e5m2>;

/// What the reference computes with. The values below never overflow it.
template <class T>
using Wide =
    std::conditional_t<!std::integral<T>, double, std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>;

template <class T>
[[nodiscard]] Wide<T> widen(T value) {
    if constexpr (std::same_as<T, std::byte>)
        return static_cast<double>(std::to_integer<int>(value));
    else if constexpr (std::is_arithmetic_v<T>)
        return static_cast<Wide<T>>(value);
    else
        return static_cast<double>(static_cast<float>(value));
}

/// Largest relative L2 error of a reduction over a few ranks: each step rounds once.
template <class T>
[[nodiscard]] constexpr double tolerance() {
    if constexpr (std::same_as<T, double>) return 1e-14;
    if constexpr (std::same_as<T, float>) return 1e-6;
    if constexpr (std::same_as<T, __half>) return 2e-3;
    if constexpr (std::same_as<T, __nv_bfloat16>) return 1.6e-2;
    if constexpr (std::same_as<T, __nv_fp8_e4m3>) return 0.13;
    if constexpr (std::same_as<T, __nv_fp8_e5m2>) return 0.25;
    return 0;
}

/// Number i of a stream of random bits.
[[nodiscard]] constexpr std::uint64_t random_bits(std::uint64_t stream, std::uint64_t i) noexcept {
    std::uint64_t z = (stream * 0x9E3779B97F4A7C15U + i + 1) * 0xBF58476D1CE4E5B9U; // splitmix64
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    return z ^ (z >> 31U);
}

/// A value for the operation over `size` ranks: integers whose result fits, others near 1.
template <class T>
[[nodiscard]] T random_value(std::uint64_t bits, Op op, int size) {
    if constexpr (std::same_as<T, std::byte>) {
        return static_cast<std::byte>(bits);
    } else if constexpr (std::integral<T>) {
        if (op == Op::none) return static_cast<T>(bits);
        const auto greatest = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
        const std::uint64_t limit =
            op == Op::prod ? 3 : std::max<std::uint64_t>(greatest / (4 * static_cast<std::uint64_t>(size)), 1);
        if constexpr (std::is_signed_v<T>) {
            const auto value = static_cast<std::int64_t>(bits % (2 * limit + 1)) - static_cast<std::int64_t>(limit);
            return static_cast<T>(op == Op::prod && value == 0 ? 1 : value);
        } else {
            return static_cast<T>(op == Op::prod ? 1 + bits % limit : bits % (limit + 1));
        }
    } else {
        const double unit = static_cast<double>(bits >> 11U) * 0x1p-52 - 1;
        const double value = op == Op::prod ? std::copysign(0.5 + std::fabs(unit), unit) : unit;
        if constexpr (std::same_as<T, double>)
            return value;
        else
            return T(static_cast<float>(value));
    }
}

/// The factor of premul_sum: another one on every other rank, and exact in every type.
template <class T>
[[nodiscard]] T factor_of(int rank) {
    if constexpr (std::is_arithmetic_v<T>)
        return static_cast<T>(1 + rank % 2);
    else
        return T(0.5F * static_cast<float>(1 + rank % 2));
}

template <class W>
[[nodiscard]] W combine(W a, W b, Op op) {
    if (op == Op::min) return std::min(a, b);
    if (op == Op::max) return std::max(a, b);
    return op == Op::prod ? static_cast<W>(a * b) : static_cast<W>(a + b);
}

} // namespace gpu
