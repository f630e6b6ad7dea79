// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/gloo/error.hpp>

#include <gloo/transport/address.h>
#include <gloo/transport/tcp/address.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1::detail {

/// What a rank tells the others of its group so that they can connect: one local address and, for each peer, the port
/// and sequence number that wait for it. Numbers are little endian:
///
///   "mGl1"  rank:4  size:4  family:1 (4 or 6, 0 in a group of one)  address:4 or 16  size x { port:2  sequence:8 }
///
/// The version is the fourth byte. The entry of the rank itself is zero.
struct GlooPayload {
    static constexpr std::string_view magic = "mGl1";
    static constexpr std::size_t entry_size = 10;

    struct Entry {
        std::uint16_t port = 0; // host byte order
        std::int64_t sequence = 0;
    };

    int rank = 0;
    int size = 1;
    std::string address = {}; // 0, 4 or 16 bytes in network byte order
    std::vector<Entry> entries = {};

    /// Most bytes that a payload of a group of `size` takes.
    [[nodiscard]] static constexpr std::size_t most_bytes(std::size_t size) {
        return magic.size() + 4 + 4 + 1 + 16 + size * entry_size;
    }

    /// Adds the address of the pair that waits for `peer`.
    void add(int peer, const ::gloo::transport::Address& pair_address) {
        const auto* tcp = dynamic_cast<const ::gloo::transport::tcp::Address*>(&pair_address);
        if (tcp == nullptr) throw Error(errc::backend, Stage::communicator, "Gloo's device is not a TCP device");
        const auto& socket = tcp->getSockaddr();
        std::string bytes;
        std::uint16_t port = 0;
        if (socket.ss_family == AF_INET) {
            const auto v4 = std::bit_cast<Sockaddr<sockaddr_in>>(socket).value;
            bytes.assign(reinterpret_cast<const char*>(&v4.sin_addr), sizeof v4.sin_addr);
            port = ntohs(v4.sin_port);
        } else if (socket.ss_family == AF_INET6) {
            const auto v6 = std::bit_cast<Sockaddr<sockaddr_in6>>(socket).value;
            bytes.assign(reinterpret_cast<const char*>(&v6.sin6_addr), sizeof v6.sin6_addr);
            port = ntohs(v6.sin6_port);
        } else {
            throw Error(errc::backend, Stage::communicator, "Gloo's device listens on no IP address");
        }
        entries.resize(static_cast<std::size_t>(size));
        entries[static_cast<std::size_t>(peer)] = {port, tcp->getSeq()};
        address = bytes;
    }

    /// The address of the pair of this payload's rank that waits for `peer`, as Gloo takes it. `own` is any local
    /// address: link-local addresses are reached through its interface.
    [[nodiscard]] std::vector<char> address_for(int peer, const ::gloo::transport::Address& own) const {
        const auto& entry = entries[static_cast<std::size_t>(peer)];
        sockaddr_storage socket{};
        if (address.size() == sizeof(in_addr)) {
            sockaddr_in v4{};
            v4.sin_family = AF_INET;
            v4.sin_port = htons(entry.port);
            std::memcpy(&v4.sin_addr, address.data(), sizeof v4.sin_addr);
            std::memcpy(&socket, &v4, sizeof v4);
        } else {
            sockaddr_in6 v6{};
            v6.sin6_family = AF_INET6;
            v6.sin6_port = htons(entry.port);
            std::memcpy(&v6.sin6_addr, address.data(), sizeof v6.sin6_addr);
            const auto* tcp = dynamic_cast<const ::gloo::transport::tcp::Address*>(&own);
            if (tcp != nullptr && tcp->getSockaddr().ss_family == AF_INET6) {
                v6.sin6_scope_id = std::bit_cast<Sockaddr<sockaddr_in6>>(tcp->getSockaddr()).value.sin6_scope_id;
            }
            std::memcpy(&socket, &v6, sizeof v6);
        }
        return ::gloo::transport::tcp::Address(socket, static_cast<ssize_t>(entry.sequence)).bytes();
    }

    [[nodiscard]] std::string encode() const {
        std::string bytes(magic);
        put<std::uint32_t>(bytes, static_cast<std::uint32_t>(rank));
        put<std::uint32_t>(bytes, static_cast<std::uint32_t>(size));
        bytes.push_back(address.empty() ? '\0' : address.size() == 4 ? '\4' : '\6');
        bytes += address;
        for (const auto& entry : entries) {
            put<std::uint16_t>(bytes, entry.port);
            put<std::uint64_t>(bytes, static_cast<std::uint64_t>(entry.sequence));
        }
        return bytes;
    }

    /// Reads what rank `expected_rank` of a group of `expected_size` must have sent. Throws: errc::protocol, with
    /// `who` naming the sender, for anything else.
    [[nodiscard]] static GlooPayload decode(std::string_view bytes, int expected_rank, int expected_size,
                                            std::string_view who) {
        const auto refuse = [&](const std::string& why) {
            throw Error(errc::protocol, Stage::communicator,
                        format("{} sent {}; it must send the Gloo addresses of rank {} of a group of {}",
                               {who, why, expected_rank, expected_size}));
        };
        if (!bytes.starts_with(magic.substr(0, 3))) refuse(format("{} bytes that are no addresses", {bytes.size()}));
        if (!bytes.starts_with(magic)) refuse("addresses of another version");
        const auto total = bytes.size();
        bytes.remove_prefix(magic.size());
        if (bytes.size() < 9) refuse(format("addresses cut off after {} bytes", {total}));

        GlooPayload payload;
        const auto rank = take<std::uint32_t>(bytes);
        const auto size = take<std::uint32_t>(bytes);
        if (rank != static_cast<std::uint32_t>(expected_rank) || size != static_cast<std::uint32_t>(expected_size)) {
            refuse(format("the addresses of rank {} of a group of {}", {rank, size}));
        }
        payload.rank = expected_rank;
        payload.size = expected_size;
        const auto family = static_cast<unsigned char>(bytes.front());
        bytes.remove_prefix(1);
        if (expected_size == 1) {
            if (family != 0 || !bytes.empty()) refuse("addresses that nobody needs");
            return payload;
        }
        if (family != 4 && family != 6) refuse(format("an address family {}", {family}));
        const std::size_t address_size = family == 4 ? 4 : 16;
        if (bytes.size() != address_size + static_cast<std::size_t>(size) * entry_size) {
            refuse(format("addresses of {} bytes in all", {total}));
        }
        payload.address = bytes.substr(0, address_size);
        bytes.remove_prefix(address_size);
        if (std::ranges::all_of(payload.address, [](char c) { return c == 0; })) refuse("the unspecified address");
        while (!bytes.empty()) {
            const auto port = take<std::uint16_t>(bytes);
            payload.entries.push_back({port, static_cast<std::int64_t>(take<std::uint64_t>(bytes))});
        }
        for (int peer = 0; peer < expected_size; ++peer) {
            if (peer != expected_rank && payload.entries[static_cast<std::size_t>(peer)].port == 0) {
                refuse(format("no port for rank {}", {peer}));
            }
        }
        return payload;
    }

private:
    template <class S>
    struct Sockaddr {
        S value;
        char rest[sizeof(sockaddr_storage) - sizeof(S)];
    };

    template <class N>
    static void put(std::string& bytes, N number) {
        for (std::size_t i = 0; i < sizeof(N); ++i) bytes.push_back(static_cast<char>(number >> (8 * i) & 0xff));
    }

    template <class N>
    static N take(std::string_view& bytes) {
        N number = 0;
        for (std::size_t i = 0; i < sizeof(N); ++i) {
            number = static_cast<N>(number |
                                    static_cast<N>(static_cast<N>(static_cast<unsigned char>(bytes[i])) << (8 * i)));
        }
        bytes.remove_prefix(sizeof(N));
        return number;
    }
};

} // namespace muster::inline v0_1::detail
