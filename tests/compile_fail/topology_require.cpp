// SPDX-License-Identifier: Apache-2.0
// CASE CROSSES: muster: a group along these axes has ranks of two nodes
// CASE CROSSES_NAMES_THE_RANKS: group_crosses_a_node<0, 6, 4>
// CASE CROSSES_IN_A_LARGER_WORLD: group_crosses_a_node<8, 15, 12>
// CASE NODE_OF_NOBODY: muster: name the ranks of a node and the axes
// CASE UNKNOWN_EXTENT: muster: require_node_local needs the extents of its axes
// CASE INDIVISIBLE: muster: the number cannot be divided among the ranks of the axis
// CASE NOT_POSITIVE: not_divisible<0, 2>
// CASE INDIVISIBLE_NAMES_THE_NUMBERS: not_divisible<4097, 4>
// CASE DIVISIBLE_BY_WHAT: muster: require_divisible needs an extent that the type fixes
// CASE SHARD_LEAVES_REMAINDER: number_is_not_divisible
// CASE UNKNOWN_TOKEN: order_names_an_unknown_axis
// CASE EMPTY_TOKEN: order_names_an_unknown_axis
// CASE TOKEN_TWICE: order_names_an_axis_twice
// CASE AXIS_NOT_IN_ORDER: muster: an axis of an OrderedTopology is not named in its order
// CASE AXIS_TWICE: muster: two axes of an OrderedTopology have the same tag
#include <muster/topology.hpp>

using muster::Axis;
using muster::Cp;
using muster::Dp;
using muster::megatron_order;
using muster::OrderedTopology;
using muster::Pp;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

using Fixed = Topology3D<2, 4, 1>; // dp slowest
using Nodes = Topology<Axis<Dp>, Axis<Tp, 8>>;

#ifdef CROSSES
using Crossing = Fixed::require_node_local<4, Dp>;
#else
using Within = Fixed::require_node_local<8, Dp>;
#endif

#ifdef CROSSES_NAMES_THE_RANKS
using CrossingRanks = Fixed::require_node_local<4, Dp, Cp>;
#else
using WithinRanks = Fixed::require_node_local<4, Tp, Cp>;
#endif

#ifdef CROSSES_IN_A_LARGER_WORLD
using CrossingLater = Nodes::require_node_local<12, Tp>;
#else
using NeverCrossing = Nodes::require_node_local<16, Tp>;
#endif

#ifdef NODE_OF_NOBODY
using Nobody = Fixed::require_node_local<0, Tp>;
#else
using Somebody = Fixed::require_node_local<2, Tp>;
#endif

#ifdef UNKNOWN_EXTENT
using Unknown = Nodes::require_node_local<8, Dp>;
#else
using Known = Nodes::require_node_local<8, Tp>;
#endif

#ifdef INDIVISIBLE
using Remainder = Fixed::require_divisible<Tp, 4097>;
#else
using NoRemainder = Fixed::require_divisible<Tp, 4096>;
#endif

#ifdef NOT_POSITIVE
using Nothing = Fixed::require_divisible<Tp, 0>;
#else
using Something = Fixed::require_divisible<Tp, 4>;
#endif

#ifdef INDIVISIBLE_NAMES_THE_NUMBERS
using RemainderOfDp = Fixed::require_divisible<Dp, 4097>;
#else
using NoRemainderOfDp = Fixed::require_divisible<Dp, 4096>;
#endif

#ifdef DIVISIBLE_BY_WHAT
using ByWhat = Nodes::require_divisible<Dp, 4096>;
#else
using ByEight = Nodes::require_divisible<Tp, 4096>;
#endif

#ifdef SHARD_LEAVES_REMAINDER
inline constexpr int shard = Fixed{}.shard<Dp>(5);
#else
inline constexpr int shard = Fixed{}.shard<Dp>(8);
#endif

#ifdef UNKNOWN_TOKEN
inline constexpr auto order = megatron_order("tp-xp-dp");
#else
inline constexpr auto order = megatron_order("tp-cp-dp");
#endif

#ifdef EMPTY_TOKEN
inline constexpr auto order_with_a_hole = megatron_order("tp--dp");
#else
inline constexpr auto order_without_a_hole = megatron_order("tp-dp");
#endif

#ifdef TOKEN_TWICE
inline constexpr auto order_of_twins = megatron_order("tp-dp-tp");
#else
inline constexpr auto order_of_two = megatron_order("dp-tp");
#endif

#ifdef AXIS_NOT_IN_ORDER
using NotInOrder = OrderedTopology<megatron_order("tp-dp"), Axis<Tp, 2>, Axis<Pp, 2>>;
#else
using InOrder = OrderedTopology<megatron_order("tp-dp-pp"), Axis<Tp, 2>, Axis<Pp, 2>>;
#endif

#ifdef AXIS_TWICE
using AxisTwice = OrderedTopology<megatron_order("tp-dp"), Axis<Tp, 2>, Axis<Tp, 4>>;
#else
using AxisOnce = OrderedTopology<megatron_order("tp-dp"), Axis<Tp, 2>, Axis<Dp, 4>>;
#endif
