// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>
#include <muster/gloo/payload.hpp>

#include <catch2/catch_test_macros.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

using muster::errc;
using muster::Error;
using muster::detail::GlooPayload;
using Address = ::gloo::transport::tcp::Address;

namespace {

Address v4(const char* ip, std::uint16_t port, ssize_t sequence) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    REQUIRE(::inet_pton(AF_INET, ip, &in.sin_addr) == 1);
    sockaddr_storage storage{};
    std::memcpy(&storage, &in, sizeof in);
    return Address(storage, sequence);
}

Address v6(const char* ip, std::uint16_t port, ssize_t sequence, std::uint32_t scope = 0) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    in.sin6_scope_id = scope;
    REQUIRE(::inet_pton(AF_INET6, ip, &in.sin6_addr) == 1);
    sockaddr_storage storage{};
    std::memcpy(&storage, &in, sizeof in);
    return Address(storage, sequence);
}

/// The text with which `bytes` are refused as the addresses of rank 1 of 3; empty when they are not.
std::string refusal(std::string_view bytes) {
    try {
        (void)GlooPayload::decode(bytes, 1, 3, "rank 41");
    } catch (const Error& error) {
        CHECK(error.code() == errc::protocol);
        CHECK(std::string_view(error.what()).starts_with("muster: rank 41 sent "));
        return error.what();
    }
    return "";
}

std::string good() {
    GlooPayload payload{.rank = 1, .size = 3};
    payload.add(0, v4("10.1.2.3", 4000, 7));
    payload.add(2, v4("10.1.2.3", 4001, -1));
    return payload.encode();
}

} // namespace

TEST_CASE("addresses survive the way") {
    const auto payload = GlooPayload::decode(good(), 1, 3, "rank 41");
    const auto own = v4("10.9.9.9", 1, 0);
    CHECK(payload.address_for(0, own) == v4("10.1.2.3", 4000, 7).bytes());
    CHECK(payload.address_for(2, own) == v4("10.1.2.3", 4001, -1).bytes());
    CHECK(good().size() <= GlooPayload::most_bytes(3));
}

TEST_CASE("IPv6 addresses take the scope of the reader's interface") {
    GlooPayload payload{.rank = 0, .size = 2};
    payload.add(1, v6("fe80::1", 65535, 1'000'000, 2));
    const auto read = GlooPayload::decode(payload.encode(), 0, 2, "rank 0");
    CHECK(read.address_for(1, v6("fe80::2", 1, 0, 5)) == v6("fe80::1", 65535, 1'000'000, 5).bytes());
}

TEST_CASE("the bytes are the same everywhere") {
    const char expected[] =
        "mGl1\1\0\0\0\3\0\0\0\4\x0a\1\2\3"
        "\xa0\x0f\7\0\0\0\0\0\0\0"
        "\0\0\0\0\0\0\0\0\0\0"
        "\xa1\x0f\xff\xff\xff\xff\xff\xff\xff\xff";
    CHECK(good() == std::string(expected, sizeof expected - 1));
}

TEST_CASE("a group of one needs no address") {
    const auto bytes = GlooPayload{}.encode();
    CHECK(bytes.size() == 13);
    CHECK(GlooPayload::decode(bytes, 0, 1, "rank 0").entries.empty());
    CHECK_THROWS_AS(GlooPayload::decode(bytes + "x", 0, 1, "rank 0"), Error);
}

TEST_CASE("whatever else arrives is refused by name") {
    CHECK(refusal(good()).empty());
    CHECK(refusal("").find("bytes that are no addresses") != std::string::npos);
    CHECK(refusal("GET / HTTP/1.1\r\n\r\n").find("18 bytes that are no addresses") != std::string::npos);
    auto bytes = good();
    bytes[3] = '2';
    CHECK(refusal(bytes).find("another version") != std::string::npos);
    bytes = good();
    bytes[4] = 2;
    CHECK(refusal(bytes).find("the addresses of rank 2 of a group of 3") != std::string::npos);
    bytes = good();
    bytes[11] = '\x7f'; // a size near 2^31 allocates nothing
    CHECK_FALSE(refusal(bytes).empty());
    bytes = good();
    bytes[12] = 5;
    CHECK(refusal(bytes).find("address family 5") != std::string::npos);
    bytes[12] = 6;
    CHECK_FALSE(refusal(bytes).empty());
    bytes = good();
    bytes.replace(13, 4, 4, '\0');
    CHECK(refusal(bytes).find("unspecified address") != std::string::npos);
    bytes = good();
    bytes.replace(17, 2, 2, '\0');
    CHECK(refusal(bytes).find("no port for rank 0") != std::string::npos);
    for (std::size_t n = 0; n < good().size(); ++n) CHECK_FALSE(refusal(good().substr(0, n)).empty());
    CHECK_FALSE(refusal(good() + "x").empty());
}
