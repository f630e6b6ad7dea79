// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/batch.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/launcher.hpp>
#include <muster/launch/meeting_point.hpp>
#include <muster/launch/mpi.hpp>
#include <muster/launch/pods.hpp>
#include <muster/launch/slurm.hpp>
#include <muster/launch/torch.hpp>
#include <muster/launch/variables.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

namespace detail {

/// The launchers that start every rank, in the order in which they are looked for.
inline constexpr std::array launchers{&jsrun,      &open_mpi, &pals,  &flux, &mvapich2, &mvapich,
                                      &hydra_port, &hydra,    &slurm, &alps, &pmix};

/// Whether the launcher's variables say that it started this process. Within a step of Slurm the names of Open MPI and
/// of PMI may come from Slurm itself, through one of its plugins: then its own daemons were not there.
[[nodiscard]] inline bool counts(const Launcher& launcher, const Environment& environment) {
    if (!launcher.is_present(environment)) return false;
    const bool by_plugin = !launcher.daemons[0].empty() && !has_some(environment, launcher.daemons);
    return !by_plugin || !is_slurm_step(environment);
}

/// Compares what every other launcher says. One that has one process on each node has started the daemons of this
/// one, as mpirun does with srun, and its variables describe the daemon; PMI and PMIx may be told to the daemon, too.
/// Throws: Error(errc::invalid_launch) where another one describes another process.
inline void compare_others(Launch& launch, const Launcher& own) {
    std::vector<Claim> others;
    for (const Launcher* launcher : launchers) {
        if (launcher == &own) continue;
        auto other = claim(launch.environment, *launcher);
        if (other && (other->rank != launch.rank || other->world_size.value_or(launch.world_size) != launch.world_size))
            others.push_back(std::move(*other));
    }
    for (const Claim& other : others) {
        const bool daemon = std::ranges::any_of(others, [&](const Claim& outer) {
            return outer.one_per_node && outer.rank == other.rank &&
                   other.world_size.value_or(*outer.world_size) == *outer.world_size;
        });
        if (!daemon)
            throw Error(errc::invalid_launch, Stage::launch,
                        format("two launchers describe this process, and differ: {} and {}\n  seen: {}={}, {}={} of "
                               "{}; {} of {}\n  do: start the program with one of them only, or unset the variables "
                               "of the other",
                               {launch.launcher, other.launcher, launch.from.rank, launch.rank, launch.from.world_size,
                                launch.world_size, launch.launcher, other.text, other.launcher}));
        launch.passed_over.push_back(
            format("{} ({}), whose one process on each node starts others", {other.launcher, other.text}));
    }
}

[[nodiscard]] inline Launch detect_by(const Launcher& launcher, const Environment& environment, Wanted wanted) {
    Launch launch = launcher.identity(environment);
    check_agreement(launch);
    compare_others(launch, launcher);
    find_endpoint(launch, launcher.names, launcher.hints != nullptr ? launcher.hints(launch) : Hints{}, wanted);
    return launch;
}

} // namespace detail

/// Finds out from the environment who this process is. The first of these that is there counts:
///
/// 1. torchrun, then the launcher of DeepSpeed: their workers inherit the variables of whatever started them
/// 2. jsrun; mpirun of Open MPI; PALS; Flux; MVAPICH2 and MVAPICH; Hydra, which is mpiexec of MPICH and Intel MPI: they
///    start ranks through daemons of their own, which may be tasks of a Slurm step, so that the ranks inherit the
///    step's variables
/// 3. a step of Slurm, which srun has started; its tasks may have variables of PMI, PMIx or Open MPI, too
/// 4. ALPS, and PMIx without any launcher above, which tell no world size: WORLD_SIZE is wanted
/// 5. where RANK is not set: pods and hosts of Kubeflow Trainer, LeaderWorkerSet, SageMaker, a Kubernetes Indexed Job
/// 6. RANK and WORLD_SIZE alone
/// 7. none: a world of one. In a batch script of Slurm for several tasks that is refused: srun was forgotten.
///
/// Among 2 to 4, all that is there must agree in rank and world size, except with a launcher that has one process on
/// each node, which is a daemon. RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE must agree with 2 to 4 where they
/// are set. MASTER_ADDR and MASTER_PORT win over what is derived.
///
/// Throws: Error(errc::invalid_launch) that names variable and value, where variables are half-set, unreadable, out
/// of range or contradict each other, or where an endpoint is wanted and cannot be derived.
[[nodiscard]] inline Launch detect_launch(const Environment& environment, Wanted wanted = Wanted::endpoint) {
    if (environment.has("TORCHELASTIC_RUN_ID"))
        return detail::detect_torch(environment, detail::torchrun_variables, wanted);
    if (environment.has("CROSS_RANK") && environment.has("RANK"))
        return detail::detect_torch(environment, detail::deepspeed_variables, wanted);
    for (const detail::Launcher* launcher : detail::launchers)
        if (detail::counts(*launcher, environment)) return detail::detect_by(*launcher, environment, wanted);
    if (!environment.has("RANK")) {
        for (const detail::PodLauncher& launcher : detail::pod_launchers)
            if (environment.has(launcher.marker)) return detail::detect_pod(launcher, environment, wanted);
    }
    if (detail::has_any(environment, detail::torch_variables)) {
        detail::check_pytorch_job(environment);
        return detail::detect_torch(environment, detail::torch_variables, wanted);
    }
    return detail::detect_none(environment);
}

} // namespace muster::inline v0_1
