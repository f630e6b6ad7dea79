// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/detect.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <set>
#include <string>

using Catch::Matchers::ContainsSubstring;
using muster::detect_launch;
using muster::Endpoint;
using muster::Environment;
using muster::errc;
using muster::Error;
using muster::Launch;

namespace {

Environment shell_loop() {
    return {{"RANK", "3"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "node0"}, {"MASTER_PORT", "29500"}};
}

Environment torchrun() {
    return {{"RANK", "3"},
            {"WORLD_SIZE", "8"},
            {"LOCAL_RANK", "1"},
            {"LOCAL_WORLD_SIZE", "2"},
            {"MASTER_ADDR", "127.0.0.1"},
            {"MASTER_PORT", "29500"},
            {"TORCHELASTIC_RUN_ID", "job7"},
            {"TORCHELASTIC_RESTART_COUNT", "0"},
            {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
}

/// As Open MPI 4.1 sets them on one host.
Environment open_mpi() {
    return {{"OMPI_COMM_WORLD_RANK", "5"},
            {"OMPI_COMM_WORLD_SIZE", "8"},
            {"OMPI_COMM_WORLD_LOCAL_RANK", "5"},
            {"OMPI_COMM_WORLD_LOCAL_SIZE", "8"},
            {"OMPI_COMM_WORLD_NODE_RANK", "5"},
            {"PMIX_NAMESPACE", "1645936641"},
            {"PMIX_RANK", "5"},
            {"OMPI_MCA_ess_base_jobid", "1645936641"},
            {"OMPI_MCA_orte_hnp_uri", "1645936640.0;tcp://10.96.0.1,10.148.0.1:34911"}};
}

/// The text of the Error that detection throws; an empty text when it throws none.
std::string refusal(const Environment& environment) {
    try {
        (void)detect_launch(environment);
        return {};
    } catch (const Error& error) {
        CHECK(error.code() == errc::invalid_launch);
        return error.what();
    }
}

Environment with(Environment environment, const std::string& name, const std::string& value) {
    environment.set(name, value);
    return environment;
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

TEST_CASE("Open MPI on one host needs no other variable") {
    const Launch launch = detect_launch(open_mpi());
    CHECK(launch.rank == 5);
    CHECK(launch.world_size == 8);
    CHECK(launch.local_rank == 5);
    CHECK(launch.local_size == 8);
    CHECK(launch.launcher == "Open MPI");
    CHECK(launch.job == "1645936641");
    REQUIRE(launch.endpoint);
    CHECK(launch.endpoint->host == "127.0.0.1");
    CHECK(launch.endpoint->port >= 61440);

    SECTION("another job meets at another port") {
        CHECK(detect_launch(with(open_mpi(), "PMIX_NAMESPACE", "1645936642")).endpoint->port != launch.endpoint->port);
    }
    SECTION("MASTER_ADDR and MASTER_PORT win") {
        const auto told = detect_launch(with(with(open_mpi(), "MASTER_ADDR", "node3"), "MASTER_PORT", "1234"));
        CHECK(told.endpoint == Endpoint{"node3", 1234});
        CHECK(detect_launch(with(open_mpi(), "MASTER_PORT", "1234")).endpoint == Endpoint{"127.0.0.1", 1234});
    }
    SECTION("over several hosts the address is mpirun's") {
        const auto several =
            with(with(open_mpi(), "OMPI_COMM_WORLD_LOCAL_SIZE", "4"), "OMPI_COMM_WORLD_LOCAL_RANK", "1");
        CHECK(detect_launch(several).endpoint->host == "10.96.0.1");
        CHECK(detect_launch(several).from.endpoint == "OMPI_MCA_orte_hnp_uri, PMIX_NAMESPACE");
        CHECK_THAT(refusal(with(several, "OMPI_MCA_orte_hnp_uri", "")), ContainsSubstring("MASTER_ADDR is not set"));
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
    CHECK_THAT(refusal({{"OMPI_COMM_WORLD_RANK", "1"}}), ContainsSubstring("OMPI_COMM_WORLD_SIZE is not set"));
    CHECK_THAT(refusal({{"OMPI_COMM_WORLD_SIZE", "2"}}), ContainsSubstring("OMPI_COMM_WORLD_RANK is not set"));
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

TEST_CASE("two sources that contradict each other are both named") {
    struct Case {
        const char* name;
        const char* value;
        const char* other;
    };
    const auto [name, value, other] =
        GENERATE(Case{"RANK", "4", "OMPI_COMM_WORLD_RANK=5"}, Case{"WORLD_SIZE", "16", "OMPI_COMM_WORLD_SIZE=8"},
                 Case{"LOCAL_RANK", "0", "OMPI_COMM_WORLD_LOCAL_RANK=5"},
                 Case{"LOCAL_WORLD_SIZE", "4", "OMPI_COMM_WORLD_LOCAL_SIZE=8"});
    const auto text = refusal(with(open_mpi(), name, value));
    CHECK_THAT(text, ContainsSubstring(std::string(name) + "=" + value + " contradicts " + other));
    CHECK(refusal(with(with(open_mpi(), "RANK", "5"), "WORLD_SIZE", "8")).empty());
}

TEST_CASE("host of Open MPI's contact text") {
    using muster::detail::host_of_contact;
    CHECK(host_of_contact("1531576320.0;tcp://10.96.0.1,10.148.0.1:34911") == "10.96.0.1");
    CHECK(host_of_contact("1645936640.0;tcp://192.0.2.2:35279;tcp6://[fd00::2]:56355") == "192.0.2.2");
    CHECK_FALSE(host_of_contact("1531576320.0;tcp6://[fd00::2]:56355"));
    CHECK_FALSE(host_of_contact("tcp://"));
    CHECK_FALSE(host_of_contact(""));
}

TEST_CASE("an endpoint as text") {
    CHECK(to_string(Endpoint{"node0", 29500}) == "node0:29500");
    CHECK(to_string(Endpoint{"::1", 29500}) == "[::1]:29500");
    CHECK(to_string(Endpoint{"[::1]", 29500}) == "[::1]:29500");
}
