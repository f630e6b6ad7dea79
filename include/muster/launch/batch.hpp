// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/launcher.hpp>
#include <muster/launch/variables.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

// Launchers that belong to a batch system, other than Slurm's.
namespace muster::inline v0_1::detail {

[[nodiscard]] inline bool is_pals(const Environment& environment) {
    return has_some(environment, {"PALS_RANKID", "PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE"});
}

[[nodiscard]] inline Hints hints_of_pals(const Launch& launch) {
    return {{}, either(launch.environment, {"PALS_APID"})};
}

/// mpiexec of Cray's PALS. The world size is PMI's.
inline constexpr Launcher pals{.names = {.launcher = "PALS",
                                         .rank = {"PALS_RANKID"},
                                         .world_size = {"PMI_SIZE"},
                                         .local_rank = {"PALS_LOCAL_RANKID"},
                                         .local_size = {"PALS_LOCAL_SIZE"},
                                         .node_index = {"PALS_NODEID"},
                                         .start = "start the program with mpiexec, which sets PALS_* and PMI_SIZE",
                                         .pass = "mpiexec --env {}=..."},
                               .present = is_pals,
                               .hints = hints_of_pals};

[[nodiscard]] inline Hints hints_of_alps(const Launch& launch) {
    return {{}, either(launch.environment, {"ALPS_APP_ID"})};
}

/// aprun of Cray's ALPS, which tells no world size. Slurm sets ALPS_APP_PE, too.
inline constexpr Launcher alps{.names = {.launcher = "ALPS",
                                         .rank = {"ALPS_APP_PE"},
                                         .world_size = {"WORLD_SIZE"},
                                         .local_rank = {"PMI_LOCAL_RANK"},
                                         .local_size = {"PMI_LOCAL_SIZE"},
                                         .pass = "aprun -e {}=...",
                                         .lacks = "; ALPS tells the number of processes in no variable"},
                               .present = [](const Environment& environment) { return environment.has("ALPS_APP_PE"); },
                               .hints = hints_of_alps};

/// FLUX_JOB_SIZE alone may describe the instance that this shell belongs to.
[[nodiscard]] inline bool is_flux(const Environment& environment) {
    return has_some(environment, {"FLUX_TASK_RANK", "FLUX_TASK_LOCAL_ID"});
}

[[nodiscard]] inline Hints hints_of_flux(const Launch& launch) {
    return {{}, either(launch.environment, {"FLUX_JOB_ID"})};
}

/// flux run. A task is told how many nodes there are, but neither their names nor its own.
inline constexpr Launcher flux{.names = {.launcher = "Flux",
                                         .rank = {"FLUX_TASK_RANK"},
                                         .world_size = {"FLUX_JOB_SIZE"},
                                         .local_rank = {"FLUX_TASK_LOCAL_ID"},
                                         .node_count = {"FLUX_JOB_NNODES"},
                                         .start = "start the program with flux run, which sets FLUX_*",
                                         .pass = "flux run --env={}=..."},
                               .present = is_flux,
                               .hints = hints_of_flux};

/// The first word of the second line: LSB_DJOB_RANKFILE has a line for each slot, the launch node's first.
[[nodiscard]] inline std::optional<std::string> second_line(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::array<char, 4096> text{}; // two host names are shorter
    file.read(text.data(), text.size());
    const std::string_view read(text.data(), static_cast<std::size_t>(file.gcount()));
    const auto begin = std::min(read.find('\n'), read.size() - 1) + 1;
    const std::string_view rest = read.empty() ? read : read.substr(begin);
    const auto host = rest.substr(0, rest.find_first_of(" \t\r\n"));
    // A name that may go on beyond what was read is none.
    if (host.empty() || (host.size() == rest.size() && read.size() == text.size())) return std::nullopt;
    return std::string(host);
}

/// The second host of "batch5 1 node01 42 node02 42".
[[nodiscard]] inline std::optional<std::string> second_host(std::string_view text) {
    std::array<std::string_view, 3> words;
    for (auto& word : words) {
        text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
        word = text.substr(0, text.find(' '));
        text.remove_prefix(word.size());
    }
    if (words[2].empty()) return std::nullopt;
    return std::string(words[2]);
}

[[nodiscard]] inline Hints hints_of_jsrun(const Launch& launch) {
    const Environment& environment = launch.environment;
    Hints hints;
    // The elements of an array share the job's id.
    hints.job = together(environment, {"LSB_JOBID", "LSB_JOBINDEX"});
    if (!hints.job) hints.job = either(environment, {"LSB_JOBID"});
    if (launch.node_count == 1) return hints;
    if (const auto path = environment.get("LSB_DJOB_RANKFILE"))
        if (auto host = second_line(*path)) hints.address = Found{std::move(*host), "LSB_DJOB_RANKFILE"};
    if (!hints.address)
        if (auto host = second_host(environment.get("LSB_MCPU_HOSTS").value_or("")))
            hints.address = Found{std::move(*host), "LSB_MCPU_HOSTS"};
    return hints;
}

/// jsrun of LSF. Its launch node stands first in the lists of hosts and runs no rank.
inline constexpr Launcher jsrun{.names = {.launcher = "jsrun",
                                          .rank = {"JSM_NAMESPACE_RANK"},
                                          .world_size = {"JSM_NAMESPACE_SIZE"},
                                          .local_rank = {"JSM_NAMESPACE_LOCAL_RANK"},
                                          .local_size = {"JSM_NAMESPACE_LOCAL_SIZE"},
                                          .start = "start the program with jsrun, which sets JSM_NAMESPACE_*",
                                          .pass = "jsrun -E {}=..."},
                                .hints = hints_of_jsrun};

} // namespace muster::inline v0_1::detail
