// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/launch/detect.hpp>
#include <muster/launch/environment.hpp>

#include <catch2/catch_test_macros.hpp>

#include <initializer_list>
#include <string>
#include <utility>

// Environments as launchers make them. "Recorded" ones are what a process printed; the others follow the manuals.
namespace muster_test {

using muster::Environment;

/// `environment` with these variables set or replaced; an empty value takes one away.
inline Environment with(Environment environment, std::initializer_list<std::pair<const char*, std::string>> changes) {
    for (const auto& [name, value] : changes) environment.set(name, value);
    return environment;
}

inline Environment with(Environment environment, const std::string& name, const std::string& value) {
    environment.set(name, value);
    return environment;
}

/// The text of the Error that `call` throws; an empty text when it throws none.
template <class Call>
std::string refusal_of(Call call) {
    try {
        (void)call();
        return {};
    } catch (const muster::Error& error) {
        CHECK(error.code() == muster::errc::invalid_launch);
        CHECK(error.stage() == muster::Stage::launch);
        return error.what();
    }
}

inline std::string refusal(const Environment& environment) {
    return refusal_of([&] { return muster::detect_launch(environment); });
}

/// Recorded with torch 2 (torchrun --standalone --nproc-per-node 2), the run id shortened.
inline Environment torchrun() {
    return {{"RANK", "1"},
            {"LOCAL_RANK", "1"},
            {"GROUP_RANK", "0"},
            {"ROLE_RANK", "1"},
            {"ROLE_NAME", "default"},
            {"WORLD_SIZE", "2"},
            {"LOCAL_WORLD_SIZE", "2"},
            {"GROUP_WORLD_SIZE", "1"},
            {"ROLE_WORLD_SIZE", "2"},
            {"MASTER_ADDR", "localhost"},
            {"MASTER_PORT", "37281"},
            {"TORCHELASTIC_RESTART_COUNT", "0"},
            {"TORCHELASTIC_MAX_RESTARTS", "0"},
            {"TORCHELASTIC_RUN_ID", "91bf4214"},
            {"TORCHELASTIC_USE_AGENT_STORE", "True"},
            {"TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"},
            {"OMP_NUM_THREADS", "1"}};
}

/// Recorded with Open MPI 4.1.4: rank 1 of mpirun -n 2.
inline Environment open_mpi() {
    return {{"OMPI_COMM_WORLD_RANK", "1"},
            {"OMPI_COMM_WORLD_SIZE", "2"},
            {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
            {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
            {"OMPI_COMM_WORLD_NODE_RANK", "1"},
            {"OMPI_UNIVERSE_SIZE", "2"},
            {"OMPI_MCA_ess_base_jobid", "1980891137"},
            {"OMPI_MCA_ess_base_vpid", "1"},
            {"OMPI_MCA_orte_hnp_uri", "1980891136.0;tcp://192.0.2.2:48991;tcp6://[fd00::2]:48167"},
            {"OMPI_MCA_orte_num_nodes", "1"},
            {"PMIX_NAMESPACE", "1980891137"},
            {"PMIX_RANK", "1"},
            {"PMIX_HOSTNAME", "vm"},
            {"PMIX_VERSION", "4.2.2rc2"}};
}

/// Recorded with MPICH 4.0.2: rank 1 of mpiexec.hydra -n 2. PMI_FD, which another process had, is left out.
inline Environment hydra() {
    return {{"PMI_RANK", "1"},        {"PMI_SIZE", "2"},        {"MPI_LOCALRANKID", "1"},
            {"MPI_LOCALNRANKS", "2"}, {"HYDI_CONTROL_FD", "7"}, {"MPIR_CVAR_CH3_INTERFACE_HOSTNAME", "vm"}};
}

/// Recorded with Slurm 22.05: the first process of a batch script, sbatch -n 3.
inline Environment batch_script() {
    return {{"SLURM_JOB_ID", "3"},        {"SLURM_JOBID", "3"},          {"SLURM_JOB_NAME", "wrap"},
            {"SLURM_JOB_NODELIST", "vm"}, {"SLURM_JOB_NUM_NODES", "1"},  {"SLURM_NNODES", "1"},
            {"SLURM_NODELIST", "vm"},     {"SLURM_NTASKS", "3"},         {"SLURM_NPROCS", "3"},
            {"SLURM_PROCID", "0"},        {"SLURM_LOCALID", "0"},        {"SLURM_NODEID", "0"},
            {"SLURM_GTIDS", "0"},         {"SLURM_TASKS_PER_NODE", "3"}, {"SLURMD_NODENAME", "vm"}};
}

/// Recorded with Slurm 22.05: rank 1 of srun in that script.
inline Environment slurm_step() {
    return with(batch_script(), {{"SLURM_PROCID", "1"},
                                 {"SLURM_LOCALID", "1"},
                                 {"SLURM_GTIDS", "0,1,2"},
                                 {"SLURM_STEP_ID", "0"},
                                 {"SLURM_STEPID", "0"},
                                 {"SLURM_STEP_NODELIST", "vm"},
                                 {"SLURM_STEP_NUM_NODES", "1"},
                                 {"SLURM_STEP_NUM_TASKS", "3"},
                                 {"SLURM_STEP_TASKS_PER_NODE", "3"},
                                 {"SLURM_DISTRIBUTION", "block"},
                                 {"SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1"}});
}

/// As that would be on four nodes: rank 4, the first of the third.
inline Environment slurm_step_of_four_nodes() {
    return with(slurm_step(), {{"SLURM_NTASKS", "7"},
                               {"SLURM_NPROCS", "7"},
                               {"SLURM_PROCID", "4"},
                               {"SLURM_LOCALID", "0"},
                               {"SLURM_NODEID", "2"},
                               {"SLURM_GTIDS", "4,5"},
                               {"SLURM_JOB_NODELIST", "gpu[01-03,7]"},
                               {"SLURM_JOB_NUM_NODES", "4"},
                               {"SLURM_STEP_NODELIST", "gpu[01-03,7]"},
                               {"SLURM_STEP_NUM_NODES", "4"},
                               {"SLURM_STEP_NUM_TASKS", "7"},
                               {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1"},
                               {"SLURM_LAUNCH_NODE_IPADDR", "192.0.2.9"}});
}

} // namespace muster_test
