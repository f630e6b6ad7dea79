// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/detect.hpp>
#include <muster/launch/mpi.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>

#include "environments.hpp"

using Catch::Matchers::ContainsSubstring;
using muster::detect_launch;
using muster::Endpoint;
using muster::Environment;
using muster::Launch;
using muster::Wanted;
using muster_test::hydra;
using muster_test::open_mpi;
using muster_test::refusal;
using muster_test::with;

namespace {

/// The same over two hosts: rank 3 of 4.
Environment open_mpi_of_two_hosts() {
    return with(open_mpi(), {{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}, {"PMIX_RANK", "3"}});
}

/// As the manual of Open MPI 5 and PRRTE say: no address.
Environment open_mpi_5() {
    return with(open_mpi_of_two_hosts(), {{"OMPI_MCA_orte_hnp_uri", ""},
                                          {"OMPI_MCA_ess_base_jobid", ""},
                                          {"OMPI_MCA_ess_base_vpid", ""},
                                          {"OMPI_MCA_orte_num_nodes", ""},
                                          {"PRTE_LAUNCHED", "1"},
                                          {"PMIX_NAMESPACE", "prterun-node0-4242@1"},
                                          {"PMIX_VERSION", "5.0.1"}});
}

} // namespace

TEST_CASE("Open MPI on one host needs no other variable") {
    const Launch launch = detect_launch(open_mpi());
    CHECK(launch.rank == 1);
    CHECK(launch.world_size == 2);
    CHECK(launch.local_rank == 1);
    CHECK(launch.local_size == 2);
    CHECK(launch.node_index == 0);
    CHECK(launch.node_count == 1);
    CHECK(launch.from.node_count == "OMPI_COMM_WORLD_LOCAL_SIZE");
    CHECK(launch.launcher == "Open MPI");
    CHECK(launch.job == "1980891137");
    CHECK(launch.passed_over.empty());
    REQUIRE(launch.endpoint);
    CHECK(launch.endpoint->host == "127.0.0.1");
    CHECK(launch.endpoint->port >= 61440);
    CHECK(launch.from.endpoint == "one host by OMPI_COMM_WORLD_LOCAL_SIZE, PMIX_NAMESPACE");

    SECTION("another job meets at another port") {
        CHECK(detect_launch(with(open_mpi(), "PMIX_NAMESPACE", "1645936642")).endpoint->port != launch.endpoint->port);
    }
    SECTION("the job's id has two names") {
        CHECK(detect_launch(with(open_mpi(), "PMIX_NAMESPACE", "")).endpoint == launch.endpoint);
    }
    SECTION("MASTER_ADDR and MASTER_PORT win, each for itself") {
        const auto told = detect_launch(with(open_mpi(), {{"MASTER_ADDR", "node3"}, {"MASTER_PORT", "1234"}}));
        CHECK(told.endpoint == Endpoint{"node3", 1234});
        CHECK(told.from.endpoint == "MASTER_ADDR, MASTER_PORT");
        CHECK(detect_launch(with(open_mpi(), "MASTER_PORT", "1234")).endpoint == Endpoint{"127.0.0.1", 1234});
        CHECK(detect_launch(with(open_mpi(), "MASTER_ADDR", "node3")).endpoint ==
              Endpoint{"node3", launch.endpoint->port});
        CHECK_THAT(refusal(with(open_mpi(), "MASTER_PORT", "0")), ContainsSubstring("MASTER_PORT=0 is out of range"));
    }
}

TEST_CASE("Open MPI 4 over several hosts meets at mpirun's") {
    const Launch launch = detect_launch(open_mpi_of_two_hosts());
    CHECK(launch.endpoint->host == "192.0.2.2");
    CHECK(launch.from.endpoint == "OMPI_MCA_orte_hnp_uri, PMIX_NAMESPACE");
    // The rank on the node over all jobs is no node.
    CHECK_FALSE(launch.node_index);
    CHECK_FALSE(launch.node_count);
}

TEST_CASE("Open MPI 5 tells no address: over several hosts it is asked for") {
    const auto text = refusal(open_mpi_5());
    CHECK_THAT(text, ContainsSubstring("MASTER_ADDR is not set"));
    CHECK_THAT(text, ContainsSubstring("mpirun -x MASTER_ADDR="));
    const Launch told = detect_launch(with(open_mpi_5(), "MASTER_ADDR", "node0"));
    CHECK(told.endpoint->host == "node0");
    CHECK(told.from.endpoint == "MASTER_ADDR, PMIX_NAMESPACE");
    CHECK(detect_launch(open_mpi_5(), Wanted::identity).rank == 3);
    const Launch one_host = detect_launch(with(open_mpi_5(), "OMPI_COMM_WORLD_LOCAL_SIZE", "4"));
    CHECK(one_host.endpoint->host == "127.0.0.1");
}

TEST_CASE("half of Open MPI's variables") {
    CHECK_THAT(refusal({{"OMPI_COMM_WORLD_RANK", "1"}}), ContainsSubstring("OMPI_COMM_WORLD_SIZE is not set"));
    CHECK_THAT(refusal({{"OMPI_COMM_WORLD_SIZE", "2"}}), ContainsSubstring("OMPI_COMM_WORLD_RANK is not set"));
    CHECK_THAT(refusal({{"OMPI_COMM_WORLD_LOCAL_RANK", "1"}}), ContainsSubstring("OMPI_COMM_WORLD_SIZE is not set"));
    CHECK_THAT(refusal(with(open_mpi(), "OMPI_COMM_WORLD_RANK", "")),
               ContainsSubstring("OMPI_COMM_WORLD_RANK is not set"));
}

TEST_CASE("Open MPI's numbers out of range") {
    struct Case {
        const char* name;
        const char* value;
    };
    const auto [name, value] = GENERATE(Case{"OMPI_COMM_WORLD_RANK", "2"}, Case{"OMPI_COMM_WORLD_LOCAL_RANK", "2"},
                                        Case{"OMPI_COMM_WORLD_LOCAL_SIZE", "3"}, Case{"OMPI_COMM_WORLD_SIZE", "0"},
                                        Case{"OMPI_COMM_WORLD_SIZE", "4294967296"}, Case{"OMPI_COMM_WORLD_RANK", "-1"});
    CHECK_THAT(refusal(with(open_mpi(), name, value)),
               ContainsSubstring(std::string(name) + "=" + value + " is out of range"));
}

TEST_CASE("two sources that contradict each other are both named") {
    struct Case {
        const char* name;
        const char* value;
        const char* other;
    };
    const auto [name, value, other] =
        GENERATE(Case{"RANK", "0", "OMPI_COMM_WORLD_RANK=1"}, Case{"WORLD_SIZE", "16", "OMPI_COMM_WORLD_SIZE=2"},
                 Case{"LOCAL_RANK", "0", "OMPI_COMM_WORLD_LOCAL_RANK=1"},
                 Case{"LOCAL_WORLD_SIZE", "1", "OMPI_COMM_WORLD_LOCAL_SIZE=2"});
    const auto text = refusal(with(open_mpi(), name, value));
    CHECK_THAT(text, ContainsSubstring(std::string(name) + "=" + value + " contradicts " + other + " of Open MPI"));
    CHECK(refusal(with(open_mpi(), {{"RANK", "1"}, {"WORLD_SIZE", "2"}})).empty());
}

TEST_CASE("host of Open MPI's contact text") {
    using muster::detail::host_of_contact;
    CHECK(host_of_contact("1531576320.0;tcp://10.96.0.1,10.148.0.1:34911") == "10.96.0.1");
    CHECK(host_of_contact("1645936640.0;tcp://192.0.2.2:35279;tcp6://[fd00::2]:56355") == "192.0.2.2");
    CHECK(host_of_contact("1531576320.0;tcp6://[fd00::2]:56355") == "fd00::2");
    CHECK(host_of_contact("1531576320.0;tcp6://[fd00::2,fd00::3]:56355") == "fd00::2");
    CHECK(host_of_contact("1531576320.0;tcp6://[fd00::2],[fd00::3]:56355") == "fd00::2");
    CHECK_FALSE(host_of_contact("tcp://"));
    CHECK_FALSE(host_of_contact("tcp6://[]:1"));
    CHECK_FALSE(host_of_contact("usock;/tmp/pipe"));
    CHECK_FALSE(host_of_contact(""));
}

TEST_CASE("an IPv6 address of mpirun's stands in brackets in an endpoint's text") {
    const Launch launch = detect_launch(
        with(open_mpi_of_two_hosts(), "OMPI_MCA_orte_hnp_uri", "1980891136.0;tcp6://[fd00::2,fd00::3]:48167"));
    CHECK(launch.endpoint->host == "fd00::2");
    CHECK(to_string(*launch.endpoint).starts_with("[fd00::2]:"));
}

TEST_CASE("under AzureML and SageMaker the service tells where mpirun runs") {
    const Environment azure =
        with(open_mpi_5(), {{"AZUREML_EXPERIMENT_ID", "e7"}, {"AZ_BATCH_MASTER_NODE", "10.0.0.4:6000"}});
    CHECK(detect_launch(azure).endpoint->host == "10.0.0.4");
    CHECK(detect_launch(azure).from.endpoint == "AZ_BATCH_MASTER_NODE, PMIX_NAMESPACE");
    CHECK(detect_launch(with(azure, {{"AZ_BATCH_MASTER_NODE", ""}, {"AZ_BATCHAI_MPI_MASTER_NODE", "10.0.0.5"}}))
              .endpoint->host == "10.0.0.5");
    CHECK_THAT(refusal(with(azure, "DLTS_JOB_ID", "1")), ContainsSubstring("MASTER_ADDR is not set"));
    CHECK_THAT(refusal(with(azure, "AZUREML_EXPERIMENT_ID", "")), ContainsSubstring("MASTER_ADDR is not set"));

    const Environment sagemaker =
        with(open_mpi_5(),
             {{"SM_TRAINING_ENV", "{}"}, {"SM_HOSTS", R"(["algo-1","algo-2"])"}, {"SM_CURRENT_HOST", "algo-2"}});
    CHECK(detect_launch(sagemaker).endpoint->host == "algo-1");
    CHECK(detect_launch(sagemaker).launcher == "Open MPI");
}

TEST_CASE("Hydra's variables") {
    // No job is named in a variable, and nobody is behind PMI_FD here.
    const auto text = refusal(hydra());
    CHECK_THAT(text, ContainsSubstring("MASTER_PORT is not set"));
    CHECK_THAT(text, ContainsSubstring("mpiexec -genv MASTER_PORT"));
    const Launch launch = detect_launch(with(hydra(), "MASTER_PORT", "1234"));
    CHECK(launch.launcher == "Hydra");
    CHECK(launch.rank == 1);
    CHECK(launch.world_size == 2);
    CHECK(launch.local_rank == 1);
    CHECK(launch.local_size == 2);
    CHECK(launch.endpoint == Endpoint{"127.0.0.1", 1234});
    CHECK(launch.job == "default");

    SECTION("over several hosts") {
        const Environment several = with(hydra(), {{"PMI_SIZE", "4"}, {"MASTER_PORT", "1234"}});
        CHECK_THAT(refusal(several), ContainsSubstring("mpiexec -genv MASTER_ADDR"));
        CHECK(detect_launch(with(several, "MASTER_ADDR", "node0")).endpoint == Endpoint{"node0", 1234});
    }
    SECTION("half-set") {
        CHECK_THAT(refusal(with(hydra(), "PMI_RANK", "")), ContainsSubstring("PMI_RANK is not set"));
        CHECK_THAT(refusal(with(hydra(), "PMI_SIZE", "")), ContainsSubstring("PMI_SIZE is not set"));
        CHECK_THAT(refusal({{"MPI_LOCALRANKID", "0"}}), ContainsSubstring("PMI_SIZE is not set"));
    }
    SECTION("garbage") {
        CHECK_THAT(refusal(with(hydra(), "PMI_RANK", "1x")), ContainsSubstring("PMI_RANK=1x is not a whole number"));
        CHECK_THAT(refusal(with(hydra(), "PMI_FD", "x")), ContainsSubstring("PMI_FD=x is not a whole number"));
        CHECK_THAT(refusal(with(hydra(), "MPI_LOCALRANKID", "2")), ContainsSubstring("MPI_LOCALRANKID=2"));
    }
    SECTION("a world of one") {
        CHECK(refusal(with(hydra(),
                           {{"PMI_RANK", "0"}, {"PMI_SIZE", "1"}, {"MPI_LOCALRANKID", "0"}, {"MPI_LOCALNRANKS", "1"}}))
                  .empty());
    }
}

TEST_CASE("on one host the process behind PMI_FD is Hydra's job") {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
    const Environment environment = with(hydra(), "PMI_FD", std::to_string(ends[0]));
    const Launch launch = detect_launch(environment);
    CHECK(launch.job == "proxy-" + std::to_string(::getpid()));
    CHECK(launch.endpoint->host == "127.0.0.1");
    CHECK(launch.endpoint->port >= 61440);
    CHECK(launch.from.endpoint == "one host by MPI_LOCALNRANKS, the process behind PMI_FD");
    // Each host has a process of its own: over several it says nothing.
    CHECK_THAT(refusal(with(environment, {{"PMI_SIZE", "4"}, {"MASTER_ADDR", "node0"}})),
               ContainsSubstring("MASTER_PORT is not set"));
    ::close(ends[0]);
    ::close(ends[1]);
    CHECK_THAT(refusal(environment), ContainsSubstring("MASTER_PORT is not set"));
}

TEST_CASE("Hydra in port mode tells no size") {
    // Recorded with MPICH 4.0.2: mpiexec.hydra -pmi-port -n 2.
    const Environment port_mode{{"PMI_ID", "1"},
                                {"PMI_PORT", "vm:40623"},
                                {"MPI_LOCALRANKID", "1"},
                                {"MPI_LOCALNRANKS", "2"},
                                {"HYDI_CONTROL_FD", "7"}};
    const auto text = refusal(port_mode);
    CHECK_THAT(text, ContainsSubstring("WORLD_SIZE is not set"));
    CHECK_THAT(text, ContainsSubstring("leave out -pmi-port"));
    const Launch launch = detect_launch(with(port_mode, "WORLD_SIZE", "2"));
    CHECK(launch.rank == 1);
    CHECK(launch.world_size == 2);
    CHECK(launch.local_rank == 1);
    CHECK(launch.job == "vm:40623");
    CHECK(launch.endpoint->host == "127.0.0.1");
    CHECK_THAT(refusal(with(port_mode, {{"WORLD_SIZE", "2"}, {"PMI_ID", ""}})), ContainsSubstring("PMI_ID is not set"));
    CHECK_THAT(refusal(with(port_mode, "WORLD_SIZE", "4")), ContainsSubstring("MASTER_ADDR is not set"));
}

TEST_CASE("MVAPICH by its names of old and new") {
    const Environment mvapich2{{"MV2_COMM_WORLD_RANK", "1"},       {"MV2_COMM_WORLD_SIZE", "4"},
                               {"MV2_COMM_WORLD_LOCAL_RANK", "1"}, {"MV2_COMM_WORLD_LOCAL_SIZE", "2"},
                               {"MASTER_ADDR", "node0"},           {"MASTER_PORT", "1234"}};
    const Launch old = detect_launch(mvapich2);
    CHECK(old.launcher == "MVAPICH2");
    CHECK(old.rank == 1);
    CHECK(old.world_size == 4);
    CHECK(old.local_size == 2);
    CHECK_THAT(refusal(with(mvapich2, "MASTER_PORT", "")), ContainsSubstring("mpirun_rsh ... MASTER_PORT="));
    CHECK_THAT(refusal(with(mvapich2, "MV2_COMM_WORLD_SIZE", "")), ContainsSubstring("MV2_COMM_WORLD_SIZE is not set"));

    const Environment mvapich{{"MVP_COMM_WORLD_RANK", "3"},       {"MVP_COMM_WORLD_SIZE", "4"},
                              {"MVP_COMM_WORLD_LOCAL_RANK", "1"}, {"MVP_COMM_WORLD_LOCAL_SIZE", "2"},
                              {"MASTER_ADDR", "node0"},           {"MASTER_PORT", "1234"}};
    CHECK(detect_launch(mvapich).launcher == "MVAPICH");
    CHECK(detect_launch(mvapich).rank == 3);

    SECTION("version 3 is built on Hydra, whose names stand in") {
        const Environment built_on_hydra = with(hydra(), {{"MVP_COMM_WORLD_LOCAL_RANK", "1"}, {"MASTER_PORT", "1234"}});
        const Launch launch = detect_launch(built_on_hydra);
        CHECK(launch.launcher == "MVAPICH");
        CHECK(launch.rank == 1);
        CHECK(launch.from.rank == "PMI_RANK");
        CHECK(launch.from.local_rank == "MVP_COMM_WORLD_LOCAL_RANK");
        CHECK(launch.local_size == 2);
    }
}

TEST_CASE("PMIx alone tells the rank only") {
    const Environment pmix{{"PMIX_RANK", "3"}, {"PMIX_NAMESPACE", "prterun-node0-4242@1"}, {"PMIX_HOSTNAME", "node1"}};
    const auto text = refusal(pmix);
    CHECK_THAT(text, ContainsSubstring("WORLD_SIZE is not set"));
    CHECK_THAT(text, ContainsSubstring("PMIx tells the number of processes in no variable"));
    CHECK_THAT(text, ContainsSubstring("PMIX_RANK=3"));
    const Environment with_size = with(pmix, "WORLD_SIZE", "4");
    CHECK_THAT(refusal(with_size), ContainsSubstring("MASTER_ADDR is not set"));
    const Launch launch = detect_launch(with(with_size, "MASTER_ADDR", "node0"));
    CHECK(launch.launcher == "PMIx");
    CHECK(launch.rank == 3);
    CHECK(launch.endpoint->host == "node0");
    CHECK(launch.job == "prterun-node0-4242@1");
    CHECK_THAT(refusal(with(pmix, "WORLD_SIZE", "3")), ContainsSubstring("PMIX_RANK=3 is out of range"));
    CHECK_THAT(refusal(with(with_size, "RANK", "2")), ContainsSubstring("RANK=2 contradicts PMIX_RANK=3"));
}
