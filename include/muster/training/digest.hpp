// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/concept.hpp>
#include <muster/comm/data_type.hpp>
#include <muster/store/file_name.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace muster::inline v0_1::detail {

/// What stands for a buffer's bytes when ranks compare them. Two that differ have one digest once in 2^64.
struct Digest {
    std::uint64_t bytes = 0;
    std::uint64_t hash = 0;

    friend bool operator==(const Digest&, const Digest&) = default;
};

[[nodiscard]] inline Digest digest_of(std::span<const std::byte> data) noexcept {
    return {data.size(), fnv1a({reinterpret_cast<const char*>(data.data()), data.size()})};
}

/// Every rank's digest of its buffer, index = rank in the group. Where buffers are device memory the backend has two
/// functions for it: host_bytes(group, buffer, stream), the buffer's bytes once what was called on the stream is done,
/// and exchange_values(group, value), every rank's value.
/// Collective: over the group. Blocks: at most the group's timeout.
template <Communicator C, class T>
[[nodiscard]] std::vector<Digest> exchange_digests(C& group, std::span<const T> data, typename C::Stream stream) {
    if constexpr (std::same_as<typename C::Stream, HostStream>) {
        const Digest own = digest_of(std::as_bytes(data));
        const std::array<std::uint64_t, 2> words{own.bytes, own.hash};
        std::vector<std::uint64_t> all(words.size() * static_cast<std::size_t>(group.size()));
        group.all_gather(words, all, stream);
        std::vector<Digest> digests;
        for (std::size_t i = 0; i < all.size(); i += words.size()) digests.push_back({all[i], all[i + 1]});
        return digests;
    } else {
        return exchange_values(group, digest_of(host_bytes(group, data, stream)));
    }
}

} // namespace muster::inline v0_1::detail
