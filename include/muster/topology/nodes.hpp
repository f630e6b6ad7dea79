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

[[noreturn]] inline void nodes_are_not_numbered_from_0(int rank, int node, std::size_t missing) {
    throw Error(errc::invalid_argument, Stage::topology,
                "rank " + std::to_string(rank) + " sits on node " + std::to_string(node) +
                    ", but nodes must be numbered from 0 without a gap, and none sits on node " +
                    std::to_string(missing));
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
            std::size_t node = names.size();
            while (node > 0 && names[node - 1] != host) --node;
            if (node == 0) {
                names.push_back(host);
                node = names.size();
            }
            node_of_rank.push_back(static_cast<int>(node) - 1);
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

    /// Whether these ranks sit on more than one node. Pre: as for node_of.
    [[nodiscard]] constexpr bool cross(std::span<const int> ranks) const {
        return std::ranges::any_of(ranks, [&](int rank) { return node_of(rank) != node_of(ranks.front()); });
    }

    /// As given, else "node 2".
    [[nodiscard]] std::string name(int node) const {
        return names_.empty() ? "node " + std::to_string(node) : names_[static_cast<std::size_t>(node)];
    }

private:
    constexpr Nodes() = default;

    constexpr void check_numbers() const {
        std::vector<int> seen; // of each number that may be one
        for (std::size_t i = 0; i < node_of_rank_.size(); ++i) seen.push_back(0);
        for (const int node : node_of_rank_) {
            if (node >= 0 && static_cast<std::size_t>(node) < seen.size()) seen[static_cast<std::size_t>(node)] = 1;
        }
        std::size_t count = 0;
        while (count < seen.size() && seen[count] == 1) ++count;
        int rank = 0;
        for (const int node : node_of_rank_) {
            if (node < 0 || static_cast<std::size_t>(node) >= count) {
                detail::nodes_are_not_numbered_from_0(rank, node, count);
            }
            ++rank;
        }
        if (!names_.empty() && names_.size() != count) detail::names_are_of_other_nodes(names_.size(), count);
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
    std::vector<std::vector<int>> crossing;
    for (std::vector<int>& group : topology.template groups<Tags...>()) {
        if (nodes.cross(group)) crossing.push_back(std::move(group));
    }
    return crossing;
}

} // namespace muster::inline v0_1
