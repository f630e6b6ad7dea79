// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/concept.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace muster::inline v0_1::detail {

/// One rank's wish in a split.
struct SplitWish {
    std::int32_t color;
    std::int32_t key;
};

/// Throws: Error(errc::invalid_argument), on all ranks alike, when a rank gave a color that is none. `ranks` are the
/// global ranks of the parent.
inline void check_colors(std::span<const SplitWish> wishes, std::span<const int> ranks, int self) {
    for (std::size_t i = 0; i < wishes.size(); ++i) {
        if (wishes[i].color >= 0 || wishes[i].color == no_color) continue;
        throw Error(
            errc::invalid_argument, Stage::communicator,
            format("split: rank {} gave the color {}; a color is 0 or more, or no_color", {ranks[i], wishes[i].color}),
            {.rank = self, .ranks = {ranks[i]}});
    }
}

/// Ranks in the parent of the ranks that gave `color`, in the order of the new group: by key, then by parent rank.
inline std::vector<int> members_of(std::span<const SplitWish> wishes, int color) {
    std::vector<int> members;
    for (std::size_t i = 0; i < wishes.size(); ++i) {
        if (wishes[i].color == color) members.push_back(static_cast<int>(i));
    }
    std::stable_sort(members.begin(), members.end(), [&](int a, int b) {
        return wishes[static_cast<std::size_t>(a)].key < wishes[static_cast<std::size_t>(b)].key;
    });
    return members;
}

/// Global ranks of members of the parent.
[[nodiscard]] inline std::vector<int> global_ranks(std::span<const int> members, std::span<const int> ranks) {
    std::vector<int> result;
    result.reserve(members.size());
    for (const int member : members) result.push_back(ranks[static_cast<std::size_t>(member)]);
    return result;
}

} // namespace muster::inline v0_1::detail
