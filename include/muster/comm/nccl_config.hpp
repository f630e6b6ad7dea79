// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1 {

/// Settings of one NCCL communicator: the members of ncclConfig_t, each with the version of NCCL that brought it. What
/// is not set is NCCL's to choose. A variable of the environment (NCCL_MAX_CTAS for max_ctas and so on) beats the
/// setting; setting what the NCCL at hand does not have is an error, not a wish.
///
/// Not here, because the library decides them: blocking (never: a blocking call has no deadline), splitShare and
/// shrinkShare (off: aborting one communicator would end its whole family).
/// Source: nccl.h 2.32.
struct NcclConfig {
    std::optional<int> cga_cluster_size = {};  ///< 2.17: thread block cluster size, 0 to 8
    std::optional<int> min_ctas = {};          ///< 2.17: fewest thread blocks; NCCL's limit if max_ctas is not set
    std::optional<int> max_ctas = {};          ///< 2.17: most thread blocks
    std::optional<std::string> net_name = {};  ///< 2.17: network module ("IB", "Socket")
    std::optional<int> traffic_class = {};     ///< 2.26: traffic class of the network's packets
    std::optional<std::string> comm_name = {}; ///< 2.27: for logs and profilers; the axis' name if not set
    std::optional<int> collnet_enable = {};    ///< 2.27: 1 lets collectives run in the network (SHARP)
    std::optional<int> cta_policy = {};        ///< 2.27: NCCL_CTA_POLICY_*
    std::optional<int> nvls_ctas = {};         ///< 2.27: thread blocks of NVLink SHARP
    std::optional<int> n_channels_per_net_peer = {}; ///< 2.28
    std::optional<int> nvlink_centric_sched = {};    ///< 2.28: 1 schedules for NVLink first
    std::optional<int> graph_usage_mode = {};        ///< 2.29
    std::optional<int> num_rma_ctx = {};             ///< 2.29
    std::optional<int> max_p2p_peers = {};           ///< 2.30
    std::optional<int> graph_stream_ordering = {};   ///< 2.30.7
    std::optional<int> launch_order_implicit = {};   ///< 2.31.2: 1 orders the launches of several communicators
    std::optional<int> num_rma_sig = {};             ///< 2.31.2
    std::optional<int> rma_eager_init = {};          ///< 2.31.2
    std::optional<int> host_cft_mode = {};           ///< 2.31.2
    std::optional<int> nvls_host_mode = {};          ///< 2.32

    friend bool operator==(const NcclConfig&, const NcclConfig&) = default;
};

namespace detail {

/// Calls visit(name, value) for every setting.
template <class Visit>
void visit_settings(const NcclConfig& config, Visit visit) {
    visit("cga_cluster_size", config.cga_cluster_size);
    visit("min_ctas", config.min_ctas);
    visit("max_ctas", config.max_ctas);
    visit("net_name", config.net_name);
    visit("traffic_class", config.traffic_class);
    visit("comm_name", config.comm_name);
    visit("collnet_enable", config.collnet_enable);
    visit("cta_policy", config.cta_policy);
    visit("nvls_ctas", config.nvls_ctas);
    visit("n_channels_per_net_peer", config.n_channels_per_net_peer);
    visit("nvlink_centric_sched", config.nvlink_centric_sched);
    visit("graph_usage_mode", config.graph_usage_mode);
    visit("num_rma_ctx", config.num_rma_ctx);
    visit("max_p2p_peers", config.max_p2p_peers);
    visit("graph_stream_ordering", config.graph_stream_ordering);
    visit("launch_order_implicit", config.launch_order_implicit);
    visit("num_rma_sig", config.num_rma_sig);
    visit("rma_eager_init", config.rma_eager_init);
    visit("host_cft_mode", config.host_cft_mode);
    visit("nvls_host_mode", config.nvls_host_mode);
}

} // namespace detail

/// Settings of the NCCL backend: `options.nccl.tp.max_ctas = 16`. Every axis stands for itself: nothing is inherited
/// from the world. A group shares the communicator of another of the same ranks only if it asks for the same settings
/// or for none.
struct NcclOptions {
    /// Of the world's communicator, and of those of the standard axes.
    NcclConfig world = {};
    NcclConfig tp = {};
    NcclConfig dp = {};
    NcclConfig cp = {};
    NcclConfig pp = {};
    NcclConfig ep = {};
    /// Of other axes, by the tag's name, and of groups along several, by their names in the topology's order: "dp+cp".
    /// Such a group has the settings of its first axis otherwise.
    std::map<std::string, NcclConfig, std::less<>> axes = {};

    /// How long ending a communicator by force may take. After that it is left behind, with its memory.
    std::chrono::milliseconds abort_timeout = std::chrono::seconds(10);

    /// Above so many ranks NCCL meets at several roots, one for each so many, on NCCL 2.23 and newer. The same on all
    /// ranks. 128 is PyTorch's number, too.
    int ranks_per_root = 128;

    /// A communicator that failed in an operation is aborted at once; see NcclLimits.
    bool abort_on_error = true;

    /// Several ranks may use one GPU. For tests: NCCL itself allows it under conditions only (NCCL_HOSTID,
    /// NCCL_MULTI_RANK_GPU_ENABLE).
    bool allow_shared_device = false;

    /// NCCL_* variables that ranks may set differently, by name, besides those that a host has of its own anyhow
    /// (interfaces, files, debug output). All others must be the same: NCCL hangs or fails where they are not.
    std::vector<std::string> may_differ = {};

    /// The settings of an axis, or of a group along several, by its name.
    [[nodiscard]] NcclConfig axis(std::string_view name) const {
        const std::string_view first = name.substr(0, name.find('+'));
        for (const std::string_view key : {name, first})
            if (const auto found = axes.find(key); found != axes.end()) return found->second;
        if (first == "tp") return tp;
        if (first == "dp") return dp;
        if (first == "cp") return cp;
        if (first == "pp") return pp;
        if (first == "ep") return ep;
        return {};
    }
};

namespace detail {

/// Calls visit(name, settings) for the world and every axis.
template <class Visit>
void visit_configs(const NcclOptions& options, Visit visit) {
    visit("world", options.world);
    for (const char* const axis : {"tp", "dp", "cp", "pp", "ep"}) visit(axis, options.axis(axis));
    for (const auto& [axis, config] : options.axes) visit(axis, config);
}

} // namespace detail
} // namespace muster::inline v0_1
