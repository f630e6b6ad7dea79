// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>

namespace muster::inline v0_1 {

/// Reduction operations: pass `muster::sum`, `prod`, `min`, `max`, `avg` or `premul_sum(factor)`.
struct Sum {};
struct Prod {};
struct Min {};
struct Max {};
struct Avg {}; ///< the sum divided by the group's size; integers round toward zero

/// Sum of every rank's values, each rank's multiplied by that rank's factor first.
/// NCCL up to 2.28 refuses it for fp8 in a group of one rank (its one-rank kernel has no fp8; seen with 2.28.3).
template <class T>
struct PremulSum {
    T factor; ///< this rank's
};

/// The operations that have no factor, as arguments.
inline constexpr Sum sum{};
inline constexpr Prod prod{};
inline constexpr Min min{};
inline constexpr Max max{};
inline constexpr Avg avg{};

/// The sum with this rank's factor, which has the buffers' element type.
template <class T>
[[nodiscard]] constexpr PremulSum<T> premul_sum(T factor) noexcept {
    return {factor};
}

namespace detail {
template <class Op, class T>
inline constexpr bool is_reduction = std::same_as<Op, Sum> || std::same_as<Op, Prod> || std::same_as<Op, Min> ||
                                     std::same_as<Op, Max> || std::same_as<Op, Avg> || std::same_as<Op, PremulSum<T>>;
} // namespace detail

/// Satisfied by the reduction operations for elements of type T.
template <class Op, class T>
concept Reduction = detail::is_reduction<Op, T>;

} // namespace muster::inline v0_1
