// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/detect.hpp>

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
using muster_test::refusal;
using muster_test::with;

namespace {

Environment indexed_job() {
    return {{"JOB_COMPLETION_INDEX", "2"}, {"HOSTNAME", "train-2"}, {"KUBERNETES_SERVICE_HOST", "10.0.0.1"}};
}

Environment trainer() {
    return {{"PET_NNODES", "4"},          {"PET_NODE_RANK", "3"},
            {"PET_NPROC_PER_NODE", "1"},  {"PET_MASTER_ADDR", "job-node-0-0.job"},
            {"PET_MASTER_PORT", "29400"}, {"JOB_COMPLETION_INDEX", "3"}};
}

Environment leader_worker_set() {
    return {{"LWS_LEADER_ADDRESS", "vllm-0.vllm.default"}, {"LWS_GROUP_SIZE", "4"}, {"LWS_WORKER_INDEX", "3"}};
}

Environment sagemaker() {
    return {{"SM_TRAINING_ENV", "{}"},
            {"SM_HOSTS", R"(["algo-1","algo-2","algo-3"])"},
            {"SM_CURRENT_HOST", "algo-2"},
            {"SM_NUM_GPUS", "8"}};
}

} // namespace

TEST_CASE("an Indexed Job numbers pods: how many there are is asked for") {
    const auto text = refusal(indexed_job());
    CHECK_THAT(text, ContainsSubstring("WORLD_SIZE is not set"));
    CHECK_THAT(text, ContainsSubstring("the number of pods stands in the job's spec only"));
    CHECK_THAT(text, ContainsSubstring("JOB_COMPLETION_INDEX=2"));

    const Environment sized = with(indexed_job(), "WORLD_SIZE", "4");
    CHECK_THAT(refusal(sized), ContainsSubstring("set MASTER_ADDR to the name of pod 0, JOB-0.SERVICE"));
    CHECK_THAT(refusal(with(sized, "MASTER_ADDR", "train-0.train")), ContainsSubstring("MASTER_PORT is not set"));
    const Environment full = with(sized, {{"MASTER_ADDR", "train-0.train"}, {"MASTER_PORT", "1234"}});
    const Launch launch = detect_launch(full);
    CHECK(launch.launcher == "Kubernetes Indexed Job");
    CHECK(launch.rank == 2);
    CHECK(launch.world_size == 4);
    CHECK(launch.node_index == 2);
    CHECK(launch.node_count == 4);
    // A pod may start several programs by hand: nobody said that this is the only one.
    CHECK_FALSE(launch.local_rank);
    CHECK(launch.endpoint == Endpoint{"train-0.train", 1234});
    CHECK(launch.from.rank == "JOB_COMPLETION_INDEX");

    SECTION("several processes in a pod say which they are") {
        const Launch second =
            detect_launch(with(full, {{"WORLD_SIZE", "12"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "4"}}));
        CHECK(second.rank == 9);
        CHECK(second.world_size == 12);
        CHECK(second.local_rank == 1);
        CHECK(second.local_size == 4);
        CHECK(second.node_count == 3);
        CHECK(second.from.rank == "JOB_COMPLETION_INDEX and LOCAL_WORLD_SIZE and LOCAL_RANK");
        CHECK_THAT(refusal(with(full, "LOCAL_RANK", "1")), ContainsSubstring("LOCAL_WORLD_SIZE is not set"));
        CHECK_THAT(refusal(with(full, "LOCAL_WORLD_SIZE", "2")), ContainsSubstring("LOCAL_RANK is not set"));
        CHECK_THAT(refusal(with(full, {{"WORLD_SIZE", "9"}, {"LOCAL_RANK", "0"}, {"LOCAL_WORLD_SIZE", "4"}})),
                   ContainsSubstring("does not fit in a world of 9"));
    }
    SECTION("a pod beyond the world") {
        CHECK_THAT(refusal(with(full, "WORLD_SIZE", "2")), ContainsSubstring("does not fit in a world of 2"));
        CHECK_THAT(refusal(with(
                       full, {{"JOB_COMPLETION_INDEX", "2147483646"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"}})),
                   ContainsSubstring("does not fit"));
        CHECK_THAT(refusal(with(full, "JOB_COMPLETION_INDEX", "x")),
                   ContainsSubstring("JOB_COMPLETION_INDEX=x is not"));
    }
    SECTION("pods that are jobs of their own, or say all themselves") {
        CHECK(detect_launch(with(indexed_job(), {{"RANK", "0"}, {"WORLD_SIZE", "1"}})).world_size == 1);
        const Launch told = detect_launch(with(full, {{"RANK", "1"}, {"WORLD_SIZE", "2"}}));
        CHECK(told.launcher == "environment");
        CHECK(told.rank == 1);
    }
}

TEST_CASE("the Kubeflow Trainer speaks to torchrun; a node with one process is a rank") {
    const Launch launch = detect_launch(trainer());
    CHECK(launch.launcher == "Kubeflow Trainer");
    CHECK(launch.rank == 3);
    CHECK(launch.world_size == 4);
    CHECK(launch.local_rank == 0);
    CHECK(launch.local_size == 1);
    CHECK(launch.from.local_size == "PET_NPROC_PER_NODE");
    CHECK(launch.endpoint == Endpoint{"job-node-0-0.job", 29400});
    CHECK(launch.from.endpoint == "PET_MASTER_ADDR, PET_MASTER_PORT");

    SECTION("several processes for each node are torchrun's to start") {
        const auto text = refusal(with(trainer(), "PET_NPROC_PER_NODE", GENERATE("8", "auto", "gpu")));
        CHECK_THAT(text, ContainsSubstring("torchrun did not start this one"));
        CHECK_THAT(text, ContainsSubstring("PET_NODE_RANK=3"));
        CHECK_THAT(text, ContainsSubstring("start the program with torchrun"));
        CHECK_THAT(refusal(with(trainer(), "PET_NNODES", "1:4")), ContainsSubstring("start the program with torchrun"));
    }
    SECTION("or say themselves which they are") {
        const Launch told = detect_launch(
            with(trainer(), {{"PET_NPROC_PER_NODE", "8"}, {"LOCAL_RANK", "5"}, {"LOCAL_WORLD_SIZE", "8"}}));
        CHECK(told.rank == 29);
        CHECK(told.world_size == 32);
    }
    SECTION("half-set, garbage, out of range") {
        CHECK_THAT(refusal(with(trainer(), "PET_NODE_RANK", "")), ContainsSubstring("PET_NODE_RANK is not set"));
        CHECK_THAT(refusal(with(trainer(), "PET_NODE_RANK", "4")),
                   ContainsSubstring("PET_NODE_RANK=4 is out of range"));
        CHECK_THAT(refusal(with(trainer(), "PET_NNODES", "four")), ContainsSubstring("PET_NNODES=four is not"));
        CHECK_THAT(refusal(with(trainer(), "PET_MASTER_PORT", "0")), ContainsSubstring("PET_MASTER_PORT=0 is out of"));
        CHECK_THAT(refusal(with(trainer(), "PET_MASTER_ADDR", "")), ContainsSubstring("MASTER_ADDR is not set"));
        CHECK_THAT(refusal(with(trainer(), "WORLD_SIZE", "8")), ContainsSubstring("WORLD_SIZE=8 contradicts 4 pods"));
    }
    SECTION("MASTER_ADDR and MASTER_PORT win") {
        CHECK(detect_launch(with(trainer(), {{"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}})).endpoint ==
              Endpoint{"a", 1});
    }
}

TEST_CASE("PyTorchJob's RANK is the pod's") {
    // Without PET_* it cannot be told from a shell loop; no local rank is made up.
    const Environment pytorch_job{
        {"RANK", "3"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "job-master-0"}, {"MASTER_PORT", "23456"}};
    const Launch launch = detect_launch(pytorch_job);
    CHECK(launch.launcher == "environment");
    CHECK(launch.rank == 3);
    CHECK_FALSE(launch.local_rank);

    const Environment newer = with(pytorch_job, {{"PET_NNODES", "4"},
                                                 {"PET_NODE_RANK", "3"},
                                                 {"PET_MASTER_ADDR", "job-master-0"},
                                                 {"PET_MASTER_PORT", "23456"}});
    CHECK(detect_launch(newer).rank == 3);
    CHECK(detect_launch(with(newer, "PET_NPROC_PER_NODE", "auto")).rank == 3);
    CHECK_THAT(refusal(with(newer, "PET_NPROC_PER_NODE", "8")), ContainsSubstring("start the program with torchrun"));
    CHECK_THAT(refusal(with(newer, "PET_NODE_RANK", "2")), ContainsSubstring("RANK=3 contradicts PET_NODE_RANK=2"));
    // A script that starts the processes itself says so.
    CHECK(detect_launch(with(newer, {{"PET_NPROC_PER_NODE", "8"},
                                     {"RANK", "25"},
                                     {"WORLD_SIZE", "32"},
                                     {"LOCAL_RANK", "1"},
                                     {"LOCAL_WORLD_SIZE", "8"}}))
              .rank == 25);
}

TEST_CASE("a LeaderWorkerSet has an address, and a port by its leader's name") {
    const Launch launch = detect_launch(leader_worker_set());
    CHECK(launch.launcher == "LeaderWorkerSet");
    CHECK(launch.rank == 3);
    CHECK(launch.world_size == 4);
    CHECK_FALSE(launch.local_rank);
    CHECK(launch.endpoint->host == "vllm-0.vllm.default");
    CHECK(launch.endpoint->port >= 61440);
    CHECK(launch.from.endpoint == "LWS_LEADER_ADDRESS, LWS_LEADER_ADDRESS");
    CHECK_THAT(refusal(with(leader_worker_set(), "LWS_GROUP_SIZE", "")),
               ContainsSubstring("LWS_GROUP_SIZE is not set"));
    CHECK_THAT(refusal(with(leader_worker_set(), "LWS_WORKER_INDEX", "")),
               ContainsSubstring("LWS_WORKER_INDEX is not set"));
    CHECK_THAT(refusal(with(leader_worker_set(), "LWS_WORKER_INDEX", "4")), ContainsSubstring("LWS_WORKER_INDEX=4"));
}

TEST_CASE("SageMaker without MPI runs a program once on each host") {
    const Launch launch = detect_launch(sagemaker());
    CHECK(launch.launcher == "SageMaker");
    CHECK(launch.rank == 1);
    CHECK(launch.world_size == 3);
    CHECK_FALSE(launch.local_rank);
    CHECK(launch.node_index == 1);
    CHECK(launch.node_count == 3);
    CHECK(launch.endpoint->host == "algo-1");
    CHECK(launch.from.rank == "SM_CURRENT_HOST");
    CHECK(detect_launch(with(sagemaker(), "SM_HOSTS", " [ \"algo-1\" , \"algo-2\" ] ")).world_size == 2);
    CHECK(detect_launch(with(sagemaker(), {{"SM_HOSTS", R"(["algo-2"])"}})).world_size == 1);
    CHECK_THAT(refusal(with(sagemaker(), "SM_CURRENT_HOST", "algo-4")),
               ContainsSubstring("SM_CURRENT_HOST=algo-4 is not in"));
    CHECK_THAT(refusal(with(sagemaker(), "SM_CURRENT_HOST", "")), ContainsSubstring("SM_CURRENT_HOST is not set"));
    const std::string bad = GENERATE("algo-1", "[]", "[", "[\"", "[\"a", "[\"a\"", "[\"a\",]", "[\"a\" \"b\"]",
                                     "[\"a\"]x", "[a]", "[1]", "[\"\"]", "[\"a\\u0062\"]", "\"a\"", "[[\"a\"]]", " ");
    CHECK_THAT(refusal(with(sagemaker(), "SM_HOSTS", bad)), ContainsSubstring("cannot be read"));
}
