// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/launch.hpp>

#include <optional>
#include <string>

namespace muster::inline v0_1::detail {

/// Which of the `visible` GPUs (at least one) this process uses, and why.
struct DeviceChoice {
    int ordinal = 0;
    std::string from; ///< "Options::device", "LOCAL_RANK=2", "the only visible one"
};

/// The one that is asked for; else the local rank's; else the only one. Never the local rank modulo the number of GPUs:
/// that doubles up silently.
/// Throws: Error(errc::device).
[[nodiscard]] inline DeviceChoice choose_device(const Launch& launch, std::optional<int> wanted, int visible) {
    const auto refuse = [&](const std::string& text) {
        throw Error(errc::device, Stage::device, text, {launch.rank, {launch.rank}, false});
    };
    const std::string mask = launch.environment.get("CUDA_VISIBLE_DEVICES").value_or("not set");
    if (wanted) {
        if (*wanted < 0 || *wanted >= visible)
            refuse(
                format("GPU {} was asked for, but this process sees {}\n  seen: CUDA_VISIBLE_DEVICES {}\n  do: "
                       "give Options::device a number from 0 to {}, or none",
                       {*wanted, visible, mask, visible - 1}));
        return {*wanted, "Options::device"};
    }
    const std::string local = launch.from.local_rank.empty() ? std::string("the local rank") : launch.from.local_rank;
    if (launch.local_rank && *launch.local_rank < visible)
        return {*launch.local_rank, format("{}={}", {local, *launch.local_rank})};
    if (visible == 1) return {0, "the only visible one"};
    if (!launch.local_rank && launch.world_size == 1) return {0, "the only rank"};
    if (!launch.local_rank)
        refuse(
            format("this process sees {} GPUs and does not know which is its own\n  seen: CUDA_VISIBLE_DEVICES "
                   "{}; no local rank from launcher '{}'\n  do: set LOCAL_RANK, or Options::device",
                   {visible, mask, launch.launcher}));
    refuse(
        format("local rank {} has no GPU of its own: this process sees {}\n  seen: {}={}, CUDA_VISIBLE_DEVICES "
               "{}\n  do: start at most {} ranks on this host, or make more GPUs visible",
               {*launch.local_rank, visible, local, *launch.local_rank, mask, visible}));
    return {};
}

} // namespace muster::inline v0_1::detail
