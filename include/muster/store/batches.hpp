// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace muster::inline v0_1::detail {

/// Calls visit(first, count) for the pieces in which `n` items go over the wire, until it returns false. A piece has
/// fewer than 1000 items and, unless it is a single one, less than 64 KiB; size(i) is the size of an item. torch's
/// libuv server reads an unfinished request again from its start at each 4000 bytes, so large ones cost it the square.
template <class Size, class Visit>
bool in_batches(std::size_t n, const Size& size, const Visit& visit) {
    constexpr std::size_t most = 999;
    constexpr std::size_t most_bytes = std::size_t{64} * 1024;
    for (std::size_t first = 0; first < n;) {
        std::size_t count = 1;
        std::size_t bytes = size(first);
        while (first + count < n && count < most && bytes + size(first + count) < most_bytes)
            bytes += size(first + count++);
        if (!visit(first, count)) return false;
        first += count;
    }
    return true;
}

} // namespace muster::inline v0_1::detail
