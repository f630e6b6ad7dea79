// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/nccl_config.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/nccl/version.hpp>

#include <nccl.h>

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace muster::inline v0_1::detail {

/// What an ncclConfig_t points to, for as long as a communicator or one of its children lives: NCCL copies neither the
/// name nor the address (2.27 to 2.30.7).
struct NcclNames {
    std::string comm;
    std::string net;
    std::shared_ptr<const NcclNames> parent; ///< whose name a communicator without one of its own goes by
};

/// A member of ncclConfig_t that this program's nccl.h may lack: `assign` does not compile then.
template <class Native, class Value, class Assign>
void take_setting(Native& native, const std::optional<Value>& value, std::string_view name, int since, int library,
                  Assign assign) {
    if (!value) return;
    const auto refuse = [&](std::string_view what, int found) {
        throw Error(errc::invalid_argument, Stage::communicator,
                    format("NcclConfig::{} needs NCCL {}, but {} is {}\n  do: leave it unset, or use a newer NCCL",
                           {name, nccl_version_text(since), what, nccl_version_text(found)}));
    };
    if constexpr (std::invocable<Assign, Native&, const Value&>) {
        // An older library skips what it does not know, without a word.
        if (library < since) refuse("the library", library);
        assign(native, *value);
    } else {
        refuse("this program's nccl.h", NCCL_VERSION_CODE);
    }
}

/// Fewest and most thread blocks. NCCL takes a fewest without a most for a fewest above the most.
template <class Native>
void take_ctas(Native& native, const NcclConfig& config) {
    constexpr int nccl_most = 64; // MAXCHANNELS; NCCL caps what is above its own
    const int least = config.min_ctas.value_or(1);
    const int most = config.max_ctas.value_or(nccl_most);
    if (least < 1 || most < least)
        throw Error(errc::invalid_argument, Stage::communicator,
                    format("NcclConfig: min_ctas {} and max_ctas {} are no range of thread blocks\n  wanted: 1 <= "
                           "min_ctas <= max_ctas",
                           {least, most}));
    if (config.min_ctas || config.max_ctas) {
        native.minCTAs = least;
        native.maxCTAs = most;
    }
}

/// The settings as NCCL takes them, non-blocking and sharing nothing. `names` must outlive the communicator.
/// Throws: Error(errc::invalid_argument) for a setting that this NCCL does not have.
template <class Native = ncclConfig_t>
[[nodiscard]] Native native_config(const NcclConfig& config, const NcclNames& names, int library) {
    Native native = NCCL_CONFIG_INITIALIZER;
    native.blocking = 0;
    native.splitShare = 0;
    if constexpr (requires { native.shrinkShare; }) native.shrinkShare = 0;
    if (config.cga_cluster_size) native.cgaClusterSize = *config.cga_cluster_size;
    take_ctas(native, config);
    if (config.net_name) native.netName = names.net.c_str();

    const auto take = [&](const auto& value, std::string_view name, int since, auto assign) {
        take_setting(native, value, name, since, library, assign);
    };
    // clang-format off
    take(config.traffic_class, "traffic_class", nccl_version(2, 26, 2),
         [](auto& n, int v) -> decltype(void(n.trafficClass = v)) { n.trafficClass = v; });
    take(config.collnet_enable, "collnet_enable", nccl_version(2, 27, 3),
         [](auto& n, int v) -> decltype(void(n.collnetEnable = v)) { n.collnetEnable = v; });
    take(config.cta_policy, "cta_policy", nccl_version(2, 27, 3),
         [](auto& n, int v) -> decltype(void(n.CTAPolicy = v)) { n.CTAPolicy = v; });
    take(config.nvls_ctas, "nvls_ctas", nccl_version(2, 27, 3),
         [](auto& n, int v) -> decltype(void(n.nvlsCTAs = v)) { n.nvlsCTAs = v; });
    take(config.n_channels_per_net_peer, "n_channels_per_net_peer", nccl_version(2, 28, 3),
         [](auto& n, int v) -> decltype(void(n.nChannelsPerNetPeer = v)) { n.nChannelsPerNetPeer = v; });
    take(config.nvlink_centric_sched, "nvlink_centric_sched", nccl_version(2, 28, 3),
         [](auto& n, int v) -> decltype(void(n.nvlinkCentricSched = v)) { n.nvlinkCentricSched = v; });
    take(config.graph_usage_mode, "graph_usage_mode", nccl_version(2, 29, 2),
         [](auto& n, int v) -> decltype(void(n.graphUsageMode = v)) { n.graphUsageMode = v; });
    take(config.num_rma_ctx, "num_rma_ctx", nccl_version(2, 29, 2),
         [](auto& n, int v) -> decltype(void(n.numRmaCtx = v)) { n.numRmaCtx = v; });
    take(config.max_p2p_peers, "max_p2p_peers", nccl_version(2, 30, 3),
         [](auto& n, int v) -> decltype(void(n.maxP2pPeers = v)) { n.maxP2pPeers = v; });
    take(config.graph_stream_ordering, "graph_stream_ordering", nccl_version(2, 30, 7),
         [](auto& n, int v) -> decltype(void(n.graphStreamOrdering = v)) { n.graphStreamOrdering = v; });
    take(config.launch_order_implicit, "launch_order_implicit", nccl_version(2, 31, 2),
         [](auto& n, int v) -> decltype(void(n.launchOrderImplicit = v)) { n.launchOrderImplicit = v; });
    take(config.num_rma_sig, "num_rma_sig", nccl_version(2, 31, 2),
         [](auto& n, int v) -> decltype(void(n.numRmaSig = v)) { n.numRmaSig = v; });
    take(config.rma_eager_init, "rma_eager_init", nccl_version(2, 31, 2),
         [](auto& n, int v) -> decltype(void(n.rmaEagerInit = v)) { n.rmaEagerInit = v; });
    take(config.host_cft_mode, "host_cft_mode", nccl_version(2, 31, 2),
         [](auto& n, int v) -> decltype(void(n.hostCftMode = v)) { n.hostCftMode = v; });
    take(config.nvls_host_mode, "nvls_host_mode", nccl_version(2, 32, 3),
         [](auto& n, int v) -> decltype(void(n.nvlsHostMode = v)) { n.nvlsHostMode = v; });
    // clang-format on
    const auto name_it = [](auto& n, const char* v) -> decltype(void(n.commName = v)) { n.commName = v; };
    if (config.comm_name)
        take(std::optional(names.comm.c_str()), "comm_name", nccl_version(2, 27, 3), name_it);
    else if constexpr (std::invocable<decltype(name_it), Native&, const char*>)
        // The library's own choice of a name is no wish that could go unheard.
        if (library >= nccl_version(2, 27, 3) && !names.comm.empty()) name_it(native, names.comm.c_str());
    return native;
}

/// The names that `native_config` points to; `fallback` is the communicator's when the settings have none.
[[nodiscard]] inline std::shared_ptr<const NcclNames> nccl_names(const NcclConfig& config, std::string_view fallback,
                                                                 std::shared_ptr<const NcclNames> parent = nullptr) {
    return std::make_shared<const NcclNames>(
        NcclNames{config.comm_name.value_or(std::string(fallback)), config.net_name.value_or(""), std::move(parent)});
}

} // namespace muster::inline v0_1::detail
