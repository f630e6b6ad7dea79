// SPDX-License-Identifier: Apache-2.0
// What throws at run time does not compile in a constant expression; the name of the function that would have thrown
// says why.
// CASE WORLD_DOES_NOT_FIT: world_size_does_not_fit
// CASE WORLD_OF_NONE: world_size_is_less_than_one
// CASE EXTENT_ZERO: extent_is_less_than_one
// CASE TWO_TO_INFER: only_one_extent_can_be_inferred
// CASE RANK_OUTSIDE: rank_is_outside_the_topology
// CASE COORDINATE_OUTSIDE: coordinate_is_outside_the_topology
// CASE CONVERSION_OF_ANOTHER_EXTENT: extent_differs_from_the_type
#include <muster/topology.hpp>

using muster::Axis;
using muster::Dp;
using muster::dynamic;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

using Half = Topology3D<3, dynamic, 1>;
using Open = Topology<Axis<Dp>, Axis<Tp>>;
using Fixed = Topology<Axis<Dp, 4>, Axis<Tp, 2>>;

#ifdef WORLD_DOES_NOT_FIT
inline constexpr auto world = Half::for_world(8);
#else
inline constexpr auto world = Half::for_world(9);
#endif

#ifdef WORLD_OF_NONE
inline constexpr auto world_of_none = Half::for_world(0);
#else
inline constexpr auto world_of_three = Half::for_world(3);
#endif

#ifdef EXTENT_ZERO
inline constexpr auto extent_zero = Open::for_world(8, 0, 8);
#else
inline constexpr auto extent_one = Open::for_world(8, 1, 8);
#endif

#ifdef TWO_TO_INFER
inline constexpr auto two_to_infer = Open::for_world(8, dynamic, dynamic);
#else
inline constexpr auto one_to_infer = Open::for_world(8, 4, dynamic);
#endif

#ifdef RANK_OUTSIDE
inline constexpr int coordinate = Fixed{}.coordinate<Tp>(8);
#else
inline constexpr int coordinate = Fixed{}.coordinate<Tp>(7);
#endif

#ifdef COORDINATE_OUTSIDE
inline constexpr int rank = Fixed{}.rank_of({0, 2});
#else
inline constexpr int rank = Fixed{}.rank_of({0, 1});
#endif

#ifdef CONVERSION_OF_ANOTHER_EXTENT
inline constexpr Fixed converted(Open::for_world(8, 2, 4));
#else
inline constexpr Fixed converted(Open::for_world(8, 4, 2));
#endif
