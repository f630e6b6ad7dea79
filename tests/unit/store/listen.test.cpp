// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>
#include <muster/store/listen.hpp>

#include <catch2/catch_test_macros.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sockets.hpp"

using namespace muster::detail;
using muster::errc;
using muster::Error;

namespace {

std::optional<Error> failure(const std::string& host, std::uint16_t port) {
    try {
        (void)listen_on(host, port);
    } catch (const Error& error) {
        return error;
    }
    return std::nullopt;
}

bool has(const std::optional<Error>& error, std::string_view text) {
    return error && error->text().find(text) != std::string_view::npos;
}

std::string bound_to(const Listener& listener) {
    Address address;
    address.size = sizeof address.storage;
    REQUIRE(::getsockname(listener.fd.get(), address.get(), &address.size) == 0);
    return to_string(address);
}

} // namespace

TEST_CASE("the address that was asked for is bound, and no other") {
    CHECK(bound_to(listen_on("127.0.0.1", 0)) == "127.0.0.1");
    CHECK(bound_to(listen_on("127.0.0.2", 0)) == "127.0.0.2");
    CHECK(bound_to(listen_on("::1", 0)) == "::1");
    CHECK(bound_to(listen_on("[::1]", 0)) == "::1");
    CHECK(bound_to(listen_on("", 0)) == "::");
    const Listener listener = listen_on("127.0.0.1", 0);
    CHECK(listener.port != 0);
    CHECK(listener.port == bound_port(listener.fd));
}

TEST_CASE("a port in use is named with what to do") {
    const Listener first = listen_on("127.0.0.1", 0);
    const auto error = failure("127.0.0.1", first.port);
    REQUIRE(error);
    CHECK(error->code() == errc::connection);
    CHECK(error->stage() == muster::Stage::store);
    CHECK(has(error, "127.0.0.1:" + std::to_string(first.port)));
    CHECK(has(error, "Address already in use"));
    CHECK(has(error, "MASTER_PORT"));
    const auto all = failure("", first.port);
    CHECK(has(all, "port " + std::to_string(first.port) + " of all addresses"));
    CHECK(has(all, "Address already in use"));
}

TEST_CASE("of several addresses none after the one that is taken is served") {
    const Listener first = listen_on("127.0.0.1", 0);
    const auto at = [&](const char* text) { return parse_address(text, first.port); };
    try {
        (void)listen_at_first("name", {at("127.0.0.1"), at("127.0.0.2")}, false);
        FAIL("it listens at the second");
    } catch (const Error& error) {
        CHECK(has(error, "cannot serve a store at name: Address already in use"));
    }
    // One of another host is passed over.
    CHECK(bound_to(listen_at_first("name", {at("192.0.2.1"), at("127.0.0.2")}, false)) == "127.0.0.2");
}

TEST_CASE("a port is free again as soon as its listener is gone") {
    std::uint16_t port = 0;
    for (int i = 0; i < 5; ++i) port = listen_on("127.0.0.1", port).port;
}

TEST_CASE("a port can be taken while its last connection is still winding down") {
    std::uint16_t port = 0;
    {
        const Listener first = listen_on("127.0.0.1", 0);
        port = first.port;
        const RawClient client(port);
        REQUIRE(await_event(first.fd.get(), POLLIN, RawClient::late()));
        const Fd accepted(::accept4(first.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
        REQUIRE(accepted);
    } // the listener's side closes first: its end of the connection keeps the port for a minute
    CHECK(listen_on("127.0.0.1", port).port == port);
}

TEST_CASE("an address of another host is named with what to do") {
    const auto error = failure("192.0.2.1", 0);
    REQUIRE(error);
    CHECK(error->code() == errc::connection);
    CHECK(has(error, "192.0.2.1:0"));
    CHECK(has(error, "address of this host"));
    CHECK(has(failure("no-such-host.invalid", 0), "cannot be resolved"));
}
