// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/launch/cloud.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/launcher.hpp>
#include <muster/launch/parse.hpp>
#include <muster/launch/slurm.hpp>
#include <muster/launch/variables.hpp>

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

// The mpiruns. Nothing here needs MPI: the variables are there for every program that they start.
namespace muster::inline v0_1::detail {

/// First address of mpirun's contact text, as in "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911", or of an IPv6 host
/// "1531576320.0;tcp6://[fd00::2,fd00::3]:34911". IPv4 comes first where both are there.
[[nodiscard]] inline std::optional<std::string> host_of_contact(std::string_view contact) {
    for (const std::string_view scheme : {"tcp://", "tcp6://"}) {
        const auto begin = contact.find(scheme);
        if (begin == std::string_view::npos) continue;
        std::string_view rest = contact.substr(begin + scheme.size());
        const bool brackets = rest.starts_with('[');
        if (brackets) rest.remove_prefix(1);
        const auto host = rest.substr(0, rest.find_first_of(brackets ? ",];" : ",:;"));
        if (!host.empty()) return std::string(host);
    }
    return std::nullopt;
}

[[nodiscard]] inline Hints hints_of_open_mpi(const Launch& launch) {
    Hints hints;
    hints.job = either(launch.environment, {"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "AZUREML_EXPERIMENT_ID"});
    hints.address = cloud_master(launch.environment);
    if (hints.address) return hints;
    if (auto host = host_of_contact(launch.environment.get("OMPI_MCA_orte_hnp_uri").value_or("")))
        hints.address = Found{std::move(*host), "OMPI_MCA_orte_hnp_uri"};
    return hints;
}

/// mpirun of Open MPI 4 and 5, and all that is built on it. Version 5 tells no address.
/// Source: recorded with 4.1.4; 5: its manual and the "ompi" plugin of PMIx. OMPI_COMM_WORLD_NODE_RANK is no node.
inline constexpr Launcher open_mpi{.names = {.launcher = "Open MPI",
                                             .rank = {"OMPI_COMM_WORLD_RANK"},
                                             .world_size = {"OMPI_COMM_WORLD_SIZE"},
                                             .local_rank = {"OMPI_COMM_WORLD_LOCAL_RANK"},
                                             .local_size = {"OMPI_COMM_WORLD_LOCAL_SIZE"},
                                             .start = "start the program with mpirun, which sets OMPI_COMM_WORLD_*",
                                             .pass = "mpirun -x {}=..."},
                                   .daemons = {"PRTE_LAUNCHED", "OMPI_MCA_orte_hnp_uri", "OMPI_MCA_ess_base_jobid"},
                                   .hints = hints_of_open_mpi};

/// The process at the other end of PMI_FD: Hydra's proxy, one for each job and host, which no wrapper between it and
/// this process hides. Hydra names its jobs in no variable. Nothing is read from the connection: it is MPI's.
/// Source: recorded with MPICH 4.0.2; SO_PEERCRED in the man page of unix(7).
[[nodiscard]] inline std::optional<Found> job_of_hydra(const Launch& launch) {
    const auto fd = launch.environment.get("PMI_FD");
    if (!fd) return std::nullopt;
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(*parse_int(launch.environment, "PMI_FD", 0, most_ranks), SOL_SOCKET, SO_PEERCRED, &peer, &size) !=
            0 ||
        peer.pid <= 0)
        return std::nullopt;
    return Found{format("proxy-{}", {peer.pid}), "the process behind PMI_FD"};
}

/// Over several nodes of a Slurm allocation Hydra's proxies are a step with one task on each: all ranks inherit its
/// names, and rank 0 is on its first node. A step of one node is that of the shell in which mpiexec was called.
/// Source: recorded with MPICH 4.0.2 in Slurm 22.05.
[[nodiscard]] inline bool has_step_of_proxies(const Launch& launch) {
    const auto nodes = launch.environment.get("SLURM_STEP_NUM_NODES");
    return nodes && nodes != "1" && nodes == launch.environment.get("SLURM_STEP_NUM_TASKS");
}

[[nodiscard]] inline Hints hints_of_hydra(const Launch& launch) {
    if (launch.node_count == 1) {
        Hints hints{{}, job_of_hydra(launch)};
        if (!hints.job) hints.job = either(launch.environment, {"PMI_PORT"});
        return hints;
    }
    if (has_step_of_proxies(launch)) return hints_of_slurm(launch);
    return {azure_master(launch.environment), {}};
}

/// mpiexec of MPICH and Intel MPI, and whatever else speaks PMI.
/// Source: recorded with MPICH 4.0.2; PMI_HOSTNAME is the process's own host.
inline constexpr Launcher hydra{.names = {.launcher = "Hydra",
                                          .rank = {"PMI_RANK"},
                                          .world_size = {"PMI_SIZE"},
                                          .local_rank = {"MPI_LOCALRANKID"},
                                          .local_size = {"MPI_LOCALNRANKS"},
                                          .start = "start the program with mpiexec, which sets PMI_*",
                                          .pass = "mpiexec -genv {} ..."},
                                .daemons = {"MPI_LOCALRANKID", "MPI_LOCALNRANKS", "HYDI_CONTROL_FD"},
                                .hints = hints_of_hydra};

[[nodiscard]] inline bool is_hydra_port_mode(const Environment& environment) {
    return has_some(environment, {"PMI_ID", "PMI_PORT"}) && !has_some(environment, {"PMI_RANK", "PMI_SIZE"});
}

/// The same with -pmi-port: a rank, but no size.
inline constexpr Launcher hydra_port{
    .names = {.launcher = "Hydra",
              .rank = {"PMI_ID"},
              .world_size = {"WORLD_SIZE"},
              .local_rank = {"MPI_LOCALRANKID"},
              .local_size = {"MPI_LOCALNRANKS"},
              .start = "leave out -pmi-port",
              .pass = "mpiexec -genv {} ...",
              .lacks = "; with -pmi-port Hydra tells the number of processes in no variable"},
    .present = is_hydra_port_mode,
    .daemons = hydra.daemons,
    .hints = hints_of_hydra};

/// mpirun_rsh and mpiexec of MVAPICH2.
inline constexpr Launcher mvapich2{.names = {.launcher = "MVAPICH2",
                                             .rank = {"MV2_COMM_WORLD_RANK"},
                                             .world_size = {"MV2_COMM_WORLD_SIZE"},
                                             .local_rank = {"MV2_COMM_WORLD_LOCAL_RANK"},
                                             .local_size = {"MV2_COMM_WORLD_LOCAL_SIZE"},
                                             .start = "start the program with mpirun_rsh, which sets MV2_COMM_WORLD_*",
                                             .pass = "mpirun_rsh ... {}=... ./program"},
                                   .hints = hints_of_hydra};

[[nodiscard]] inline bool is_mvapich(const Environment& environment) {
    return has_some(environment, {"MVP_COMM_WORLD_RANK", "MVP_COMM_WORLD_SIZE", "MVP_COMM_WORLD_LOCAL_RANK"}) ||
           environment.has("MVP_COMM_WORLD_LOCAL_SIZE");
}

/// MVAPICH 3 and 4, which are built on MPICH: where they do not set a name of their own, Hydra does.
inline constexpr Launcher mvapich{.names = {.launcher = "MVAPICH",
                                            .rank = {"MVP_COMM_WORLD_RANK", "PMI_RANK"},
                                            .world_size = {"MVP_COMM_WORLD_SIZE", "PMI_SIZE"},
                                            .local_rank = {"MVP_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID"},
                                            .local_size = {"MVP_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"},
                                            .start = "start the program with mpiexec, which sets MVP_COMM_WORLD_*",
                                            .pass = "mpiexec -genv {} ..."},
                                  .present = is_mvapich,
                                  .hints = hints_of_hydra};

[[nodiscard]] inline Hints hints_of_pmix(const Launch& launch) {
    return {{}, either(launch.environment, {"PMIX_NAMESPACE"})};
}

/// PMIx without a launcher that is known by name: it tells the rank only. PMIX_HOSTNAME is the process's own host.
inline constexpr Launcher pmix{.names = {.launcher = "PMIx",
                                         .rank = {"PMIX_RANK"},
                                         .world_size = {"WORLD_SIZE"},
                                         .local_rank = {"LOCAL_RANK"},
                                         .local_size = {"LOCAL_WORLD_SIZE"},
                                         .start = "use a launcher that tells it (mpirun, srun, torchrun)",
                                         .pass = "export {}=... for every process",
                                         .lacks = "; PMIx tells the number of processes in no variable"},
                               .present = [](const Environment& environment) { return environment.has("PMIX_RANK"); },
                               .hints = hints_of_pmix};

} // namespace muster::inline v0_1::detail
