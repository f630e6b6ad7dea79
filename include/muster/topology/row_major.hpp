// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>

#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

// The arithmetic of a row-major grid, on plain numbers: the last axis varies fastest.
namespace muster::inline v0_1::detail {

inline constexpr std::size_t no_axis = static_cast<std::size_t>(-1);

/// Product of the extents, but for the dynamic ones and the one at `except`. A product beyond long long is given as
/// the largest long long.
constexpr long long product(std::span<const int> extents, std::size_t except = no_axis) {
    constexpr long long most = std::numeric_limits<long long>::max();
    long long result = 1;
    for (std::size_t axis = 0; axis < extents.size(); ++axis) {
        const long long extent = extents[axis];
        if (axis == except || extents[axis] == dynamic) continue;
        if (extent > 0 && result > most / extent) return most;
        result *= extent;
    }
    return result;
}

constexpr bool fits_int(long long number) { return number <= std::numeric_limits<int>::max(); }

/// Pre: 0 <= rank < product of the extents.
template <std::size_t N>
constexpr std::array<int, N> coordinate_of(int rank, const std::array<int, N>& extents) {
    std::array<int, N> coordinate{};
    for (std::size_t axis = N; axis-- > 0;) {
        coordinate[axis] = rank % extents[axis];
        rank /= extents[axis];
    }
    return coordinate;
}

/// Pre: 0 <= coordinate[axis] < extents[axis] for every axis.
template <std::size_t N>
constexpr int rank_of(const std::array<int, N>& coordinate, const std::array<int, N>& extents) {
    int rank = 0;
    for (std::size_t axis = 0; axis < N; ++axis) rank = rank * extents[axis] + coordinate[axis];
    return rank;
}

/// Ranks, ascending, whose coordinate is zero along every axis that is not chosen.
template <std::size_t N>
constexpr std::vector<int> ranks_along(const std::array<bool, N>& chosen, const std::array<int, N>& extents) {
    std::vector<int> ranks{0};
    // From the fastest axis to the slowest: each chosen one puts moved copies of what there is behind it.
    int stride = 1;
    for (std::size_t axis = N; axis-- > 0;) {
        const std::size_t count = ranks.size();
        for (int i = 1; chosen[axis] && i < extents[axis]; ++i) {
            for (std::size_t k = 0; k < count; ++k) ranks.push_back(ranks[k] + i * stride);
        }
        stride *= extents[axis];
    }
    return ranks;
}

constexpr std::vector<int> moved(std::vector<int> ranks, int by) {
    for (int& rank : ranks) rank += by;
    return ranks;
}

} // namespace muster::inline v0_1::detail
