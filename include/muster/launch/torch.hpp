// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/launcher.hpp>
#include <muster/launch/meeting_point.hpp>
#include <muster/launch/variables.hpp>

namespace muster::inline v0_1::detail {

inline constexpr Variables torchrun_variables{.launcher = "torchrun",
                                              .rank = torch_variables.rank,
                                              .world_size = torch_variables.world_size,
                                              .local_rank = torch_variables.local_rank,
                                              .local_size = torch_variables.local_size,
                                              .node_index = {"GROUP_RANK"},
                                              .node_count = {"GROUP_WORLD_SIZE"},
                                              .start = "start the program with torchrun, which sets them all"};

inline constexpr Variables deepspeed_variables{.launcher = "DeepSpeed",
                                               .rank = torch_variables.rank,
                                               .world_size = torch_variables.world_size,
                                               .local_rank = torch_variables.local_rank,
                                               .local_size = {"LOCAL_SIZE", "LOCAL_WORLD_SIZE"},
                                               .node_index = {"CROSS_RANK"},
                                               .node_count = {"CROSS_SIZE"},
                                               .start = "start the program with deepspeed, which sets them all"};

/// RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT: torch.distributed's env:// contract.
/// Source: the worker environment of torch.distributed.elastic, recorded with torch 2.
[[nodiscard]] inline Launch detect_torch(const Environment& environment, const Variables& names, Wanted wanted) {
    Launch launch = identify(environment, names);
    launch.job = environment.get("TORCHELASTIC_RUN_ID").value_or("default");
    find_endpoint(launch, names, {}, wanted);
    settle_nodes(launch);
    launch.endpoint_is_served = launch.endpoint && environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True";
    return launch;
}

} // namespace muster::inline v0_1::detail
