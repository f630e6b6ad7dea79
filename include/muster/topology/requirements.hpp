// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>
#include <muster/topology/node_fit.hpp>
#include <muster/topology/static_checks.hpp>

#include <array>
#include <cstddef>

// What a program can require of a topology's type. The names of the failures carry numbers, which the sentence of a
// static_assert cannot.
namespace muster::inline v0_1::detail {

template <int FirstRank, int LastRank, int RanksPerNode>
struct group_crosses_a_node {
    static_assert(FirstRank < 0,
                  "muster: a group along these axes has ranks of two nodes: see group_crosses_a_node<first rank, last "
                  "rank, ranks per node>; move the axis to the end of the topology or change an extent");
};

template <class List, int PerNode, class... Tags>
struct NodeLocal;

template <class... Axes, int PerNode, class... Tags>
struct NodeLocal<AxisList<Axes...>, PerNode, Tags...> {
    static_assert(PerNode >= 1 && sizeof...(Tags) > 0,
                  "muster: name the ranks of a node and the axes, as in require_node_local<8, Tp>");
    static_assert(((AxisIndex<Tags, Axes...>::value < sizeof...(Axes)) && ...)); // says which axes there are
    static constexpr auto chosen = chosen_among<AxisList<Axes...>, Tags...>;
    static constexpr std::array<int, sizeof...(Axes)> extents{AxisTraits<Axes>::extent...};
    static constexpr bool known = groups_are_known(chosen, extents);
    static_assert(known,
                  "muster: require_node_local needs the extents of its axes, and of all axes that vary faster, "
                  "fixed by the type");
    static constexpr Crossing crossing = known && PerNode >= 1 ? find_crossing(chosen, extents, PerNode) : Crossing{};
    static constexpr group_crosses_a_node<crossing.first, crossing.last, PerNode> verdict{};
};

template <int Number, int Extent>
struct not_divisible {
    static_assert(
        Number >= 1 && Number % Extent == 0,
        "muster: the number cannot be divided among the ranks of the axis: see not_divisible<number, extent>; "
        "change one of them");
};

template <int Extent, int Number>
struct Divisible {
    static_assert(Extent != dynamic,
                  "muster: require_divisible needs an extent that the type fixes; for one that is "
                  "known at run time there is shard<Tag>(number)");
    static constexpr not_divisible<Extent == dynamic ? 1 : Number, Extent == dynamic ? 1 : Extent> verdict{};
};

/// `type` is T, once the verdict has been looked at.
template <class T, class Requirement>
struct Required {
    static constexpr auto verdict = Requirement::verdict;
    using type = T;
};

} // namespace muster::inline v0_1::detail
