// SPDX-License-Identifier: Apache-2.0
#include <muster/nccl/preflight.hpp>
#include <muster/nccl/unique_id.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <nccl.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

using muster::Deadline;
using muster::errc;
using muster::Error;
using namespace muster::detail;
using namespace std::chrono_literals;

namespace {

constexpr bool header_takes_several = NCCL_VERSION_CODE >= 22304;

/// Which root a rank checks in at, as NCCL computes it. Source: rootIdFromRank in bootstrap.cc, NCCL 2.23 to 2.28.
constexpr int nccl_root_of(int rank, int world_size, int roots) {
    const int larger = world_size % roots; // roots that have one rank more
    const int ranks = world_size / roots;
    const int of_larger = larger * (ranks + 1);
    return rank < of_larger ? rank / (ranks + 1) : (rank - of_larger) / ranks + larger;
}

/// What is wrong with the distribution; empty when nothing is.
std::string examine_roots(int world_size, int roots) {
    std::vector<int> ranks_of_root(static_cast<std::size_t>(roots));
    const auto wrong = [&](const char* what, int rank) {
        return std::string(what) + ": rank " + std::to_string(rank) + " of " + std::to_string(world_size) + ", " +
               std::to_string(roots) + " roots";
    };
    int last = 0;
    for (int rank = 0; rank < world_size; ++rank) {
        const int root = root_of_rank(rank, world_size, roots);
        if (root < 0 || root >= roots) return wrong("no root", rank);
        if (root != nccl_root_of(rank, world_size, roots)) return wrong("not NCCL's root", rank);
        const bool is_first = ranks_of_root[static_cast<std::size_t>(root)]++ == 0;
        if (is_first != (rank_of_root(root, world_size, roots) == rank)) return wrong("not the maker", rank);
        if (root < last || root > last + 1) return wrong("out of order", rank);
        last = root;
    }
    const auto [fewest, most] = std::minmax_element(ranks_of_root.begin(), ranks_of_root.end());
    if (*fewest < 1 || *most - *fewest > 1) return wrong("not spread evenly", world_size);
    return {};
}

template <class Socket>
ncclUniqueId id_with(const Socket& address) {
    ncclUniqueId id{};
    std::memset(id.internal, 0x5A, 8); // NCCL's magic number may be any
    std::memcpy(id.internal + 8, &address, sizeof address);
    return id;
}

ncclUniqueId id_of_family(std::uint16_t family) { return id_with(family); }

std::string payload_with_id(std::size_t size) {
    Fields fields;
    fields.set("id", std::string(size, 'x'));
    fields.set("host", "127.0.0.1");
    fields.set("port", 1);
    return fields.encode();
}

} // namespace

TEST_CASE("one id for every 128 ranks, where NCCL takes several") {
    const int library = nccl_version(2, 28, 9);
    const int several = header_takes_several ? 2 : 1;
    CHECK(nccl_roots(1, library, false) == 1);
    CHECK(nccl_roots(128, library, false) == 1);
    CHECK(nccl_roots(129, library, false) == several);
    CHECK(nccl_roots(256, library, false) == several);
    CHECK(nccl_roots(100'000, library, false) == (header_takes_several ? 782 : 1));
    CHECK(nccl_roots(100'000, nccl_version(2, 23, 4), false) == (header_takes_several ? 782 : 1));
    CHECK(nccl_roots(100'000, nccl_version(2, 22, 3), false) == 1);
    // NCCL_COMM_ID stands for one address.
    CHECK(nccl_roots(100'000, library, true) == 1);
}

TEST_CASE("every rank belongs to the root where NCCL sends it, and the first of each makes its id") {
    for (int world_size = 1; world_size <= 600; ++world_size)
        for (int roots = 1; roots <= std::min(world_size, 9); ++roots)
            if (const auto wrong = examine_roots(world_size, roots); !wrong.empty()) FAIL_CHECK(wrong);
    for (const int world_size : {128, 129, 1024, 4095, 4096, 10'007})
        if (const auto wrong = examine_roots(world_size, (world_size + 127) / 128); !wrong.empty()) FAIL_CHECK(wrong);
    CHECK(examine_roots(9, 9).empty());
}

TEST_CASE("the address in an id") {
    SECTION("IPv4") {
        sockaddr_in socket{};
        socket.sin_family = AF_INET;
        socket.sin_port = htons(4242);
        REQUIRE(::inet_pton(AF_INET, "192.0.2.7", &socket.sin_addr) == 1);
        const auto address = address_of(id_with(socket));
        REQUIRE(address);
        CHECK(address->size == sizeof socket);
        CHECK(std::memcmp(&address->storage, &socket, sizeof socket) == 0);
        CHECK(to_string(*address) == "192.0.2.7");
    }
    SECTION("IPv6") {
        sockaddr_in6 socket{};
        socket.sin6_family = AF_INET6;
        socket.sin6_port = htons(4242);
        REQUIRE(::inet_pton(AF_INET6, "2001:db8::7", &socket.sin6_addr) == 1);
        const auto address = address_of(id_with(socket));
        REQUIRE(address);
        CHECK(address->size == sizeof socket);
        CHECK(std::memcmp(&address->storage, &socket, sizeof socket) == 0);
        CHECK(to_string(*address) == "2001:db8::7");
    }
    SECTION("an id that holds something else holds no address") {
        CHECK_FALSE(address_of(ncclUniqueId{}));
        const auto family = GENERATE(std::uint16_t{AF_UNIX}, std::uint16_t{AF_INET << 8}, std::uint16_t{0xFFFF});
        CHECK_FALSE(address_of(id_of_family(family)));
    }
}

TEST_CASE("an id travels whole, with the address to try") {
    NcclRoot root;
    for (std::size_t i = 0; i < sizeof root.id.internal; ++i) root.id.internal[i] = static_cast<char>(3 * i);
    root.host = "2001:db8::7";
    root.probe.port = 65535;
    const NcclRootInfo read = NcclRootInfo::decode(root.encode(), 0);
    CHECK(std::memcmp(read.id.internal, root.id.internal, sizeof read.id.internal) == 0);
    CHECK(read.host == "2001:db8::7");
    CHECK(read.port == 65535);
}

TEST_CASE("an id without an address travels too") {
    const NcclRootInfo read = NcclRootInfo::decode(NcclRoot().encode(), 0);
    CHECK(read.host.empty());
    CHECK(read.port == 0);
}

TEST_CASE("an id of another length is refused with its sender") {
    const std::size_t size = GENERATE(as<std::size_t>{}, 0, 1, 127, 129);
    try {
        (void)NcclRootInfo::decode(payload_with_id(size), 17);
        FAIL("an id of " << size << " bytes passed");
    } catch (const Error& error) {
        CHECK(error.code() == errc::protocol);
        CHECK(error.stage() == muster::Stage::communicator);
        CHECK(error.text() == "rank 17 sent a unique id of " + std::to_string(size) + " bytes, expected 128");
    }
    CHECK(NcclRootInfo::decode(payload_with_id(128), 17).id.internal[127] == 'x');
}

TEST_CASE("what is no payload is refused") {
    for (const char* bytes : {"", "garbage", "\xff\xff\xff\xff"}) {
        try {
            (void)NcclRootInfo::decode(bytes, 17);
            FAIL("no error");
        } catch (const Error& error) {
            CHECK(error.code() == errc::protocol);
        }
    }
}

TEST_CASE("a root has a port to try at NCCL's address, while it lives") {
    NcclRootInfo told;
    {
        const NcclRoot root = NcclRoot::make(0);
        told = NcclRootInfo::decode(root.encode(), 0);
        const auto address = address_of(told.id);
        REQUIRE(address);
        CHECK(told.host == to_string(*address));
        // Never NCCL's own: there nobody may knock but ranks.
        sockaddr_in own{};
        std::memcpy(&own, &address->storage, sizeof own); // IPv6 has its port at the same place
        REQUIRE(told.port != 0);
        CHECK(told.port != ntohs(own.sin_port));
        CHECK(why_unreachable(told.host, told.port, Deadline::after(10s)).empty());
    }
    CHECK(why_unreachable(told.host, told.port, Deadline::after(10s)) == "Connection refused");
}

TEST_CASE("ids differ") {
    const NcclRoot first = NcclRoot::make(0);
    const NcclRoot second = NcclRoot::make(0);
    CHECK(std::memcmp(first.id.internal, second.id.internal, sizeof first.id.internal) != 0);
    CHECK(first.probe.port != second.probe.port);
}

TEST_CASE("a port is set in addresses of both families") {
    for (const char* host : {"192.0.2.7", "2001:db8::7"}) {
        Address address = look_up(host, 1, AI_NUMERICHOST).addresses.at(0);
        NcclRoot::set_port(address, 0x1234);
        const Address wanted = look_up(host, 0x1234, AI_NUMERICHOST).addresses.at(0);
        CHECK(address.size == wanted.size);
        CHECK(std::memcmp(&address.storage, &wanted.storage, wanted.size) == 0);
    }
}
