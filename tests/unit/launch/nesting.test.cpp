// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/detect.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

#include "environments.hpp"

// Several launchers in one environment: one that started another, or variables that contradict each other.

using Catch::Matchers::ContainsSubstring;
using muster::detect_launch;
using muster::Environment;
using muster::Launch;
using muster_test::hydra;
using muster_test::open_mpi;
using muster_test::refusal;
using muster_test::slurm_step;
using muster_test::with;

namespace {

Environment both(Environment outer, const std::initializer_list<std::pair<const char*, std::string>>& inner) {
    return with(std::move(outer), inner);
}

/// The step in which mpirun starts its daemons: one task on each of two nodes; this is the daemon of the second.
Environment daemon_step() {
    return with(slurm_step(), {{"SLURM_PROCID", "1"},
                               {"SLURM_LOCALID", "0"},
                               {"SLURM_NODEID", "1"},
                               {"SLURM_GTIDS", "1"},
                               {"SLURM_STEP_NODELIST", "gpu[1-2]"},
                               {"SLURM_STEP_NUM_NODES", "2"},
                               {"SLURM_STEP_NUM_TASKS", "2"},
                               {"SLURM_STEP_TASKS_PER_NODE", "1(x2)"}});
}

/// Rank 5 of mpirun -n 8 over two nodes, started by that daemon.
Environment open_mpi_in_slurm() {
    return both(daemon_step(), {{"OMPI_COMM_WORLD_RANK", "5"},
                                {"OMPI_COMM_WORLD_SIZE", "8"},
                                {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                                {"OMPI_MCA_orte_hnp_uri", "79036416.0;tcp://192.0.2.2:50737"},
                                {"OMPI_MCA_ess_base_jobid", "79036417"},
                                {"PMIX_NAMESPACE", "79036417"},
                                {"PMIX_RANK", "5"}});
}

} // namespace

TEST_CASE("torchrun's workers inherit the variables of what started torchrun") {
    const Environment worker = muster_test::torchrun();
    const Environment inside =
        GENERATE_COPY(both(worker, {{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "4"}}),
                      both(worker, {{"SLURM_JOB_ID", "3"},
                                    {"SLURM_STEP_ID", "0"},
                                    {"SLURM_STEP_NODELIST", "gpu[1-4]"},
                                    {"SLURM_PROCID", "3"},
                                    {"SLURM_NTASKS", "4"},
                                    {"SLURM_STEP_NUM_TASKS", "4"}}),
                      both(worker, {{"SLURM_JOB_ID", "3"}, {"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}),
                      both(worker, {{"PMI_RANK", "0"}, {"PMI_SIZE", "4"}}), both(worker, {{"PMIX_RANK", "7"}}),
                      both(worker, {{"JOB_COMPLETION_INDEX", "2"}}),
                      both(worker, {{"PET_NNODES", "4"}, {"PET_NODE_RANK", "3"}, {"PET_NPROC_PER_NODE", "8"}}),
                      both(worker, {{"LWS_LEADER_ADDRESS", "a"}, {"LWS_GROUP_SIZE", "4"}, {"LWS_WORKER_INDEX", "3"}}));
    const Launch launch = detect_launch(inside);
    CHECK(launch.launcher == "torchrun");
    CHECK(launch.rank == 1);
    CHECK(launch.world_size == 2);
    CHECK(launch.endpoint_is_served);
}

TEST_CASE("mpirun in a batch script inherits the script's variables") {
    // Recorded: mpirun -n 2 and mpiexec.hydra -n 2 in sbatch -n 4.
    const Environment script = with(muster_test::batch_script(), {{"SLURM_NTASKS", "4"}, {"SLURM_NPROCS", "4"}});
    Environment rank = open_mpi();
    for (const char* name : {"SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_PROCID", "SLURM_LOCALID"})
        rank.set(name, *script.get(name));
    CHECK(detect_launch(rank).launcher == "Open MPI");
    CHECK(detect_launch(rank).rank == 1);
    CHECK(detect_launch(rank).passed_over.empty());
}

TEST_CASE("Hydra in a batch script starts its proxy with srun, whose variables the ranks inherit") {
    const Environment rank = with(hydra(), {{"MASTER_PORT", "1234"},
                                            {"SLURM_JOB_ID", "7"},
                                            {"SLURM_STEP_ID", "0"},
                                            {"SLURM_STEP_NODELIST", "vm"},
                                            {"SLURM_STEP_NUM_NODES", "1"},
                                            {"SLURM_STEP_NUM_TASKS", "1"},
                                            {"SLURM_STEP_TASKS_PER_NODE", "1"},
                                            {"SLURM_NTASKS", "4"},
                                            {"SLURM_PROCID", "0"},
                                            {"SLURM_LOCALID", "0"},
                                            {"SLURM_NODEID", "0"}});
    const Launch launch = detect_launch(rank);
    CHECK(launch.launcher == "Hydra");
    CHECK(launch.rank == 1);
    CHECK(launch.world_size == 2);
    // Hydra hands the script's SLURM_NTASKS on, by which the step cannot be told from one that is left over.
    CHECK(launch.passed_over.empty());
    const Launch in_one_task = detect_launch(with(rank, "SLURM_NTASKS", "1"));
    CHECK(in_one_task.rank == 1);
    REQUIRE(in_one_task.passed_over.size() == 1);
    CHECK(in_one_task.passed_over[0] ==
          "Slurm (SLURM_PROCID=0, SLURM_STEP_NUM_TASKS=1), whose one process on each node starts others");
}

TEST_CASE("over several nodes of Slurm Hydra's ranks meet by the step of its proxies") {
    // Recorded: mpiexec.hydra -n 4 in sbatch -N 2 --ntasks-per-node 2, the host names changed.
    const Environment rank = both(daemon_step(), {{"PMI_RANK", "2"},
                                                  {"PMI_SIZE", "4"},
                                                  {"MPI_LOCALRANKID", "0"},
                                                  {"MPI_LOCALNRANKS", "2"},
                                                  {"PMI_FD", "999999"},
                                                  {"SLURM_STEP_ID", "2"},
                                                  {"SLURM_NTASKS", "4"},
                                                  {"SLURM_NPROCS", "2"},
                                                  {"SLURM_TASKS_PER_NODE", "1(x2)"},
                                                  {"SLURM_DISTRIBUTION", "cyclic"}});
    const Launch launch = detect_launch(rank);
    CHECK(launch.launcher == "Hydra");
    CHECK(launch.rank == 2);
    CHECK(launch.world_size == 4);
    CHECK(launch.endpoint->host == "gpu1");
    CHECK(launch.job == "3.2");
    CHECK(launch.from.endpoint == "SLURM_STEP_NODELIST, SLURM_JOB_ID and SLURM_STEP_ID");
    CHECK(launch.passed_over.size() == 1);
    // Called in the shell of an interactive step, which all ranks inherit instead: that one says nothing of the
    // proxies.
    CHECK_THAT(refusal(with(rank, {{"SLURM_PROCID", "0"},
                                   {"SLURM_NODEID", "0"},
                                   {"SLURM_STEP_NODELIST", "gpu1"},
                                   {"SLURM_STEP_NUM_NODES", "1"},
                                   {"SLURM_STEP_NUM_TASKS", "1"},
                                   {"SLURM_STEP_TASKS_PER_NODE", "1"}})),
               ContainsSubstring("MASTER_ADDR is not set"));
}

TEST_CASE("what mpirun mixes of a script's variables and a daemon's is not read more closely than needed") {
    // The script's SLURM_NODEID and SLURM_LOCALID beside the list of tasks of a step that does not have that node.
    const Environment mixed = with(open_mpi_in_slurm(), {{"SLURM_LOCALID", "1"}, {"SLURM_STEP_TASKS_PER_NODE", "x"}});
    CHECK(detect_launch(mixed).launcher == "Open MPI");
}

TEST_CASE("ranks of mpirun's daemons are no ranks of the step that started the daemons") {
    const Launch launch = detect_launch(open_mpi_in_slurm());
    CHECK(launch.launcher == "Open MPI");
    CHECK(launch.rank == 5);
    CHECK(launch.world_size == 8);
    CHECK(launch.endpoint->host == "192.0.2.2");
    CHECK_THAT(launcher_text(launch), ContainsSubstring("passed over: Slurm (SLURM_PROCID=1, SLURM_STEP_NUM_TASKS=2)"));

    SECTION("also where Slurm told PMI to the daemon") {
        CHECK(detect_launch(with(open_mpi_in_slurm(), {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}})).rank == 5);
        CHECK_THAT(refusal(with(open_mpi_in_slurm(), {{"PMI_RANK", "0"}, {"PMI_SIZE", "3"}})),
                   ContainsSubstring("PMI_RANK=0, PMI_SIZE=3 of Hydra"));
    }
    SECTION("a rank that happens to have the daemon's numbers chooses no other launcher than the rest") {
        const Launch same = detect_launch(with(open_mpi_in_slurm(), {{"OMPI_COMM_WORLD_RANK", "1"},
                                                                     {"OMPI_COMM_WORLD_SIZE", "2"},
                                                                     {"OMPI_COMM_WORLD_LOCAL_RANK", "0"},
                                                                     {"OMPI_COMM_WORLD_LOCAL_SIZE", "1"},
                                                                     {"PMIX_RANK", "1"}}));
        CHECK(same.launcher == "Open MPI");
        CHECK(same.passed_over.empty());
    }
    SECTION("a step of several tasks on a node starts no daemons: who is inside cannot be told") {
        const auto text =
            refusal(with(open_mpi_in_slurm(), {{"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_STEP_TASKS_PER_NODE", "2(x2)"}}));
        CHECK_THAT(text, ContainsSubstring("two launchers describe this process, and differ: Open MPI and Slurm"));
        CHECK_THAT(text, ContainsSubstring("OMPI_COMM_WORLD_RANK=5, OMPI_COMM_WORLD_SIZE=8 of Open MPI"));
        CHECK_THAT(text, ContainsSubstring("SLURM_PROCID=1, SLURM_STEP_NUM_TASKS=4 of Slurm"));
    }
}

TEST_CASE("srun of an MPI program: PMI, PMIx and Open MPI's names agree with the step") {
    // Recorded with srun --mpi=pmi2: PMI_FD is Slurm's own there, and none of Hydra's names is set.
    const Environment pmi2 =
        with(slurm_step(), {{"PMI_RANK", "1"}, {"PMI_SIZE", "3"}, {"PMI_FD", "13"}, {"PMI_JOBID", "3.0"}});
    CHECK(detect_launch(pmi2).launcher == "Slurm");
    CHECK(detect_launch(with(slurm_step(), "PMIX_RANK", "1")).launcher == "Slurm");
    CHECK(detect_launch(with(slurm_step(), "ALPS_APP_PE", "1")).launcher == "Slurm");
    // PMIx has a plugin for Open MPI that sets its names; then no daemon of Open MPI's was there.
    const Environment by_plugin =
        with(slurm_step(), {{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "3"}, {"PMIX_RANK", "1"}});
    CHECK(detect_launch(by_plugin).launcher == "Slurm");

    SECTION("where they differ, both are named") {
        struct Case {
            const char* name;
            const char* text;
        };
        const auto [name, text] =
            GENERATE(Case{"PMI_RANK", "PMI_RANK=0, PMI_SIZE=3 of Hydra"}, Case{"PMIX_RANK", "PMIX_RANK=0 of PMIx"},
                     Case{"ALPS_APP_PE", "ALPS_APP_PE=0 of ALPS"},
                     Case{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_RANK=0, OMPI_COMM_WORLD_SIZE=3"});
        const Environment all = with(slurm_step(), {{"PMI_SIZE", "3"}, {"OMPI_COMM_WORLD_SIZE", "3"}});
        const auto refused = refusal(with(all, name, "0"));
        CHECK_THAT(refused, ContainsSubstring(text));
        CHECK_THAT(refused, ContainsSubstring("SLURM_PROCID=1, SLURM_STEP_NUM_TASKS=3 of Slurm"));
    }
    SECTION("a size that differs") {
        CHECK_THAT(refusal(with(pmi2, "PMI_SIZE", "4")), ContainsSubstring("PMI_RANK=1, PMI_SIZE=4 of Hydra"));
    }
}

TEST_CASE("Flux and PALS speak PMI as well") {
    const Environment flux{{"FLUX_TASK_RANK", "1"},  {"FLUX_JOB_SIZE", "2"}, {"FLUX_TASK_LOCAL_ID", "1"},
                           {"FLUX_JOB_NNODES", "1"}, {"FLUX_JOB_ID", "f4"},  {"PMI_RANK", "1"},
                           {"PMI_SIZE", "2"}};
    CHECK(detect_launch(flux).launcher == "Flux");
    CHECK_THAT(refusal(with(flux, "PMI_RANK", "0")), ContainsSubstring("PMI_RANK=0, PMI_SIZE=2 of Hydra"));
    // Brokers that srun has started, one on each node.
    Environment in_slurm = daemon_step();
    for (const char* name : {"FLUX_TASK_RANK", "FLUX_JOB_SIZE", "FLUX_TASK_LOCAL_ID", "FLUX_JOB_NNODES", "FLUX_JOB_ID"})
        in_slurm.set(name, *flux.get(name));
    in_slurm.set("SLURM_PROCID", "0");
    CHECK(detect_launch(in_slurm).launcher == "Flux");
    CHECK(detect_launch(in_slurm).rank == 1);

    const Environment pals{{"PALS_RANKID", "1"}, {"PALS_LOCAL_RANKID", "1"}, {"PALS_LOCAL_SIZE", "2"},
                           {"PMI_SIZE", "2"},    {"PMI_RANK", "0"},          {"PALS_APID", "a"}};
    CHECK_THAT(refusal(pals), ContainsSubstring("differ: PALS and Hydra"));
}

TEST_CASE("jsrun sets Open MPI's names for its tasks") {
    const Environment jsrun{
        {"JSM_NAMESPACE_RANK", "1"},       {"JSM_NAMESPACE_SIZE", "2"}, {"JSM_NAMESPACE_LOCAL_RANK", "1"},
        {"JSM_NAMESPACE_LOCAL_SIZE", "2"}, {"LSB_JOBID", "4711"},       {"OMPI_COMM_WORLD_RANK", "1"},
        {"OMPI_COMM_WORLD_SIZE", "2"},     {"PMIX_RANK", "1"}};
    CHECK(detect_launch(jsrun).launcher == "jsrun");
    CHECK_THAT(refusal(with(jsrun, "OMPI_COMM_WORLD_RANK", "0")), ContainsSubstring("differ: jsrun and Open MPI"));
}

TEST_CASE("a complete launcher is not contradicted by half of another") {
    CHECK(detect_launch(with(slurm_step(), "PMI_RANK", "0")).launcher == "Slurm");
    CHECK(detect_launch(with(open_mpi(), "MV2_COMM_WORLD_SIZE", "9")).launcher == "Open MPI");
}

TEST_CASE("mpirun in a pod of an Indexed Job counts its own ranks") {
    CHECK(detect_launch(with(open_mpi(), "JOB_COMPLETION_INDEX", "4")).rank == 1);
}
