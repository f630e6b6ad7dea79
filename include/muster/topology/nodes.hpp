// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/topology/axis.hpp>
#include <muster/topology/errors.hpp>
#include <muster/topology/topology.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

namespace detail {

[[noreturn]] inline void a_node_has_at_least_one_rank(int ranks_per_node) {
    throw Error(errc::invalid_argument, Stage::topology,
                "a node cannot have " + std::to_string(ranks_per_node) + " ranks: it must have at least 1");
}

[[noreturn]] inline void ranks_do_not_fill_the_nodes(int world_size, int ranks_per_node) {
    throw Error(errc::invalid_argument, Stage::topology,
                "world size " + std::to_string(world_size) + " does not fill nodes of " +
                    count_of_ranks(ranks_per_node) +
                    "\n  do: give a number that divides the world size, or the node of each rank (Nodes::by_rank)");
}

[[noreturn]] inline void nodes_are_of_another_world(int world_size, std::size_t given) {
    throw Error(errc::invalid_argument, Stage::topology,
                "the nodes of " + count_of_ranks(static_cast<long long>(given)) + " were given for a world of " +
                    std::to_string(world_size));
}

[[noreturn]] inline void nodes_are_not_numbered_from_0(std::size_t nodes, int rank, int node) {
    throw Error(errc::invalid_argument, Stage::topology,
                "rank " + std::to_string(rank) + " sits on node " + std::to_string(node) +
                    ", but nodes must be numbered from 0 without a gap, and there are " + std::to_string(nodes));
}

[[noreturn]] inline void names_are_of_other_nodes(std::size_t names, std::size_t nodes) {
    throw Error(
        errc::invalid_argument, Stage::topology,
        "every node needs one name\n  seen: " + std::to_string(names) + " names, " + std::to_string(nodes) + " nodes");
}

} // namespace detail

/// Which node each rank of a world sits on. Nodes are numbered from 0.
class Nodes {
public:
    /// So many consecutive ranks on each node, which is how launchers place them by default.
    /// Throws: errc::invalid_argument below 1.
    [[nodiscard]] static constexpr Nodes of_size(int ranks_per_node) {
        if (ranks_per_node < 1) detail::a_node_has_at_least_one_rank(ranks_per_node);
        Nodes nodes;
        nodes.ranks_per_node_ = ranks_per_node;
        return nodes;
    }

    /// The number of each rank's node, index = rank, and the nodes' names, index = node; without names they go by
    /// their numbers.
    /// Throws: errc::invalid_argument when the numbers have a gap, or are not as many as the names.
    [[nodiscard]] static constexpr Nodes by_rank(std::vector<int> node_of_rank, std::vector<std::string> names = {}) {
        Nodes nodes;
        nodes.node_of_rank_ = std::move(node_of_rank);
        nodes.names_ = std::move(names);
        nodes.check_numbers();
        return nodes;
    }

    /// The host of each rank, index = rank: one name, one node. Nodes are numbered in the order of their first ranks.
    [[nodiscard]] static Nodes by_host(std::span<const std::string> host_of_rank) {
        std::vector<int> node_of_rank;
        std::vector<std::string> names;
        for (const std::string& host : host_of_rank) {
            // From the last on: consecutive ranks mostly share a host.
            auto found = std::find(names.rbegin(), names.rend(), host).base();
            if (found == names.begin()) found = names.insert(names.end(), host) + 1;
            node_of_rank.push_back(static_cast<int>(found - names.begin()) - 1);
        }
        return by_rank(std::move(node_of_rank), std::move(names));
    }

    /// Throws: errc::invalid_argument when these are not the nodes of a world of this size.
    constexpr void check(int world_size) const {
        if (ranks_per_node_ > 0) {
            if (world_size % ranks_per_node_ != 0) detail::ranks_do_not_fill_the_nodes(world_size, ranks_per_node_);
        } else if (node_of_rank_.size() != static_cast<std::size_t>(world_size)) {
            detail::nodes_are_of_another_world(world_size, node_of_rank_.size());
        }
    }

    /// Pre: check has passed for a world with this rank.
    [[nodiscard]] constexpr int node_of(int rank) const {
        return ranks_per_node_ > 0 ? rank / ranks_per_node_ : node_of_rank_[static_cast<std::size_t>(rank)];
    }

    /// On how many nodes these ranks sit. Pre: as for node_of.
    [[nodiscard]] constexpr int count(std::span<const int> ranks) const {
        std::vector<int> nodes;
        for (const int rank : ranks) nodes.push_back(node_of(rank));
        std::sort(nodes.begin(), nodes.end());
        return static_cast<int>(std::unique(nodes.begin(), nodes.end()) - nodes.begin());
    }

    /// As given, else "node 2".
    [[nodiscard]] std::string name(int node) const {
        return names_.empty() ? "node " + std::to_string(node) : names_[static_cast<std::size_t>(node)];
    }

private:
    constexpr Nodes() = default;

    constexpr void check_numbers() const {
        std::vector<int> nodes = node_of_rank_;
        std::sort(nodes.begin(), nodes.end());
        nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
        int rank = 0;
        for (const int node : node_of_rank_) {
            if (node < 0 || static_cast<std::size_t>(node) >= nodes.size())
                detail::nodes_are_not_numbered_from_0(nodes.size(), rank, node);
            ++rank;
        }
        if (!names_.empty() && names_.size() != nodes.size())
            detail::names_are_of_other_nodes(names_.size(), nodes.size());
    }

    int ranks_per_node_ = 0; ///< 0: the list counts
    std::vector<int> node_of_rank_;
    std::vector<std::string> names_;
};

/// The groups along these axes whose ranks sit on more than one node, in the order of Topology::groups. None: their
/// traffic stays within nodes.
/// Throws: errc::invalid_argument when the nodes are those of another world.
template <AxisTag... Tags, class... Axes>
[[nodiscard]] constexpr std::vector<std::vector<int>> crossing_groups(const Topology<Axes...>& topology,
                                                                      const Nodes& nodes) {
    nodes.check(topology.size());
    std::vector<std::vector<int>> groups = topology.template groups<Tags...>();
    std::erase_if(groups, [&](const std::vector<int>& group) { return nodes.count(group) == 1; });
    return groups;
}

} // namespace muster::inline v0_1
