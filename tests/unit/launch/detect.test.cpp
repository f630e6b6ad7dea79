// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/detect.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <set>
#include <string>

#include "environments.hpp"

using Catch::Matchers::ContainsSubstring;
using muster::detect_launch;
using muster::Endpoint;
using muster::Environment;
using muster::Launch;
using muster::Wanted;
using muster_test::refusal;
using muster_test::with;

namespace {

Environment shell_loop() {
    return {{"RANK", "3"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "node0"}, {"MASTER_PORT", "29500"}};
}

/// Rank 3 of two nodes.
Environment torchrun() {
    return with(muster_test::torchrun(), {{"RANK", "3"},
                                          {"WORLD_SIZE", "8"},
                                          {"GROUP_RANK", "1"},
                                          {"GROUP_WORLD_SIZE", "4"},
                                          {"MASTER_ADDR", "127.0.0.1"},
                                          {"MASTER_PORT", "29500"},
                                          {"TORCHELASTIC_RUN_ID", "job7"}});
}

} // namespace

TEST_CASE("no launcher is a world of one") {
    const Launch launch = detect_launch({{"PATH", "/bin"}, {"MASTER_ADDR", "node0"}});
    CHECK(launch.rank == 0);
    CHECK(launch.world_size == 1);
    CHECK(launch.local_rank == 0);
    CHECK(launch.local_size == 1);
    CHECK_FALSE(launch.endpoint);
    CHECK(launch.launcher == "none");
}

TEST_CASE("a shell loop's variables") {
    const Launch launch = detect_launch(shell_loop());
    CHECK(launch.rank == 3);
    CHECK(launch.world_size == 4);
    CHECK_FALSE(launch.local_rank);
    CHECK_FALSE(launch.local_size);
    CHECK(launch.endpoint == Endpoint{"node0", 29500});
    CHECK_FALSE(launch.endpoint_is_served);
    CHECK(launch.launcher == "environment");
    CHECK(launch.from.rank == "RANK");
    CHECK(launch.from.world_size == "WORLD_SIZE");
    CHECK(launch.from.endpoint == "MASTER_ADDR, MASTER_PORT");
}

TEST_CASE("torchrun's contract") {
    const Launch launch = detect_launch(torchrun());
    CHECK(launch.rank == 3);
    CHECK(launch.world_size == 8);
    CHECK(launch.local_rank == 1);
    CHECK(launch.local_size == 2);
    CHECK(launch.endpoint == Endpoint{"127.0.0.1", 29500});
    CHECK(launch.endpoint_is_served);
    CHECK(launch.launcher == "torchrun");
    CHECK(launch.job == "job7");
    CHECK(launch.node_index == 1);
    CHECK(launch.node_count == 4);
    CHECK(launch.from.node_index == "GROUP_RANK");

    SECTION("the agent's store counts for exactly True") {
        const auto value = GENERATE("False", "true", "1", "");
        CHECK_FALSE(detect_launch(with(torchrun(), "TORCHELASTIC_USE_AGENT_STORE", value)).endpoint_is_served);
    }
    SECTION("virtual local rank: everyone has local rank 0") {
        CHECK(detect_launch(with(torchrun(), "LOCAL_RANK", "0")).local_rank == 0);
    }
    SECTION("started by another launcher, whose variables describe torchrun itself") {
        auto inside = torchrun();
        inside.set("OMPI_COMM_WORLD_RANK", "1");
        inside.set("OMPI_COMM_WORLD_SIZE", "4");
        CHECK(detect_launch(inside).launcher == "torchrun");
        CHECK(detect_launch(inside).world_size == 8);
    }
}

TEST_CASE("derived ports lie above the ephemeral range and differ") {
    std::set<int> ports;
    for (int job = 0; job < 1000; ++job) {
        const int port = muster::detail::port_of_job(std::to_string(1645936641 + job * 65536));
        CHECK(port >= 61440);
        ports.insert(port);
    }
    // 1000 throws at 4096 ports leave about 890 different ones.
    CHECK(ports.size() > 800);
}

TEST_CASE("half a launch is refused by the name of what is missing") {
    const auto missing = GENERATE("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT");
    CHECK_THAT(refusal(with(shell_loop(), missing, "")), ContainsSubstring(std::string(missing) + " is not set"));
}

TEST_CASE("local variables alone are half a launch") {
    CHECK_THAT(refusal({{"LOCAL_RANK", "1"}}), ContainsSubstring("WORLD_SIZE is not set"));
}

TEST_CASE("who this process is can be asked for alone: then the ranks meet elsewhere") {
    Environment environment = shell_loop();
    environment.set("MASTER_ADDR", "");
    CHECK_FALSE(refusal(environment).empty());
    const Launch launch = detect_launch(environment, Wanted::identity);
    CHECK(launch.rank == 3);
    CHECK_FALSE(launch.endpoint);
    CHECK(detect_launch(shell_loop(), Wanted::identity).endpoint == Endpoint{"node0", 29500});
}

TEST_CASE("NODE_RANK is the node's index where it is set") {
    const Launch launch = detect_launch(with(shell_loop(), "NODE_RANK", "1"));
    CHECK(launch.node_index == 1);
    CHECK_FALSE(launch.node_count);
    CHECK_FALSE(detect_launch(with(shell_loop(), "GROUP_RANK", "1")).node_index);
}

TEST_CASE("the launcher of DeepSpeed speaks torch's contract with names of its own beside it") {
    const Environment deepspeed =
        with(shell_loop(), {{"LOCAL_RANK", "1"}, {"LOCAL_SIZE", "2"}, {"CROSS_RANK", "1"}, {"CROSS_SIZE", "2"}});
    const Launch launch = detect_launch(deepspeed);
    CHECK(launch.launcher == "DeepSpeed");
    CHECK(launch.rank == 3);
    CHECK(launch.local_rank == 1);
    CHECK(launch.local_size == 2);
    CHECK(launch.node_index == 1);
    CHECK(launch.node_count == 2);
    CHECK(launch.endpoint == Endpoint{"node0", 29500});
    CHECK_THAT(refusal(with(deepspeed, "WORLD_SIZE", "")), ContainsSubstring("WORLD_SIZE is not set"));
    CHECK_THAT(refusal(with(deepspeed, "LOCAL_RANK", "2")), ContainsSubstring("LOCAL_RANK=2 is out of range"));
}

TEST_CASE("what was found, in one line") {
    CHECK(launcher_text(Launch{}) == "none");
    CHECK(launcher_text(detect_launch(shell_loop())) == "environment (rank: RANK; world size: WORLD_SIZE)");
    CHECK(launcher_text(detect_launch(torchrun())) ==
          "torchrun (rank: RANK; world size: WORLD_SIZE; local rank: LOCAL_RANK; local size: LOCAL_WORLD_SIZE; node: "
          "GROUP_RANK; nodes: GROUP_WORLD_SIZE)");
    Launch launch = detect_launch(muster_test::open_mpi());
    launch.passed_over = {"this", "that"};
    CHECK(launcher_text(launch) ==
          "Open MPI (rank: OMPI_COMM_WORLD_RANK; world size: OMPI_COMM_WORLD_SIZE; local rank: "
          "OMPI_COMM_WORLD_LOCAL_RANK; local size, node, nodes: OMPI_COMM_WORLD_LOCAL_SIZE; passed over: this; passed "
          "over: that)");
}

TEST_CASE("a world of one needs no address") {
    const Launch launch = detect_launch({{"RANK", "0"}, {"WORLD_SIZE", "1"}});
    CHECK(launch.world_size == 1);
    CHECK_FALSE(launch.endpoint);
}

TEST_CASE("numbers are read strictly") {
    const std::string garbage = GENERATE("x", "3x", " 3", "3 ", "+3", "3.0", "0x3", "1e1", "-");
    const std::string name = GENERATE("RANK", "WORLD_SIZE", "MASTER_PORT");
    const auto text = refusal(with(shell_loop(), name, garbage));
    CHECK_THAT(text, ContainsSubstring(name + "=" + garbage));
    CHECK_THAT(text, ContainsSubstring("is not a whole number"));
}

TEST_CASE("numbers out of range are named") {
    struct Case {
        const char* name;
        const char* value;
    };
    const auto [name, value] =
        GENERATE(Case{"RANK", "4"}, Case{"RANK", "-1"}, Case{"RANK", "-0"}, Case{"WORLD_SIZE", "0"},
                 Case{"WORLD_SIZE", "-4"}, Case{"WORLD_SIZE", "2147483648"}, Case{"RANK", "99999999999999999999"},
                 Case{"MASTER_PORT", "0"}, Case{"MASTER_PORT", "65536"});
    const auto text = refusal(with(shell_loop(), name, value));
    CHECK_THAT(text, ContainsSubstring(std::string(name) + "=" + value));
    CHECK_THAT(text, ContainsSubstring("out of range"));
}

TEST_CASE("local rank and local size must fit") {
    CHECK_THAT(refusal(with(torchrun(), "LOCAL_RANK", "2")), ContainsSubstring("LOCAL_RANK=2 is out of range"));
    CHECK_THAT(refusal(with(torchrun(), "LOCAL_WORLD_SIZE", "9")), ContainsSubstring("LOCAL_WORLD_SIZE=9"));
    CHECK_THAT(refusal(with(torchrun(), "LOCAL_WORLD_SIZE", "0")), ContainsSubstring("LOCAL_WORLD_SIZE=0"));
}

TEST_CASE("an endpoint as text") {
    CHECK(to_string(Endpoint{"node0", 29500}) == "node0:29500");
    CHECK(to_string(Endpoint{"::1", 29500}) == "[::1]:29500");
    CHECK(to_string(Endpoint{"[::1]", 29500}) == "[::1]:29500");
}
