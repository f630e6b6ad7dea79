// SPDX-License-Identifier: Apache-2.0
#include <muster/core/deadline.hpp>
#include <muster/store/resolve.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>

using namespace std::chrono_literals;
using namespace muster::detail;
using muster::Deadline;

TEST_CASE("numbers of both families are resolved without asking anybody") {
    // A deadline that has passed: there was nothing to wait for.
    const Resolution v4 = resolve("127.0.0.1", 80, Deadline());
    REQUIRE(v4.addresses.size() == 1);
    CHECK(v4.addresses[0].family() == AF_INET);
    CHECK(to_string(v4.addresses[0]) == "127.0.0.1");
    const Resolution v6 = resolve("::1", 80, Deadline());
    REQUIRE(v6.addresses.size() == 1);
    CHECK(v6.addresses[0].family() == AF_INET6);
    CHECK(to_string(v6.addresses[0]) == "::1");
}

TEST_CASE("names are resolved, or it is said why not") {
    const Resolution local = resolve("localhost", 80, Deadline::after(30s));
    CHECK(local.problem.empty());
    CHECK_FALSE(local.addresses.empty());
    const Resolution none = resolve("no-such-host.invalid", 80, Deadline::after(30s));
    CHECK(none.addresses.empty());
    CHECK_FALSE(none.problem.empty());
    const Resolution late = resolve("no-such-host.invalid", 80, Deadline());
    CHECK(late.addresses.empty());
    CHECK_FALSE(late.problem.empty());
}
