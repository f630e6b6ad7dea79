// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/detect.hpp>
#include <muster/launch/launcher.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

#include "environments.hpp"

// What holds for every launcher of the table alike.

using Catch::Matchers::ContainsSubstring;
using muster::detect_launch;
using muster::Environment;
using muster::Launch;
using muster::Wanted;
using muster::detail::launchers;
using muster::detail::Variables;
using muster_test::refusal;
using muster_test::with;

namespace {

/// Rank 2 of 4 on two nodes, by all the names that the launcher has.
Environment complete(const Variables& names) {
    Environment environment;
    const auto set = [&](const muster::detail::Names& some, const char* value) {
        if (!some[0].empty()) environment.set(std::string(some[0]), value);
    };
    set(names.rank, "2");
    set(names.world_size, "4");
    set(names.local_rank, "0");
    set(names.local_size, "2");
    set(names.node_index, "1");
    set(names.node_count, "2");
    return with(environment, {{"MASTER_ADDR", "node0"}, {"MASTER_PORT", "1234"}});
}

} // namespace

TEST_CASE("every launcher of the table: complete, half-set, garbage, out of range, contradicted") {
    const auto index = GENERATE(Catch::Generators::range(std::size_t{0}, launchers.size()));
    const Variables& names = launchers[index]->names;
    const Environment environment = complete(names);
    const std::string rank(names.rank[0]);
    const std::string world_size(names.world_size[0]);
    CAPTURE(names.launcher, rank);

    const Launch launch = detect_launch(environment);
    CHECK(launch.launcher == names.launcher);
    CHECK(launch.rank == 2);
    CHECK(launch.world_size == 4);
    CHECK(launch.from.rank == rank);
    CHECK(launch.from.world_size == world_size);
    CHECK(launch.local_rank == (names.local_rank[0].empty() ? std::nullopt : std::optional(0)));
    CHECK(launch.endpoint == muster::Endpoint{"node0", 1234});
    CHECK(launch.from.endpoint == "MASTER_ADDR, MASTER_PORT");
    CHECK(launch.passed_over.empty());
    for (const char* wanted : {"MASTER_ADDR", "MASTER_PORT"}) {
        CHECK_THAT(refusal(with(environment, wanted, "")), ContainsSubstring(std::string(wanted) + " is not set"));
        CHECK(detect_launch(with(environment, wanted, ""), Wanted::identity).rank == 2);
    }

    // An empty value counts as unset.
    CHECK_THAT(refusal(with(environment, world_size, "")), ContainsSubstring(world_size + " is not set"));
    // These three are recognized by the rank.
    if (rank != "PMIX_RANK" && rank != "ALPS_APP_PE" && rank != "PMI_ID")
        CHECK_THAT(refusal(with(environment, rank, "")), ContainsSubstring(rank + " is not set"));

    for (const std::string garbage : {"2x", " 2", "+2", "2.0", "0x2", "two"}) {
        CHECK_THAT(refusal(with(environment, rank, garbage)),
                   ContainsSubstring(rank + "=" + garbage + " is not a whole"));
        CHECK_THAT(refusal(with(environment, world_size, garbage)),
                   ContainsSubstring(world_size + "=" + garbage + " is not a whole"));
    }
    for (const std::string beyond : {"4", "-1", "2147483648", "99999999999999999999"})
        CHECK_THAT(refusal(with(environment, rank, beyond)),
                   ContainsSubstring(rank + "=" + beyond + " is out of range"));
    for (const std::string beyond : {"0", "-4", "2147483648", "99999999999999999999"})
        CHECK_THAT(refusal(with(environment, world_size, beyond)),
                   ContainsSubstring(world_size + "=" + beyond + " is out of range"));

    CHECK(refusal(with(environment, {{"RANK", "2"}, {"WORLD_SIZE", "4"}})).empty());
    CHECK_THAT(refusal(with(environment, "RANK", "1")),
               ContainsSubstring("RANK=1 contradicts " + rank + "=2 of " + std::string(names.launcher)));
    if (world_size != "WORLD_SIZE")
        CHECK_THAT(refusal(with(environment, "WORLD_SIZE", "8")),
                   ContainsSubstring("WORLD_SIZE=8 contradicts " + world_size + "=4"));
}

TEST_CASE("advice names the launcher's own way to set a variable") {
    for (const auto* launcher : launchers) {
        const Variables& names = launcher->names;
        CAPTURE(names.launcher);
        const auto text = refusal(with(complete(names), "MASTER_PORT", ""));
        CHECK_THAT(text, ContainsSubstring("  seen: "));
        CHECK_THAT(text, ContainsSubstring("MASTER_ADDR=node0"));
        CHECK_THAT(text, ContainsSubstring("  do: set MASTER_PORT to a free port of rank 0's host ("));
        CHECK(text.find("{}") == std::string::npos);
    }
}
