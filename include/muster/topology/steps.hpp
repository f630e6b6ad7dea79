// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/row_major.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace muster::inline v0_1::detail {

/// `extent` ranks, each `stride` after the one before.
struct Steps {
    int stride = 0;
    int extent = 0;

    [[nodiscard]] friend constexpr bool operator==(const Steps&, const Steps&) = default;
};

/// How the ranks of every group along the chosen axes lie to each other, the slowest axis first. Axes of one rank are
/// left out, and axes that continue each other are joined: two sets of axes of one world make the same groups exactly
/// when this is equal, whatever topology they are of. (The first rank that no group has is the lowest of its group, so
/// the shape of one group tells them all.)
template <std::size_t N>
constexpr std::vector<Steps> steps_along(const std::array<bool, N>& chosen, const std::array<int, N>& extents) {
    std::vector<Steps> steps; // fastest first
    int stride = 1;
    for (std::size_t axis = N; axis-- > 0;) {
        if (chosen[axis] && extents[axis] > 1) {
            if (!steps.empty() && steps.back().stride * steps.back().extent == stride)
                steps.back().extent *= extents[axis];
            else
                steps.push_back({stride, extents[axis]});
        }
        stride *= extents[axis];
    }
    std::reverse(steps.begin(), steps.end());
    return steps;
}

} // namespace muster::inline v0_1::detail
