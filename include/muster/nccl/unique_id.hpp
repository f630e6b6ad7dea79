// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/version.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/listen.hpp>
#include <muster/store/resolve.hpp>

#include <nccl.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace muster::inline v0_1::detail {

/// A unique id as a type with a name: nvcc 13.0 fails on containers of NCCL's, which has none.
struct NcclId : ncclUniqueId {};

/// Number of unique ids of a world: one for every `ranks_per_root` ranks, where NCCL takes more than one.
/// Source: ncclCommInitRankScalable, NCCL 2.23; NCCL_COMM_ID stands for one id only.
[[nodiscard]] inline int nccl_roots(int world_size, int library, bool fixed_id, int ranks_per_root = 128) noexcept {
    const bool scalable = NCCL_VERSION_CODE >= nccl_version(2, 23, 4) && library >= nccl_version(2, 23, 4);
    return !scalable || fixed_id || ranks_per_root < 1 ? 1 : (world_size - 1) / ranks_per_root + 1;
}

/// The rank that makes id number `root`: the first of those whom NCCL sends there, so that the roots' work spreads over
/// the hosts. The first (world_size % roots) roots have one rank more than the others.
[[nodiscard]] constexpr int rank_of_root(int root, int world_size, int roots) noexcept {
    return root * (world_size / roots) + std::min(root, world_size % roots);
}

/// The id that NCCL has this rank check in at.
[[nodiscard]] constexpr int root_of_rank(int rank, int world_size, int roots) noexcept {
    int root = roots - 1;
    while (rank < rank_of_root(root, world_size, roots)) --root;
    return root;
}

/// Where the root of a unique id listens: behind 8 random bytes the id holds a socket address. Nothing where it holds
/// something else; NCCL promises no layout (seen in 2.18 to 2.30).
[[nodiscard]] inline std::optional<Address> address_of(const ncclUniqueId& id) {
    constexpr std::size_t magic = 8;
    static_assert(magic + sizeof(sockaddr_in6) <= sizeof id.internal);
    Address address;
    std::memcpy(&address.storage, id.internal + magic, sizeof(sockaddr_in6));
    if (address.family() != AF_INET && address.family() != AF_INET6) return std::nullopt;
    address.size = address.family() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    return address;
}

/// A unique id made here, and a port of ours at the same address, at which the other ranks try whether they can reach
/// it. Never NCCL's own: a connection that says nothing stalls the root behind it.
struct NcclRoot {
    NcclId id{};
    std::string host; ///< empty where the id does not tell
    Listener probe;

    /// Makes the id: NCCL chooses its network interface now, and listens.
    /// Throws: Error(errc::backend).
    [[nodiscard]] static NcclRoot make(int rank) {
        NcclRoot root;
        check_nccl("ncclGetUniqueId", ncclGetUniqueId(&root.id), Stage::communicator, rank);
        if (const auto address = address_of(root.id)) {
            root.host = to_string(*address);
            // Without a probe the ranks go on without trying.
            int error = 0;
            Address any_port = *address;
            set_port(any_port, 0);
            if (Fd fd = listen_at(any_port, false, error)) {
                root.probe.port = bound_port(fd);
                root.probe.fd = std::move(fd);
            }
        }
        return root;
    }

    [[nodiscard]] std::string encode() const {
        Fields fields;
        fields.set("id", std::string_view(id.internal, sizeof id.internal));
        fields.set("host", host);
        fields.set("port", static_cast<int>(probe.port));
        return fields.encode();
    }

    static void set_port(Address& address, std::uint16_t port) noexcept {
        if (address.family() == AF_INET6)
            reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port = htons(port);
        else
            reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = htons(port);
    }
};

/// What another rank's NcclRoot::encode says.
struct NcclRootInfo {
    NcclId id{};
    std::string host;
    int port = 0; ///< 0: nothing to try

    /// Throws: Error(errc::protocol).
    [[nodiscard]] static NcclRootInfo decode(std::string_view payload, int from) {
        const Fields fields = Fields::decode(payload);
        NcclRootInfo info;
        const std::string id = fields.get("id");
        if (id.size() != sizeof info.id.internal)
            throw Error(errc::protocol, Stage::communicator,
                        format("rank {} sent a unique id of {} bytes, expected {}",
                               {from, id.size(), sizeof info.id.internal}));
        std::copy(id.begin(), id.end(), info.id.internal);
        info.host = fields.get("host");
        info.port = fields.number("port", 0);
        if (info.port < 0 || info.port > 65535) info.port = 0; // a peer's number is not trusted
        return info;
    }
};

} // namespace muster::inline v0_1::detail
