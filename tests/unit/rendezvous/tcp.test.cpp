// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>
#include <muster/launch/detect.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/tcp.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using muster::Deadline;
using muster::Endpoint;
using muster::Environment;
using muster::errc;
using muster::Error;
using muster::TcpRendezvous;

namespace {

Environment torchrun() {
    return {{"RANK", "1"},
            {"WORLD_SIZE", "2"},
            {"LOCAL_RANK", "1"},
            {"LOCAL_WORLD_SIZE", "2"},
            {"MASTER_ADDR", "127.0.0.1"},
            {"MASTER_PORT", "29500"},
            {"TORCHELASTIC_RUN_ID", "job"},
            {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
}

TcpRendezvous at(std::string host, std::uint16_t port, std::optional<int> rank, std::optional<int> world_size,
                 Environment environment = {}) {
    return {.host = std::move(host),
            .port = port,
            .rank = rank,
            .world_size = world_size,
            .environment = std::move(environment)};
}

} // namespace

TEST_CASE("rank and world size that are given need no launcher") {
    const auto launch = at("node3", 1234, 2, 4).launch();
    CHECK(launch.rank == 2);
    CHECK(launch.world_size == 4);
    CHECK(launch.endpoint == Endpoint{"node3", 1234});
    CHECK_FALSE(launch.local_rank);
    CHECK_FALSE(launch.endpoint_is_served);
}

TEST_CASE("they are checked as a launcher's are") {
    CHECK_THROWS_AS(at("node3", 1234, 4, 4).launch(), Error);
    CHECK_THROWS_AS(at("node3", 1234, -1, 4).launch(), Error);
    CHECK_THROWS_AS(at("node3", 1234, 0, 0).launch(), Error);
}

TEST_CASE("what is not given comes from the launcher") {
    const auto launch = at("node3", 1234, {}, {}, torchrun()).launch();
    CHECK(launch.rank == 1);
    CHECK(launch.world_size == 2);
    CHECK(launch.local_rank == 1);
    CHECK(launch.endpoint == Endpoint{"node3", 1234});
    CHECK(at("node3", 1234, 1, {}, torchrun()).launch().world_size == 2);
    CHECK_THROWS_AS(at("node3", 1234, 0, {}, torchrun()).launch(), Error);
    CHECK_THROWS_AS(at("node3", 1234, {}, 3, torchrun()).launch(), Error);
}

TEST_CASE("a launcher that tells no address is enough where the address is given") {
    const Environment several_hosts{{"OMPI_COMM_WORLD_RANK", "3"},
                                    {"OMPI_COMM_WORLD_SIZE", "4"},
                                    {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                    {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                                    {"PRTE_LAUNCHED", "1"}};
    const auto launch = at("node3", 1234, {}, {}, several_hosts).launch();
    CHECK(launch.rank == 3);
    CHECK(launch.endpoint == Endpoint{"node3", 1234});
    CHECK_THROWS_AS(muster::detect_launch(several_hosts), Error);
}

TEST_CASE("the agent's store is used at exactly its own address") {
    CHECK(at("127.0.0.1", 29500, {}, {}, torchrun()).launch().endpoint_is_served);
    CHECK_FALSE(at("127.0.0.1", 29501, {}, {}, torchrun()).launch().endpoint_is_served);
    CHECK_FALSE(at("localhost", 29500, {}, {}, torchrun()).launch().endpoint_is_served);
}

TEST_CASE("rank 0 serves the address that it was given, and leaves last") {
    using namespace std::chrono_literals;
    std::uint16_t port = 0;
    {
        const muster::TcpStoreServer probe("127.0.0.1", 0);
        port = probe.port();
    }
    const auto rank_0 = at("127.0.0.1", port, 0, 2);
    const auto rank_1 = at("127.0.0.1", port, 1, 2);
    auto first = rank_0.connect(rank_0.launch(), Deadline::after(10s));
    auto second = rank_1.connect(rank_1.launch(), Deadline::after(10s));
    CHECK(first.serves());
    CHECK_FALSE(second.serves());
    first.store.set("key", "value", Deadline::after(10s));
    CHECK(second.store.get("key", Deadline::after(10s)) == "value");
    second.leave(Deadline::after(10s));
    first.leave(Deadline::after(10s));
    CHECK_FALSE(first.serves());
    CHECK_THROWS_AS(first.store.set("key", "value", Deadline::after(1s)), Error);

    SECTION("a port that is taken is named") {
        const muster::TcpStoreServer other("127.0.0.1", port);
        try {
            (void)rank_0.connect(rank_0.launch(), Deadline::after(1s));
            FAIL("two servers at one port");
        } catch (const Error& error) {
            CHECK(error.code() == errc::connection);
            CHECK_THAT(std::string(error.text()), ContainsSubstring("127.0.0.1:" + std::to_string(port)));
            CHECK_THAT(std::string(error.text()),
                       ContainsSubstring("the address and the port are from: TcpRendezvous"));
            CHECK(error.rank() == 0);
        }
    }
    SECTION("where nobody serves, rank 0 is missing") {
        try {
            (void)rank_1.connect(rank_1.launch(), Deadline::after(200ms));
            FAIL("connected to nobody");
        } catch (const Error& error) {
            CHECK(error.code() == errc::missing_ranks);
            CHECK(error.ranks() == std::vector{0});
        }
    }
}

TEST_CASE("a world of more than one needs an address") {
    muster::Launch launch;
    launch.world_size = 2;
    CHECK_THROWS_AS(muster::detail::meet_at_endpoint(launch, Deadline::never()), Error);
    launch.world_size = 1;
    CHECK_FALSE(muster::detail::meet_at_endpoint(launch, Deadline::never()).serves());
}

TEST_CASE("rank 0 binds no more than it was asked for") {
    using muster::detail::address_to_serve;
    muster::Launch launch;
    launch.world_size = 2;
    for (const std::string host : {"127.0.0.1", "192.0.2.1", "::1", "localhost"}) {
        launch.endpoint = Endpoint{host, 29500};
        CHECK(address_to_serve(launch, Deadline::never()) == host);
    }
}
