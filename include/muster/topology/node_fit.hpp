// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>
#include <muster/topology/row_major.hpp>

#include <array>
#include <cstddef>
#include <numeric>

// Whether groups stay within a node, for ranks that fill one node after the other.
namespace muster::inline v0_1::detail {

/// First and last rank of a group with ranks of two nodes; none where every group stays in one.
struct Crossing {
    int first = -1;
    int last = -1;
    [[nodiscard]] constexpr bool any() const { return first >= 0; }
};

/// Whether the extents of the chosen axes, and of all that vary faster than the slowest of them, are known.
template <std::size_t N>
constexpr bool groups_are_known(const std::array<bool, N>& chosen, const std::array<int, N>& extents) {
    bool inside = false;
    for (std::size_t axis = 0; axis < N; ++axis) {
        inside = inside || chosen[axis];
        if (inside && extents[axis] == dynamic) return false;
    }
    return true;
}

/// Whether the rank is the lowest of its group. Axes slower than a dynamic one are not looked at.
template <std::size_t N>
constexpr bool starts_group(int rank, const std::array<bool, N>& chosen, const std::array<int, N>& extents) {
    for (std::size_t axis = N; axis-- > 0 && extents[axis] != dynamic; rank /= extents[axis]) {
        if (chosen[axis] && rank % extents[axis] != 0) return false;
    }
    return true;
}

/// Pre: groups_are_known. Slower axes may be dynamic: then a world of any size is meant.
template <std::size_t N>
constexpr Crossing find_crossing(const std::array<bool, N>& chosen, const std::array<int, N>& extents, int per_node) {
    int spread = 0; // from the first rank of a group to its last
    int block = 1;  // ranks after which the picture repeats: the slowest chosen axis and all faster ones
    int stride = 1;
    for (std::size_t axis = N; axis-- > 0 && extents[axis] != dynamic;) {
        if (chosen[axis]) {
            spread += (extents[axis] - 1) * stride;
            block = stride * extents[axis];
        }
        stride *= extents[axis];
    }
    long long world = product(extents);
    for (const int extent : extents)
        if (extent == dynamic) world = static_cast<long long>(block) * per_node;
    // Node borders and blocks have the same distances again after per_node / gcd blocks.
    const long long period = static_cast<long long>(block) * (per_node / std::gcd(block, per_node));
    for (int first = 0; first < (world < period ? world : period); ++first) {
        if (starts_group(first, chosen, extents) && first / per_node != (first + spread) / per_node)
            return {first, first + spread};
    }
    return {};
}

} // namespace muster::inline v0_1::detail
