// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/host_list.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/launcher.hpp>
#include <muster/launch/parse.hpp>
#include <muster/launch/variables.hpp>
#include <muster/store/printable.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace muster::inline v0_1::detail {

/// Number of tasks on the node of that index, as Slurm writes them: "2(x3),1" means 2, 2, 2, 1.
/// Throws: Error(errc::invalid_launch) where the text is of another form, or has fewer nodes.
[[nodiscard]] inline int tasks_on_node(std::string_view text, int node) {
    const auto refuse = [&](std::string_view why) {
        throw Error(errc::invalid_launch, Stage::launch,
                    format("SLURM_STEP_TASKS_PER_NODE={} {}\n  wanted: a form as 2(x3),1 with an entry for node {} "
                           "(SLURM_NODEID)",
                           {printable(text), why, node}));
    };
    std::optional<int> found;
    std::uint64_t nodes = 0;
    std::string_view rest = text;
    const auto number = [&] {
        std::uint32_t value = 0;
        const auto [end, failure] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
        if (failure != std::errc() || value == 0 || value > static_cast<std::uint32_t>(most_ranks))
            refuse("cannot be read");
        rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
        return value;
    };
    while (true) {
        const std::uint32_t tasks = number();
        std::uint32_t times = 1;
        if (rest.starts_with("(x")) {
            rest.remove_prefix(2);
            times = number();
            if (!rest.starts_with(')')) refuse("cannot be read");
            rest.remove_prefix(1);
        }
        nodes += times;
        if (!found && nodes > static_cast<std::uint64_t>(node)) found = static_cast<int>(tasks);
        if (rest.empty()) break;
        if (!rest.starts_with(',')) refuse("cannot be read");
        rest.remove_prefix(1);
    }
    if (!found) refuse(format("is for {} nodes", {nodes}));
    return *found;
}

/// How many tasks srun would start here, as far as the allocation tells.
[[nodiscard]] inline int tasks_of_allocation(const Environment& environment) {
    const Names tasks{"SLURM_NTASKS", "SLURM_NPROCS"};
    if (const auto told = parse_int(environment, chosen(environment, tasks), 1, most_ranks)) return *told;
    // Nobody said how many: one on each node, or so many.
    const Names nodes{"SLURM_JOB_NUM_NODES", "SLURM_NNODES"};
    return parse_int(environment, chosen(environment, nodes), 1, 1 << 20).value_or(1) *
           parse_int(environment, "SLURM_NTASKS_PER_NODE", 1, 1 << 10).value_or(1);
}

/// Whether a person works in a shell of the allocation, where a program without srun is meant to be alone.
/// Source: the names that salloc and srun --pty bash give; the rule is also that of Lightning.
[[nodiscard]] inline bool is_interactive(const Environment& environment) {
    const auto name = environment.get("SLURM_JOB_NAME");
    return name == "interactive" || name == "bash";
}

/// Whether the variables of a step are there, and are this process's. A batch script has the others only:
/// SLURM_PROCID=0 and SLURM_NTASKS=8 there describe a script that runs once. One that is submitted from a shell in a
/// step inherits that step's variables, SLURM_STEP_NUM_TASKS=1 among them; srun itself sets SLURM_NTASKS to the same
/// number. Source: recorded with Slurm 22.05; to ask for the step's variables is also the rule of JAX.
[[nodiscard]] inline bool is_slurm_step(const Environment& environment) {
    if (!has_some(environment, {"SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES"})) return false;
    const bool shell =
        environment.get("SLURM_STEP_NUM_TASKS") == "1" && environment.get("SLURM_NTASKS").value_or("1") != "1";
    return !shell || is_interactive(environment);
}

/// The local size stands in no variable of its own: it is the node's entry of SLURM_STEP_TASKS_PER_NODE, or the number
/// of SLURM_GTIDS, the ranks on this node. Where they differ, one of them is left over from another step.
inline void complete_slurm(Launch& launch) {
    const Environment& environment = launch.environment;
    if (!launch.node_count) {
        if (const auto list = environment.get("SLURM_STEP_NODELIST")) {
            launch.node_count = static_cast<int>(std::min<std::uint64_t>(HostList(*list).size(), most_ranks));
            launch.from.node_count = "SLURM_STEP_NODELIST";
        }
    }
    if (const auto ranks = environment.get("SLURM_GTIDS")) {
        launch.local_size = static_cast<int>(std::ranges::count(*ranks, ',')) + 1;
        launch.from.local_size = "SLURM_GTIDS";
    }
    const auto tasks = environment.get("SLURM_STEP_TASKS_PER_NODE");
    if (tasks && launch.node_index) {
        const int here = tasks_on_node(*tasks, *launch.node_index);
        if (launch.local_size.value_or(here) != here)
            throw Error(errc::invalid_launch, Stage::launch,
                        format("SLURM_STEP_TASKS_PER_NODE={} means {} tasks on node {}, but SLURM_GTIDS={} names {}"
                               "\n  do: start the program with srun; a batch script that was submitted from within a "
                               "step inherits that step's variables",
                               {printable(*tasks), here, *launch.node_index, printable(*environment.get("SLURM_GTIDS")),
                                *launch.local_size}));
        launch.local_size = here;
        launch.from.local_size = "SLURM_STEP_TASKS_PER_NODE";
    }
    if (!launch.local_size) return;
    if (*launch.local_size > launch.world_size || launch.local_rank.value_or(0) >= *launch.local_size)
        throw Error(errc::invalid_launch, Stage::launch,
                    format("a rank of Slurm does not fit\n  seen: local rank {} of {} on this node, by {}; world "
                           "size {}, by {}\n  do: start the program with srun, and leave its variables as they are",
                           {launch.local_rank.value_or(0), *launch.local_size, launch.from.local_size,
                            launch.world_size, launch.from.world_size}));
}

/// Rank 0 is on the first node. All steps of a job share its id, and steps run at the same time.
[[nodiscard]] inline Hints hints_of_slurm(const Launch& launch) {
    Hints hints;
    hints.job = together(launch.environment, {"SLURM_JOB_ID", "SLURM_STEP_ID"});
    const auto list = launch.environment.get("SLURM_STEP_NODELIST");
    if (list && launch.node_count != 1 && !launch.environment.has("MASTER_ADDR"))
        hints.address = Found{HostList(*list).front(), "SLURM_STEP_NODELIST"};
    return hints;
}

/// A step of Slurm, started by srun. SLURM_NTASKS comes second: srun --preserve-env leaves in it what sbatch has set.
/// Source: the man page of srun (output environment variables).
inline constexpr Launcher slurm{.names = {.launcher = "Slurm",
                                          .rank = {"SLURM_PROCID"},
                                          .world_size = {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS"},
                                          .local_rank = {"SLURM_LOCALID"},
                                          .node_index = {"SLURM_NODEID"},
                                          .node_count = {"SLURM_STEP_NUM_NODES"},
                                          .start = "start the program with srun, which sets them all",
                                          .pass = "export {}=... before srun"},
                                .present = is_slurm_step,
                                .complete = complete_slurm,
                                .hints = hints_of_slurm};

/// A process without any launcher. In a batch script of several tasks it is refused: it runs once, so that it would
/// wait for ranks that nobody starts, or be alone where it should not. Throws: Error(errc::invalid_launch).
[[nodiscard]] inline Launch detect_none(const Environment& environment) {
    Launch alone;
    alone.environment = environment;
    alone.local_rank = 0;
    alone.local_size = 1;
    const int tasks = environment.has("SLURM_JOB_ID") ? tasks_of_allocation(environment) : 1;
    if (tasks == 1) return alone;
    if (is_interactive(environment)) {
        alone.passed_over.push_back(format("Slurm, a shell in an allocation of {} tasks", {tasks}));
        return alone;
    }
    throw Error(
        errc::invalid_launch, Stage::launch,
        format("this process is in a Slurm allocation of {} tasks, but srun did not start it\n  seen: {}\n  do: "
               "start the program with srun (srun ./program); for a single process: RANK=0 WORLD_SIZE=1",
               {tasks, seen(environment,
                            {"SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_NTASKS_PER_NODE",
                             "SLURM_JOB_NUM_NODES", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"})}));
}

} // namespace muster::inline v0_1::detail
