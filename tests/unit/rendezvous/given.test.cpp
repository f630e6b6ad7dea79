// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>
#include <muster/launch/environment.hpp>
#include <muster/rendezvous/given.hpp>

#include <catch2/catch_test_macros.hpp>

#include <optional>

using muster::Environment;
using muster::errc;
using muster::Error;
using muster::detail::launch_of;

namespace {

const Environment by_hand{{"RANK", "1"}, {"WORLD_SIZE", "3"}, {"TP_SIZE", "3"}};

errc refusal(std::optional<int> rank, std::optional<int> world_size, const Environment& environment) {
    try {
        (void)launch_of("Policy", {rank, world_size}, environment);
    } catch (const Error& error) {
        return error.code();
    }
    FAIL("it did not throw");
    return errc::backend;
}

} // namespace

TEST_CASE("a policy that knows where to meet needs no MASTER_ADDR") {
    const auto launch = launch_of("Policy", {}, by_hand);
    CHECK(launch.rank == 1);
    CHECK(launch.world_size == 3);
    CHECK_FALSE(launch.endpoint);
    CHECK_FALSE(launch.endpoint_is_served);
    CHECK(launch.from.endpoint.empty());
    CHECK(launch.environment.get("TP_SIZE") == "3");
    CHECK_FALSE(launch.environment.has("MASTER_ADDR"));
}

TEST_CASE("an address that the launcher tells is kept") {
    Environment environment = by_hand;
    environment.set("MASTER_ADDR", "node1");
    CHECK_FALSE(launch_of("Policy", {}, environment).endpoint);
    environment.set("MASTER_PORT", "29500");
    CHECK(launch_of("Policy", {}, environment).endpoint == muster::Endpoint{"node1", 29500});
    environment.set("MASTER_PORT", "many");
    CHECK(refusal({}, {}, environment) == errc::invalid_launch);
}

TEST_CASE("what is given counts, and may not contradict the launcher by half") {
    CHECK(launch_of("Policy", {2, 4}, by_hand).rank == 2);
    CHECK(launch_of("Policy", {2, 4}, by_hand).world_size == 4);
    CHECK(launch_of("Policy", {2, 4}, by_hand).launcher == "Policy");
    CHECK(launch_of("Policy", {1, {}}, by_hand).world_size == 3);
    CHECK(launch_of("Policy", {{}, 3}, by_hand).rank == 1);
    CHECK(refusal(0, {}, by_hand) == errc::invalid_launch);
    CHECK(refusal({}, 2, by_hand) == errc::invalid_launch);
    CHECK(refusal(1, {}, {}) == errc::invalid_launch); // no launcher: a world of one
    CHECK(refusal(3, 3, {}) == errc::invalid_argument);
    CHECK(refusal(-1, 3, {}) == errc::invalid_argument);
    CHECK(refusal(0, 0, {}) == errc::invalid_argument);
}
