// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/parse.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1 {

namespace detail {

inline constexpr int most_ranks = std::numeric_limits<int>::max();

/// The names under which a launcher hands out the identity of a process.
struct Variables {
    std::string_view launcher, rank, world_size, local_rank, local_size;
};

inline constexpr Variables torch_variables{"environment", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"};
inline constexpr Variables open_mpi_variables{"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                                              "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"};

/// The variables of `names` that are set, as NAME=value, for error texts.
[[nodiscard]] inline std::string seen(const Environment& environment, const std::vector<std::string_view>& names) {
    std::vector<std::string> found;
    for (const auto name : names)
        if (const auto value = environment.get(name)) found.push_back(fmt::format("{}={}", name, *value));
    return found.empty() ? "none of them" : fmt::format("{}", fmt::join(found, ", "));
}

[[noreturn]] inline void missing_variable(const Environment& environment, std::string_view missing,
                                          const Variables& names, std::string_view meaning) {
    throw Error(errc::invalid_launch, Stage::launch,
                fmt::format("{} is not set, but other variables of a launch ({}) are\n  seen: {}\n  do: set {} to {}, "
                            "or start the program with torchrun or mpirun, which set them all",
                            missing, names.launcher,
                            seen(environment, {names.rank, names.world_size, names.local_rank, names.local_size,
                                               "MASTER_ADDR", "MASTER_PORT"}),
                            missing, meaning));
}

/// Rank, world size, local rank and local size under the names of one launcher.
[[nodiscard]] inline Launch identify(const Environment& environment, const Variables& names) {
    Launch launch;
    launch.launcher = names.launcher;
    launch.environment = environment;
    const auto world_size = parse_int(environment, names.world_size, 1, most_ranks);
    if (!world_size) missing_variable(environment, names.world_size, names, "the number of processes");
    if (!environment.has(names.rank)) missing_variable(environment, names.rank, names, "this process's rank");
    launch.world_size = *world_size;
    launch.rank = *parse_int(environment, names.rank, 0, launch.world_size - 1);
    launch.from.rank = names.rank;
    launch.from.world_size = names.world_size;
    launch.local_size = parse_int(environment, names.local_size, 1, launch.world_size);
    launch.local_rank = parse_int(environment, names.local_rank, 0, launch.local_size.value_or(launch.world_size) - 1);
    if (launch.local_size) launch.from.local_size = names.local_size;
    if (launch.local_rank) launch.from.local_rank = names.local_rank;
    return launch;
}

/// Refuses RANK, WORLD_SIZE, LOCAL_RANK or LOCAL_WORLD_SIZE where they contradict what the launcher itself says.
inline void check_agreement(const Environment& environment, const Launch& launch, const Variables& names) {
    struct Pair {
        std::string_view torch, own;
        std::optional<int> value;
    };
    const std::array pairs{Pair{torch_variables.rank, names.rank, launch.rank},
                           Pair{torch_variables.world_size, names.world_size, launch.world_size},
                           Pair{torch_variables.local_rank, names.local_rank, launch.local_rank},
                           Pair{torch_variables.local_size, names.local_size, launch.local_size}};
    for (const auto& [torch, own, value] : pairs) {
        const auto other = parse_int(environment, torch, 0, most_ranks);
        if (other && value && *other != *value)
            throw Error(errc::invalid_launch, Stage::launch,
                        fmt::format("{}={} contradicts {}={} of {}\n  do: unset {}, or start the program without {}",
                                    torch, *other, own, *value, names.launcher, torch, names.launcher));
    }
}

/// MASTER_ADDR and MASTER_PORT, each if set. Throws when a port is no port.
struct Master {
    std::optional<std::string> address;
    std::optional<int> port;
};

[[nodiscard]] inline Master master(const Environment& environment) {
    return {environment.get("MASTER_ADDR"), parse_int(environment, "MASTER_PORT", 1, 65535)};
}

/// A port that all processes of a job derive alike. It lies above Linux's default ephemeral range (32768 to 60999),
/// where outgoing connections do not take it; two jobs on one host differ unless their names collide in 12 bits.
[[nodiscard]] constexpr std::uint16_t port_of_job(std::string_view job) noexcept {
    std::uint32_t hash = 2166136261U; // FNV-1a
    for (const char c : job) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    return static_cast<std::uint16_t>(61440U + (hash ^ (hash >> 12U) ^ (hash >> 24U)) % 4096U);
}

/// First address of mpirun's contact text, as in "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911" (Open MPI 4).
[[nodiscard]] inline std::optional<std::string> host_of_contact(std::string_view contact) {
    constexpr std::string_view scheme = "tcp://";
    const auto begin = contact.find(scheme);
    if (begin == std::string_view::npos) return std::nullopt;
    const auto rest = contact.substr(begin + scheme.size());
    const auto host = rest.substr(0, rest.find_first_of(",:;"));
    return host.empty() ? std::nullopt : std::optional<std::string>(host);
}

inline void set_endpoint(Launch& launch, std::string host, int port, std::string from) {
    launch.endpoint = Endpoint{std::move(host), static_cast<std::uint16_t>(port)};
    launch.from.endpoint = std::move(from);
}

/// torchrun and everything that speaks its contract.
/// Source: the worker environment of torch.distributed.elastic.
[[nodiscard]] inline Launch detect_torch(const Environment& environment, bool torchrun) {
    Launch launch = identify(environment, torch_variables);
    if (torchrun) {
        launch.launcher = "torchrun";
        launch.job = environment.get("TORCHELASTIC_RUN_ID").value_or("default");
    }
    const auto [address, port] = master(environment);
    if (!address && launch.world_size > 1)
        missing_variable(environment, "MASTER_ADDR", torch_variables, "the host name or address of rank 0");
    if (!port && launch.world_size > 1)
        missing_variable(environment, "MASTER_PORT", torch_variables, "a free port of rank 0's host");
    if (address && port) set_endpoint(launch, *address, *port, "MASTER_ADDR, MASTER_PORT");
    launch.endpoint_is_served = launch.endpoint && environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True";
    return launch;
}

/// mpirun of Open MPI 4 and 5. MASTER_ADDR and MASTER_PORT win where they are set; otherwise the port is derived from
/// the job's id, and the address is loopback when all ranks share the host, else mpirun's own.
[[nodiscard]] inline Launch detect_open_mpi(const Environment& environment) {
    Launch launch = identify(environment, open_mpi_variables);
    check_agreement(environment, launch, open_mpi_variables);
    std::string job_from = "PMIX_NAMESPACE";
    auto job = environment.get(job_from);
    if (!job) job = environment.get(job_from = "OMPI_MCA_ess_base_jobid");
    if (job) launch.job = *job;

    auto [address, port] = master(environment);
    std::string address_from = "MASTER_ADDR";
    std::string port_from = "MASTER_PORT";
    if (!address) {
        if (launch.local_size == launch.world_size) {
            address = "127.0.0.1";
            address_from = fmt::format("{} = {}", open_mpi_variables.local_size, open_mpi_variables.world_size);
        } else {
            address = host_of_contact(environment.get("OMPI_MCA_orte_hnp_uri").value_or(""));
            address_from = "OMPI_MCA_orte_hnp_uri";
        }
        if (!address && launch.world_size > 1)
            missing_variable(environment, "MASTER_ADDR", open_mpi_variables,
                             "the host name or address of rank 0 (mpirun -x MASTER_ADDR=...)");
    }
    if (!port && job) {
        port = port_of_job(*job);
        port_from = job_from;
    }
    if (!port && launch.world_size > 1)
        missing_variable(environment, "MASTER_PORT", open_mpi_variables,
                         "a free port of rank 0's host (mpirun -x MASTER_PORT=...)");
    if (address && port) set_endpoint(launch, *address, *port, fmt::format("{}, {}", address_from, port_from));
    return launch;
}

} // namespace detail

/// Finds out from the environment who this process is. The order: torchrun; Open MPI; RANK and WORLD_SIZE alone; no
/// launcher at all, which is a world of one. torchrun stands first because its workers inherit the variables of the
/// launcher that started torchrun.
///
/// Throws: Error(errc::invalid_launch) that names variable and value, where variables are half-set, unreadable, out
/// of range or contradict each other.
[[nodiscard]] inline Launch detect_launch(const Environment& environment) {
    if (environment.has("TORCHELASTIC_RUN_ID")) return detail::detect_torch(environment, true);
    // Any one of a launcher's variables is enough to expect all of them: half a launch is not a world of one.
    const auto has_any = [&](const detail::Variables& names) {
        return environment.has(names.rank) || environment.has(names.world_size) || environment.has(names.local_rank) ||
               environment.has(names.local_size);
    };
    if (has_any(detail::open_mpi_variables)) return detail::detect_open_mpi(environment);
    if (has_any(detail::torch_variables)) return detail::detect_torch(environment, false);
    Launch alone;
    alone.environment = environment;
    alone.local_rank = 0;
    alone.local_size = 1;
    return alone;
}

} // namespace muster::inline v0_1
