// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/nccl_config.hpp>
#include <muster/core/log.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace muster::inline v0_1 {

/// How a mesh is formed. The defaults are right for most programs.
struct Options {
    /// Limit of the whole of init; afterwards, of each Gloo operation, and of each wait within an NCCL one (the launch
    /// of a collective, a split, a barrier).
    std::chrono::milliseconds timeout = std::chrono::minutes(5);

    /// The GPU to use, as an index among the visible ones; by default the local rank decides, or the only one that is
    /// visible. Gloo has none.
    std::optional<int> device = {};

    /// Network interface for traffic between hosts ("eth0"). By default Gloo takes the one that leads to the rendezvous
    /// address, and NCCL chooses; for NCCL this sets NCCL_SOCKET_IFNAME in the environment of this process if it is
    /// unset.
    std::string interface = {};

    /// Groups of the same ranks use one communicator. The same on all ranks.
    bool share_communicators = true;

    /// Settings of NCCL, for the world and for each axis.
    NcclOptions nccl = {};

    /// Where progress and warnings go.
    LogSink log = log_to_stderr;

    /// Names of axes whose groups should stay within a node: rank 0 warns of one that crosses nodes. Empty: no warning,
    /// for machines whose GPUs have NVLink from node to node. Names that the mesh does not have change nothing.
    std::vector<std::string> node_local = {"tp"};
};

} // namespace muster::inline v0_1
