// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/meeting_point.hpp>
#include <muster/launch/parse.hpp>
#include <muster/launch/variables.hpp>

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace muster::inline v0_1::detail {

/// A launcher that starts every rank: its names, and what is particular about it. A null pointer means nothing is.
struct Launcher {
    Variables names;
    bool (*present)(const Environment&) = nullptr; ///< otherwise: any of the names is set
    Names daemons = {};                  ///< set only by the launcher's own daemons, not by a plugin of Slurm for it
    void (*complete)(Launch&) = nullptr; ///< derives what stands in no variable of its own
    Hints (*hints)(const Launch&) = nullptr;

    [[nodiscard]] bool is_present(const Environment& environment) const {
        return present != nullptr ? present(environment) : has_any(environment, names);
    }

    /// Who this process is, without a place to meet.
    [[nodiscard]] Launch identity(const Environment& environment) const {
        Launch launch = identify(environment, names);
        if (complete != nullptr) complete(launch);
        settle_nodes(launch);
        return launch;
    }
};

/// What a launcher that was not chosen says about this process.
struct Claim {
    std::string_view launcher;
    int rank = 0;
    std::optional<int> world_size;
    bool one_per_node = false; ///< as the daemons of another launcher, or torchrun's agents, are started
    std::string text;          ///< SLURM_PROCID=1, SLURM_STEP_NUM_TASKS=2
};

/// Nothing where the launcher's variables are not there, or only some of them.
[[nodiscard]] inline std::optional<Claim> claim(const Environment& environment, const Launcher& launcher) {
    const Variables& names = launcher.names;
    if (!launcher.is_present(environment) || !has_some(environment, names.rank)) return std::nullopt;
    const auto rank = chosen(environment, names.rank);
    const auto size = chosen(environment, names.world_size);
    Claim result{names.launcher,
                 *parse_int(environment, rank, 0, most_ranks),
                 {},
                 false,
                 format("{}={}", {rank, *environment.get(rank)})};
    if (size == "WORLD_SIZE") return result; // the user's word, for a launcher that has none
    if (!environment.has(size)) return std::nullopt;
    Launch launch = identify(environment, names);
    settle_nodes(launch);
    result.world_size = launch.world_size;
    result.one_per_node = launch.world_size == 1 || launch.local_size == 1 || launch.node_count == launch.world_size;
    result.text += format(", {}={}", {size, launch.world_size});
    return result;
}

/// The torch names, which users set by hand beside a launcher.
inline constexpr Variables torch_variables{
    .launcher = "environment",
    .rank = {"RANK"},
    .world_size = {"WORLD_SIZE"},
    .local_rank = {"LOCAL_RANK"},
    .local_size = {"LOCAL_WORLD_SIZE"},
    .node_index = {"NODE_RANK"},
    .start = "start the program with torchrun, srun or mpirun, which set them all"};

/// Refuses RANK, WORLD_SIZE, LOCAL_RANK or LOCAL_WORLD_SIZE where they contradict what the launcher itself says.
inline void check_agreement(const Launch& launch) {
    struct Pair {
        std::string_view torch;
        const std::string& own;
        std::optional<int> value;
    };
    const std::array pairs{Pair{torch_variables.rank[0], launch.from.rank, launch.rank},
                           Pair{torch_variables.world_size[0], launch.from.world_size, launch.world_size},
                           Pair{torch_variables.local_rank[0], launch.from.local_rank, launch.local_rank},
                           Pair{torch_variables.local_size[0], launch.from.local_size, launch.local_size}};
    for (const auto& [torch, own, value] : pairs) {
        const auto other = parse_int(launch.environment, torch, 0, most_ranks);
        if (other && value && *other != *value)
            throw Error(errc::invalid_launch, Stage::launch,
                        format("{}={} contradicts {}={} of {}\n  do: unset {}, or start the program without {}",
                               {torch, *other, own, *value, launch.launcher, torch, launch.launcher}));
    }
}

} // namespace muster::inline v0_1::detail
