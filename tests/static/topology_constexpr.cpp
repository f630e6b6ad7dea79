// SPDX-License-Identifier: Apache-2.0
#include <muster/topology.hpp>

#include <array>
#include <type_traits>
#include <vector>

namespace {

using muster::Axis;
using muster::Cp;
using muster::Dp;
using muster::dynamic;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

// Everything but the texts works in constant expressions.
using Fixed = Topology3D<2, 2, 2>;
constexpr Fixed fixed;
static_assert(fixed.size() == 8 && fixed.extent<Cp>() == 2);
static_assert(fixed.extents() == std::array{2, 2, 2});
static_assert(fixed.coordinate(5) == std::array{1, 0, 1});
static_assert(fixed.coordinate<Dp>(5) == 1);
static_assert(fixed.rank_of({1, 0, 1}) == 5);
static_assert(fixed.group<Tp>(5) == std::vector{5, 7});
static_assert(fixed.group<Cp, Dp>(7) == std::vector{2, 3, 6, 7});
static_assert(fixed.groups<Dp>().size() == 4 && fixed.groups<Dp>()[3] == std::vector{3, 7});

constexpr auto half = Topology3D<2, dynamic, 2>::for_world(12);
static_assert(half.extent<Dp>() == 3 && half.size() == 12);
static_assert(half.group<Dp>(5) == std::vector{1, 5, 9});
constexpr auto open = Topology<Axis<Dp>, Axis<Tp>>::for_world(12, 3, dynamic);
static_assert(open.extents() == std::array{3, 4});
static_assert(Fixed::for_world(8) == fixed);

// A mistake in a constant expression is none at run time.
template <auto Make>
concept IsConstant = requires {
    typename std::bool_constant<(static_cast<void>(Make()), true)>;
};
template <int World>
constexpr auto in_world = [] { return Topology3D<3, dynamic, 1>::for_world(World); };
static_assert(IsConstant<in_world<9>>);
static_assert(!IsConstant<in_world<8>>);
static_assert(!IsConstant<in_world<0>>);
template <int Rank>
constexpr auto coordinate_of = [] { return fixed.coordinate(Rank); };
static_assert(IsConstant<coordinate_of<7>>);
static_assert(!IsConstant<coordinate_of<8>>);
static_assert(!IsConstant<coordinate_of<-1>>);

} // namespace
