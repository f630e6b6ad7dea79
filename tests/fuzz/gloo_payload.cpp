// SPDX-License-Identifier: Apache-2.0
// Any bytes as the addresses that a rank sends for Gloo. The first two bytes say whose they must be.
#include <muster/core/error.hpp>
#include <muster/gloo/payload.hpp>

#include <gloo/transport/tcp/address.h>

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "fuzz.hpp"

using fuzz::require;
using muster::detail::GlooPayload;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    const int group = 1 + input.byte() % 8;
    const int rank = input.byte() % group;
    try {
        const GlooPayload payload = GlooPayload::decode(input.rest(), rank, group, "rank 3");
        require(payload.encode() == input.rest(), "addresses have one form");
        require(input.rest().size() <= GlooPayload::most_bytes(std::size_t(group)), "addresses have a limit");
        if (group == 1) return 0;
        const gloo::transport::tcp::Address own{sockaddr_storage{}};
        for (int peer = 0; peer < group; ++peer)
            require(!payload.address_for(peer, own).empty(), "each peer has an address");
    } catch (const muster::Error& error) {
        require(error.code() == muster::errc::protocol, "bytes are malformed");
    }
    return 0;
}
