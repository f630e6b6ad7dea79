// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/detect.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/meeting_point.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace muster::inline v0_1::detail {

/// What a caller says of a process, for a policy that knows itself where to meet.
struct Given {
    std::optional<int> rank;
    std::optional<int> world_size;
};

/// Rank and world size as given to `policy`; what is not given comes from the launcher.
/// Throws: Error(errc::invalid_launch or errc::invalid_argument).
[[nodiscard]] inline Launch launch_of(std::string_view policy, const Given& given, const Environment& environment) {
    if (!given.rank || !given.world_size) {
        Launch launch = detect_launch(environment, Wanted::identity);
        if (given.rank.value_or(launch.rank) == launch.rank &&
            given.world_size.value_or(launch.world_size) == launch.world_size)
            return launch;
        const auto text = [](std::optional<int> number) { return number ? std::to_string(*number) : "-"; };
        throw Error(
            errc::invalid_launch, Stage::launch,
            format("only one of rank and world size was given, and it contradicts the launcher\n  given: "
                   "rank {}, world size {}; launcher ({}): rank {}, world size {}\n  do: give both, or none",
                   {text(given.rank), text(given.world_size), launch.launcher, launch.rank, launch.world_size}));
    }
    if (*given.world_size < 1 || *given.rank < 0 || *given.rank >= *given.world_size)
        throw Error(errc::invalid_argument, Stage::launch,
                    format("rank {} is not a rank of a world of {}\n  wanted: 0 <= rank < world size",
                           {*given.rank, *given.world_size}));
    Launch launch;
    launch.rank = *given.rank;
    launch.world_size = *given.world_size;
    launch.launcher = policy;
    launch.from.rank = policy;
    launch.from.world_size = policy;
    launch.environment = environment;
    return launch;
}

} // namespace muster::inline v0_1::detail
