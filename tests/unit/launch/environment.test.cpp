// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/environment.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdlib>
#include <string>

using muster::Environment;

TEST_CASE("an empty value counts as unset") {
    const Environment environment{{"RANK", ""}, {"WORLD_SIZE", "2"}};
    CHECK_FALSE(environment.get("RANK"));
    CHECK_FALSE(environment.has("RANK"));
    CHECK(environment.get("WORLD_SIZE") == "2");
    CHECK_FALSE(environment.get("LOCAL_RANK"));
}

TEST_CASE("the current environment is read once") {
    REQUIRE(::setenv("MUSTER_TEST_VARIABLE", "a=b", 1) == 0);
    const Environment environment = Environment::current();
    REQUIRE(::setenv("MUSTER_TEST_VARIABLE", "other", 1) == 0);
    CHECK(environment.get("MUSTER_TEST_VARIABLE") == "a=b");
    CHECK(Environment::current().get("MUSTER_TEST_VARIABLE") == "other");
    REQUIRE(::unsetenv("MUSTER_TEST_VARIABLE") == 0);
}

TEST_CASE("set replaces") {
    Environment environment{{"TP_SIZE", "2"}};
    environment.set("TP_SIZE", "4");
    environment.set("DP_SIZE", "1");
    CHECK(environment.get("TP_SIZE") == "4");
    CHECK(environment.get("DP_SIZE") == "1");
}
