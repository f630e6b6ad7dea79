// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/detect.hpp>
#include <muster/launch/slurm.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

#include "environments.hpp"

using Catch::Matchers::ContainsSubstring;
using muster::detect_launch;
using muster::Endpoint;
using muster::Environment;
using muster::Launch;
using muster::Wanted;
using muster::detail::tasks_on_node;
using muster_test::batch_script;
using muster_test::refusal;
using muster_test::slurm_step;
using muster_test::slurm_step_of_four_nodes;
using muster_test::with;

TEST_CASE("a step of Slurm on one node") {
    const Launch launch = detect_launch(slurm_step());
    CHECK(launch.launcher == "Slurm");
    CHECK(launch.rank == 1);
    CHECK(launch.world_size == 3);
    CHECK(launch.local_rank == 1);
    CHECK(launch.local_size == 3);
    CHECK(launch.node_index == 0);
    CHECK(launch.node_count == 1);
    CHECK(launch.from.rank == "SLURM_PROCID");
    CHECK(launch.from.world_size == "SLURM_STEP_NUM_TASKS");
    CHECK(launch.from.local_size == "SLURM_STEP_TASKS_PER_NODE");
    CHECK(launch.job == "3.0");
    REQUIRE(launch.endpoint);
    CHECK(launch.endpoint->host == "127.0.0.1");
    CHECK(launch.endpoint->port >= 61440);
    CHECK(launch.from.endpoint == "one host by SLURM_STEP_NUM_NODES, SLURM_JOB_ID and SLURM_STEP_ID");
}

TEST_CASE("a step of Slurm on several nodes meets on the first of them") {
    const Launch launch = detect_launch(slurm_step_of_four_nodes());
    CHECK(launch.rank == 4);
    CHECK(launch.world_size == 7);
    CHECK(launch.local_rank == 0);
    CHECK(launch.local_size == 2);
    CHECK(launch.node_index == 2);
    CHECK(launch.node_count == 4);
    CHECK(launch.endpoint->host == "gpu01");
    CHECK(launch.from.endpoint == "SLURM_STEP_NODELIST, SLURM_JOB_ID and SLURM_STEP_ID");

    SECTION("the last node has fewer") {
        const Launch last = detect_launch(
            with(slurm_step_of_four_nodes(), {{"SLURM_PROCID", "6"}, {"SLURM_NODEID", "3"}, {"SLURM_GTIDS", "6"}}));
        CHECK(last.local_size == 1);
        CHECK(last.endpoint == launch.endpoint);
    }
    SECTION("MASTER_ADDR and MASTER_PORT win") {
        const Environment told = with(slurm_step_of_four_nodes(), {{"MASTER_ADDR", "ib0"}, {"MASTER_PORT", "1234"}});
        CHECK(detect_launch(told).endpoint == Endpoint{"ib0", 1234});
        // Then nobody reads the list.
        CHECK(detect_launch(with(told, "SLURM_STEP_NODELIST", "gpu[01")).rank == 4);
    }
    SECTION("a list that cannot be read is quoted") {
        CHECK_THAT(refusal(with(slurm_step_of_four_nodes(), "SLURM_STEP_NODELIST", "gpu[01")),
                   ContainsSubstring("a bracket is not closed"));
    }
    SECTION("fallbacks of older versions") {
        const Launch fallback = detect_launch(
            with(slurm_step_of_four_nodes(),
                 {{"SLURM_STEP_NUM_TASKS", ""}, {"SLURM_STEP_NUM_NODES", ""}, {"SLURM_STEP_TASKS_PER_NODE", ""}}));
        CHECK(fallback.world_size == 7);
        CHECK(fallback.from.world_size == "SLURM_NTASKS");
        CHECK(fallback.node_count == 4);
        CHECK(fallback.from.node_count == "SLURM_STEP_NODELIST");
        CHECK(fallback.local_size == 2);
        CHECK(fallback.from.local_size == "SLURM_GTIDS");
    }
}

TEST_CASE("steps, jobs and array elements of Slurm meet at ports of their own") {
    const auto port = [](const std::string& job, const std::string& step) {
        return detect_launch(with(slurm_step(), {{"SLURM_JOB_ID", job}, {"SLURM_STEP_ID", step}})).endpoint->port;
    };
    // The elements of an array have consecutive job ids; the steps of a job share one.
    CHECK(port("1000", "0") != port("1000", "1"));
    CHECK(port("1000", "0") != port("1001", "0"));
    CHECK(port("1000", "1") != port("1001", "0"));
    CHECK(port("100", "11") != port("1001", "1"));
    CHECK(port("1000", "0") == port("1000", "0"));
    const auto text = refusal(with(slurm_step(), "SLURM_STEP_ID", ""));
    CHECK_THAT(text, ContainsSubstring("MASTER_PORT is not set"));
    CHECK_THAT(text, ContainsSubstring("export MASTER_PORT=... before srun"));
}

TEST_CASE("srun --preserve-env leaves in SLURM_NTASKS what sbatch has set: the step's own number counts") {
    CHECK(detect_launch(with(slurm_step(), {{"SLURM_NTASKS", "64"}, {"SLURM_TASKS_PER_NODE", "64"}})).world_size == 3);
}

TEST_CASE("a batch script that was submitted from within a step has that step's variables, but is none of its tasks") {
    // Recorded: srun -n 1 sh -c 'sbatch -n 3 ...'. From srun --pty bash it is the same.
    const Environment script = with(batch_script(), {{"SLURM_STEP_ID", "0"},
                                                     {"SLURM_STEP_NODELIST", "vm"},
                                                     {"SLURM_STEP_NUM_NODES", "1"},
                                                     {"SLURM_STEP_NUM_TASKS", "1"},
                                                     {"SLURM_STEP_TASKS_PER_NODE", "1"}});
    const auto text = refusal(script);
    CHECK_THAT(text, ContainsSubstring("allocation of 3 tasks, but srun did not start it"));
    CHECK_THAT(text, ContainsSubstring("SLURM_STEP_NUM_TASKS=1"));
    // From within a step of more, the ranks of this node tell.
    const auto more = refusal(with(script, {{"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_STEP_TASKS_PER_NODE", "2"}}));
    CHECK_THAT(more, ContainsSubstring("means 2 tasks on node 0, but SLURM_GTIDS='0' names 1"));
    CHECK_THAT(more, ContainsSubstring("start the program with srun"));
    // In such a script srun and mpirun set what is theirs.
    CHECK(detect_launch(with(script, {{"RANK", "0"}, {"WORLD_SIZE", "1"}})).launcher == "environment");
    CHECK(detect_launch(with(muster_test::hydra(), {{"SLURM_JOB_ID", "3"},
                                                    {"SLURM_NTASKS", "3"},
                                                    {"SLURM_STEP_NUM_TASKS", "1"},
                                                    {"SLURM_STEP_NUM_NODES", "1"},
                                                    {"SLURM_PROCID", "0"},
                                                    {"MASTER_PORT", "1234"}}))
              .launcher == "Hydra");
}

TEST_CASE("half of Slurm's step") {
    CHECK_THAT(refusal(with(slurm_step(), "SLURM_PROCID", "")), ContainsSubstring("SLURM_PROCID is not set"));
    CHECK_THAT(refusal(with(slurm_step(), {{"SLURM_STEP_NUM_TASKS", ""}, {"SLURM_NTASKS", ""}, {"SLURM_NPROCS", ""}})),
               ContainsSubstring("SLURM_STEP_NUM_TASKS is not set"));
    CHECK_THAT(refusal({{"SLURM_STEP_NODELIST", "vm"}}), ContainsSubstring("srun"));
}

TEST_CASE("Slurm's numbers are checked") {
    struct Case {
        const char* name;
        const char* value;
        const char* text;
    };
    const auto [name, value, text] = GENERATE(
        Case{"SLURM_PROCID", "3", "SLURM_PROCID=3 is out of range"},
        Case{"SLURM_PROCID", "1x", "SLURM_PROCID=1x is not"},
        Case{"SLURM_STEP_NUM_TASKS", "99999999999", "SLURM_STEP_NUM_TASKS=99999999999 is out of range"},
        Case{"SLURM_LOCALID", "-1", "SLURM_LOCALID=-1 is out of range"},
        Case{"SLURM_LOCALID", "3", "SLURM_LOCALID=3 is out"},
        Case{"SLURM_NODEID", "1", "SLURM_NODEID=1 is out of range"},
        Case{"SLURM_STEP_NUM_NODES", "0", "SLURM_STEP_NUM_NODES=0 is out of range"},
        Case{"SLURM_STEP_TASKS_PER_NODE", "4", "='4' means 4 tasks on node 0, but SLURM_GTIDS='0,1,2' names 3"},
        Case{"SLURM_GTIDS", "1", "='3' means 3 tasks on node 0, but SLURM_GTIDS='1' names 1"},
        Case{"SLURM_STEP_TASKS_PER_NODE", "x", "SLURM_STEP_TASKS_PER_NODE='x' cannot be read"});
    CHECK_THAT(refusal(with(slurm_step(), name, value)), ContainsSubstring(text));
    const auto alone = with(slurm_step(), {{"SLURM_STEP_TASKS_PER_NODE", "1"}, {"SLURM_GTIDS", "1"}});
    CHECK_THAT(refusal(alone), ContainsSubstring("local rank 1 of 1 on this node, by SLURM_STEP_TASKS_PER_NODE"));
    const auto many = with(slurm_step(), {{"SLURM_STEP_TASKS_PER_NODE", "4"}, {"SLURM_GTIDS", "0,1,2,3"}});
    CHECK_THAT(refusal(many), ContainsSubstring("world size 3, by SLURM_STEP_NUM_TASKS"));
}

TEST_CASE("tasks on each node, as Slurm compresses them") {
    CHECK(tasks_on_node("3", 0) == 3);
    for (int node = 0; node < 4; ++node) CHECK(tasks_on_node("2(x3),1", node) == (node < 3 ? 2 : 1));
    CHECK(tasks_on_node("4,2(x2),8", 0) == 4);
    CHECK(tasks_on_node("4,2(x2),8", 2) == 2);
    CHECK(tasks_on_node("4,2(x2),8", 3) == 8);
    CHECK(tasks_on_node("1(x2147483647),2", 2147483646) == 1);
    CHECK(tasks_on_node("1(x2147483647),1(x2147483647)", 2147483647) == 1);
    const std::string bad =
        GENERATE("", ",", "2,", ",2", "2(x", "2(x3", "2(x)", "2(3)", "2(x3)1", "2(x0)", "0", "-1", "2(x-1)", "2 (x3)",
                 "2(x3),,1", "2147483648", "99999999999", "2(x99999999999)", "two");
    CHECK_THAT(muster_test::refusal_of([&] { return tasks_on_node(bad, 0); }), ContainsSubstring("cannot be read"));
    CHECK_THAT(muster_test::refusal_of([&] { return tasks_on_node("2(x3),1", 4); }),
               ContainsSubstring("is for 4 nodes"));
}

TEST_CASE("a bare program in a batch script of several tasks is told to use srun") {
    const auto text = refusal(batch_script());
    CHECK_THAT(text, ContainsSubstring("allocation of 3 tasks, but srun did not start it"));
    CHECK_THAT(text, ContainsSubstring("SLURM_NTASKS=3"));
    CHECK_THAT(text, ContainsSubstring("start the program with srun"));

    SECTION("whatever says how many tasks there are") {
        const Environment none = with(batch_script(), {{"SLURM_NTASKS", ""}, {"SLURM_NPROCS", ""}});
        CHECK(refusal(none).empty());
        CHECK_THAT(refusal(with(none, "SLURM_NPROCS", "3")), ContainsSubstring("of 3 tasks"));
        CHECK_THAT(refusal(with(none, "SLURM_JOB_NUM_NODES", "2")), ContainsSubstring("of 2 tasks"));
        CHECK_THAT(refusal(with(none, "SLURM_NTASKS_PER_NODE", "4")), ContainsSubstring("of 4 tasks"));
    }
    SECTION("a shell in the allocation is a world of one, and says so") {
        const Environment shell = with(batch_script(), {{"SLURM_JOB_NAME", "interactive"}, {"SLURM_PROCID", ""}});
        const Launch launch = detect_launch(shell);
        CHECK(launch.world_size == 1);
        CHECK(launcher_text(launch) == "none (passed over: Slurm, a shell in an allocation of 3 tasks)");
    }
    SECTION("a program of salloc's with a name of its own is none") {
        CHECK_THAT(refusal(with(batch_script(), {{"SLURM_PROCID", ""}, {"SLURM_LOCALID", ""}, {"SLURM_NODEID", ""}})),
                   ContainsSubstring("start the program with srun"));
    }
    SECTION("a script of one task is a world of one") {
        const Launch launch = detect_launch(with(batch_script(), {{"SLURM_NTASKS", "1"}, {"SLURM_NPROCS", "1"}}));
        CHECK(launch.world_size == 1);
        CHECK(launch.launcher == "none");
    }
    SECTION("a loop in the script says itself who its processes are") {
        const Launch launch = detect_launch(
            with(batch_script(),
                 {{"RANK", "2"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "localhost"}, {"MASTER_PORT", "1234"}}));
        CHECK(launch.rank == 2);
        CHECK(launch.launcher == "environment");
        CHECK(detect_launch(with(batch_script(), {{"RANK", "0"}, {"WORLD_SIZE", "1"}})).world_size == 1);
    }
}

TEST_CASE("an interactive step is a world of one, whatever was allocated") {
    // Recorded: the shell of salloc -N 2 -n 4 with LaunchParameters=use_interactive_step.
    const Launch launch = detect_launch(with(batch_script(), {{"SLURM_JOB_NAME", "interactive"},
                                                              {"SLURM_NTASKS", "4"},
                                                              {"SLURM_NPROCS", "4"},
                                                              {"SLURM_JOB_NUM_NODES", "2"},
                                                              {"SLURM_TASKS_PER_NODE", "3,1"},
                                                              {"SLURM_STEP_ID", "4294967290"},
                                                              {"SLURM_STEP_NODELIST", "127.0.0.1"},
                                                              {"SLURM_STEP_NUM_NODES", "1"},
                                                              {"SLURM_STEP_NUM_TASKS", "1"},
                                                              {"SLURM_STEP_TASKS_PER_NODE", "1"}}));
    CHECK(launch.world_size == 1);
    CHECK(launch.launcher == "Slurm");
}

TEST_CASE("torch's names beside a step must agree with it") {
    CHECK(refusal(with(slurm_step(), {{"RANK", "1"}, {"WORLD_SIZE", "3"}, {"LOCAL_RANK", "1"}})).empty());
    // As a script does that exports them before srun, where SLURM_PROCID is its own.
    CHECK_THAT(refusal(with(slurm_step(), "RANK", "0")),
               ContainsSubstring("RANK=0 contradicts SLURM_PROCID=1 of Slurm"));
    CHECK_THAT(refusal(with(slurm_step(), "WORLD_SIZE", "4")),
               ContainsSubstring("WORLD_SIZE=4 contradicts SLURM_STEP_NUM_TASKS=3 of Slurm"));
    CHECK_THAT(refusal(with(slurm_step(), "LOCAL_WORLD_SIZE", "1")),
               ContainsSubstring("LOCAL_WORLD_SIZE=1 contradicts SLURM_STEP_TASKS_PER_NODE=3 of Slurm"));
}

TEST_CASE("who a rank of Slurm is can be asked for alone") {
    const Launch launch = detect_launch(with(slurm_step(), "SLURM_STEP_ID", ""), Wanted::identity);
    CHECK(launch.rank == 1);
    CHECK_FALSE(launch.endpoint);
}
