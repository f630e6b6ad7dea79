// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/cloud.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/launcher.hpp>
#include <muster/launch/meeting_point.hpp>
#include <muster/launch/parse.hpp>
#include <muster/launch/variables.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Launchers that number pods or hosts, not processes: torchrun is meant to start the processes of each. A program that
// is started directly is the one process of its pod, or says with LOCAL_RANK and LOCAL_WORLD_SIZE which of them it is.
namespace muster::inline v0_1::detail {

/// Which pod this is, and how many there are.
struct Pods {
    int index = 0;
    std::optional<int> count; ///< nothing where the launcher does not tell
    std::string index_from, count_from;
};

struct PodLauncher {
    Variables names; ///< rank and world_size name the pod's; for error texts
    std::string_view marker;
    Pods (*pods)(const Environment&, const Variables&);
    Hints (*hints)(const Environment&) = nullptr;
};

[[nodiscard]] inline Pods pods_by_name(const Environment& environment, const Variables& names) {
    const auto count = parse_int(environment, names.world_size[0], 1, most_ranks);
    const auto index = parse_int(environment, names.rank[0], 0, count.value_or(most_ranks) - 1);
    if (!index) missing_variable(environment, names.rank[0], names, "the index of this pod");
    if (!count) missing_variable(environment, names.world_size[0], names, "the number of pods");
    return {*index, count, std::string(names.rank[0]), std::string(names.world_size[0])};
}

[[noreturn]] inline void refuse_without_torchrun(const Environment& environment) {
    throw Error(errc::invalid_launch, Stage::launch,
                format("PET_* ask torchrun for the processes of a node, but torchrun did not start this one\n  seen: "
                       "{}\n  do: start the program with torchrun --no-python ./program, or set RANK, WORLD_SIZE, "
                       "LOCAL_RANK and LOCAL_WORLD_SIZE for each process",
                       {seen(environment, {"PET_NNODES", "PET_NODE_RANK", "PET_NPROC_PER_NODE", "PET_MASTER_ADDR",
                                           "PET_MASTER_PORT", "RANK", "WORLD_SIZE"})}));
}

/// Trainer v2 of Kubeflow speaks to torchrun. Only with one process for each node is the node the rank.
[[nodiscard]] inline Pods pods_of_trainer(const Environment& environment, const Variables& names) {
    const auto each = environment.get("PET_NPROC_PER_NODE").value_or("1"); // torchrun's own default
    const bool elastic = environment.get("PET_NNODES").value_or("").find(':') != std::string::npos;
    if (elastic || (each != "1" && !environment.has("LOCAL_WORLD_SIZE"))) refuse_without_torchrun(environment);
    return pods_by_name(environment, names);
}

/// PyTorchJob of Kubeflow sets RANK and WORLD_SIZE, too, and its RANK is the pod's.
/// Throws: Error(errc::invalid_launch) where a pod is to have several processes and this one does not say which it is,
/// or where the pod's two numbers differ.
inline void check_pytorch_job(const Environment& environment) {
    if (!environment.has("PET_NNODES") || environment.has("LOCAL_RANK")) return;
    const auto each = environment.get("PET_NPROC_PER_NODE").value_or("1");
    const bool number = each.find_first_not_of("0123456789") == std::string::npos; // else auto, gpu, cpu
    if (number && each != "1") refuse_without_torchrun(environment);
    const auto rank = parse_int(environment, "RANK", 0, most_ranks);
    const auto node = parse_int(environment, "PET_NODE_RANK", 0, most_ranks);
    if (node && rank != node)
        throw Error(errc::invalid_launch, Stage::launch,
                    format("RANK={} contradicts PET_NODE_RANK={} of Kubeflow\n  do: unset one of them, or set "
                           "LOCAL_RANK where a pod has several processes",
                           {*rank, *node}));
}

/// SageMaker without MPI runs the program once on each host of SM_HOSTS.
[[nodiscard]] inline Pods pods_of_sagemaker(const Environment& environment, const Variables& names) {
    const auto hosts = sagemaker_hosts(environment);
    const auto own = environment.get("SM_CURRENT_HOST");
    if (!hosts) missing_variable(environment, "SM_HOSTS", names, "the JSON list of all hosts");
    if (!own) missing_variable(environment, "SM_CURRENT_HOST", names, "this host's name");
    const auto found = std::ranges::find(*hosts, *own);
    if (found == hosts->end())
        throw Error(errc::invalid_launch, Stage::launch,
                    format("SM_CURRENT_HOST={} is not in SM_HOSTS={}\n  do: leave these variables as SageMaker sets "
                           "them, or set RANK and WORLD_SIZE",
                           {*own, *environment.get("SM_HOSTS")}));
    return {static_cast<int>(found - hosts->begin()), static_cast<int>(hosts->size()), "SM_CURRENT_HOST", "SM_HOSTS"};
}

/// The completion index of an Indexed Job, alone or in a JobSet. How many there are stands in the job's spec only.
[[nodiscard]] inline Pods pods_of_job(const Environment& environment, const Variables& names) {
    return {*parse_int(environment, names.rank[0], 0, most_ranks - 1), {}, std::string(names.rank[0]), {}};
}

[[nodiscard]] inline Hints hints_of_trainer(const Environment& environment) {
    return {either(environment, {"PET_MASTER_ADDR"}), {}, "PET_MASTER_PORT"};
}

/// The leader's name tells the groups apart, and pods have ports of their own.
[[nodiscard]] inline Hints hints_of_leader(const Environment& environment) {
    const auto leader = either(environment, {"LWS_LEADER_ADDRESS"});
    return {leader, leader};
}

/// Jobs do not share hosts: a port that all ranks derive alike is enough.
[[nodiscard]] inline Hints hints_of_sagemaker(const Environment& environment) {
    const auto first = cloud_master(environment);
    return {first, first};
}

/// In the order in which they are looked for: those of Kubeflow run in Indexed Jobs.
inline constexpr std::array pod_launchers{
    PodLauncher{.names = {.launcher = "Kubeflow Trainer",
                          .rank = {"PET_NODE_RANK"},
                          .world_size = {"PET_NNODES"},
                          .local_size = {"PET_NPROC_PER_NODE"},
                          .start = "start the program with torchrun --no-python",
                          .pass = "env of the container"},
                .marker = "PET_NNODES",
                .pods = pods_of_trainer,
                .hints = hints_of_trainer},
    PodLauncher{.names = {.launcher = "LeaderWorkerSet",
                          .rank = {"LWS_WORKER_INDEX"},
                          .world_size = {"LWS_GROUP_SIZE"},
                          .pass = "env of the container"},
                .marker = "LWS_LEADER_ADDRESS",
                .pods = pods_by_name,
                .hints = hints_of_leader},
    PodLauncher{.names = {.launcher = "SageMaker",
                          .rank = {"SM_CURRENT_HOST"},
                          .world_size = {"SM_HOSTS"},
                          .pass = "environment= of the estimator"},
                .marker = "SM_HOSTS",
                .pods = pods_of_sagemaker,
                .hints = hints_of_sagemaker},
    PodLauncher{.names = {.launcher = "Kubernetes Indexed Job",
                          .rank = {"JOB_COMPLETION_INDEX"},
                          .world_size = {"WORLD_SIZE"},
                          .pass = "env of the container",
                          .lacks = "; the number of pods stands in the job's spec only",
                          .rank_0 = "the name of pod 0, JOB-0.SERVICE with the job's headless service"},
                .marker = "JOB_COMPLETION_INDEX",
                .pods = pods_of_job}};

/// How many processes a pod has, and which of them this is.
struct Within {
    std::optional<int> rank, size;
};

[[nodiscard]] inline Within within_pod(const Environment& environment, const Variables& names) {
    Within within;
    within.size = parse_int(environment, "LOCAL_WORLD_SIZE", 1, most_ranks);
    within.rank = parse_int(environment, "LOCAL_RANK", 0, within.size.value_or(most_ranks) - 1);
    // One alone is enough where the pod has one process.
    if (within.rank.value_or(0) > 0 && !within.size)
        missing_variable(environment, "LOCAL_WORLD_SIZE", names, "the number of processes of this pod");
    if (within.size.value_or(1) > 1 && !within.rank)
        missing_variable(environment, "LOCAL_RANK", names, "the index of this process in its pod");
    return within;
}

[[nodiscard]] inline Launch detect_pod(const PodLauncher& launcher, const Environment& environment, Wanted wanted) {
    const Variables& names = launcher.names;
    const Pods pods = launcher.pods(environment, names);
    const Within within = within_pod(environment, names);
    const int each = within.size.value_or(1);
    Launch launch;
    launch.launcher = names.launcher;
    launch.environment = environment;
    launch.node_index = pods.index;
    launch.local_rank = within.rank;
    launch.local_size = within.size;
    launch.from.node_index = pods.index_from;
    if (within.rank) launch.from.local_rank = "LOCAL_RANK";
    if (within.size) launch.from.local_size = "LOCAL_WORLD_SIZE";
    if (!within.rank && !within.size && environment.get(names.local_size[0]) == "1") {
        launch.local_rank = 0;
        launch.local_size = 1;
        launch.from.local_rank = launch.from.local_size = names.local_size[0];
    }

    // WORLD_SIZE counts processes, as it does for torch.
    const auto told = parse_int(environment, "WORLD_SIZE", 1, most_ranks);
    if (!pods.count && !told)
        missing_variable(environment, "WORLD_SIZE", names,
                         "the number of processes of all pods; where each pod is a job of its own, set RANK=0, too");
    const std::int64_t product = std::int64_t{pods.count.value_or(1)} * each;
    const std::int64_t world_size = pods.count ? product : *told;
    const std::int64_t rank = std::int64_t{pods.index} * each + within.rank.value_or(0);
    const auto refuse = [&](std::string_view why) {
        throw Error(errc::invalid_launch, Stage::launch,
                    format("{}\n  seen: {}\n  do: set RANK and WORLD_SIZE for each process, or correct these",
                           {why, seen(environment, {names.rank[0], names.world_size[0], "WORLD_SIZE", "LOCAL_RANK",
                                                    "LOCAL_WORLD_SIZE"})}));
    };
    if (pods.count && told && *told != world_size)
        refuse(format("WORLD_SIZE={} contradicts {} pods of {} with {} processes each",
                      {*told, *pods.count, names.launcher, each}));
    if (world_size > most_ranks || rank >= world_size || world_size % each != 0)
        refuse(format("pod {} of {} with {} processes each does not fit in a world of {}",
                      {pods.index, names.launcher, each, world_size}));
    launch.rank = static_cast<int>(rank);
    launch.world_size = static_cast<int>(world_size);
    launch.node_count = launch.world_size / each;
    const std::string_view times = each > 1 ? " and LOCAL_WORLD_SIZE" : "";
    launch.from.rank = each > 1 ? format("{}{} and LOCAL_RANK", {pods.index_from, times}) : pods.index_from;
    launch.from.world_size = pods.count ? format("{}{}", {pods.count_from, times}) : "WORLD_SIZE";
    launch.from.node_count = pods.count ? pods.count_from : format("WORLD_SIZE{}", {times});

    Hints hints = launcher.hints != nullptr ? launcher.hints(environment) : Hints{};
    find_endpoint(launch, names, hints, wanted);
    return launch;
}

} // namespace muster::inline v0_1::detail
