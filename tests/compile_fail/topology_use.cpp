// SPDX-License-Identifier: Apache-2.0
// CASE UNKNOWN_TAG: muster: the topology has no axis with this tag
// CASE UNKNOWN_TAG_OF_A_GROUP: muster: the topology has no axis with this tag
// CASE GROUP_OF_NO_AXES: muster: name the axes of the group
// CASE TAG_TWICE: muster: a tag stands twice among the axes of a group
// CASE TWO_TO_INFER: muster: for_world(world_size) can infer one extent
// CASE TOO_MANY_EXTENTS: muster: for_world(world_size, extents...) takes one extent for each dynamic axis
// CASE TOO_FEW_EXTENTS: muster: for_world(world_size, extents...) takes one extent for each dynamic axis
// CASE EXTENT_OF_A_FIXED_AXIS: muster: for_world(world_size, extents...) takes one extent for each dynamic axis
// CASE OTHER_WORLD: muster: the world size is not the product of the topology's extents
// CASE OTHER_WORLD_SHOWS_BOTH_NUMBERS: 6 == 8
// CASE WORLD_LEAVES_REMAINDER: muster: the world size is not a multiple of the topology's static extents
// CASE WORLD_OF_NONE: muster: the world size is not a multiple of the topology's static extents
#include <muster/topology.hpp>

using muster::Axis;
using muster::Cp;
using muster::Dp;
using muster::dynamic;
using muster::Pp;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

using Fixed = Topology3D<2, 4, 1>;
using Half = Topology3D<3, dynamic, 1>;
using Open = Topology<Axis<Dp>, Axis<Tp>>;

#ifdef UNKNOWN_TAG
static_assert(Fixed::static_extent<Pp>() == 1);
#else
static_assert(Fixed::static_extent<Cp>() == 1);
#endif

#ifdef UNKNOWN_TAG_OF_A_GROUP
inline auto group_with_another_axis() { return Fixed{}.group<Dp, Pp>(0); }
#else
inline auto group_with_another_axis() { return Fixed{}.group<Dp, Cp>(0); }
#endif

#ifdef GROUP_OF_NO_AXES
inline auto group_of_no_axes() { return Fixed{}.group(0); }
#else
inline auto group_of_no_axes() { return Fixed{}.group<Dp, Tp, Cp>(0); }
#endif

#ifdef TAG_TWICE
inline auto group_with_a_tag_twice() { return Fixed{}.groups<Dp, Cp, Dp>(); }
#else
inline auto group_with_a_tag_twice() { return Fixed{}.groups<Dp, Cp>(); }
#endif

#ifdef TWO_TO_INFER
inline auto two_to_infer() { return Open::for_world(8); }
#else
inline auto two_to_infer() { return Open::for_world(8, dynamic, 2); }
#endif

#ifdef TOO_MANY_EXTENTS
inline auto too_many_extents() { return Open::for_world(8, 4, 2, 1); }
#else
inline auto too_many_extents() { return Open::for_world(8, 4, 2); }
#endif

#ifdef TOO_FEW_EXTENTS
inline auto too_few_extents() { return Open::for_world(8, 4); }
#else
inline auto too_few_extents() { return Open::for_world(8, 4, dynamic); }
#endif

#ifdef EXTENT_OF_A_FIXED_AXIS
inline auto extent_of_a_fixed_axis() { return Fixed::for_world(8, 2); }
#else
inline auto extent_of_a_fixed_axis() { return Fixed::for_world(8); }
#endif

#ifdef OTHER_WORLD
using Mismatch = Fixed::require_world<6>;
#else
using Match = Fixed::require_world<8>;
#endif

#ifdef OTHER_WORLD_SHOWS_BOTH_NUMBERS
using MismatchWithNumbers = Fixed::require_world<6>;
#else
using MatchWithNumbers = Fixed::require_world<8>;
#endif

#ifdef WORLD_LEAVES_REMAINDER
using Remainder = Half::require_world<8>;
#else
using NoRemainder = Half::require_world<9>;
#endif

#ifdef WORLD_OF_NONE
using None = Half::require_world<0>;
#else
using Three = Half::require_world<3>;
#endif
