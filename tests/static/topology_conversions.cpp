// SPDX-License-Identifier: Apache-2.0
#include <muster/topology.hpp>

#include <type_traits>

namespace {

using muster::Axis;
using muster::Cp;
using muster::Dp;
using muster::dynamic;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

using Fixed = Topology3D<2, 4, 1>;
using Half = Topology3D<2, dynamic, 1>;
using Other = Topology3D<dynamic, 4, 1>;
using Open = Topology3D<dynamic, dynamic, dynamic>;

template <class From, class To>
constexpr bool implicit = std::is_convertible_v<From, To>;
template <class From, class To>
constexpr bool only_explicit = std::is_constructible_v<To, From> && !std::is_convertible_v<From, To>;
template <class From, class To>
constexpr bool impossible = !std::is_constructible_v<To, From>;

// Forgetting what the type says is implicit, at any number of axes.
static_assert(implicit<Fixed, Half> && implicit<Fixed, Open> && implicit<Half, Open>);
// Learning it is explicit, also where something else is forgotten.
static_assert(only_explicit<Open, Half> && only_explicit<Open, Fixed> && only_explicit<Half, Fixed>);
static_assert(only_explicit<Half, Other> && only_explicit<Other, Half>);
// Other extents, other axes, another order, another number of axes.
static_assert(impossible<Fixed, Topology3D<4, 2, 1>> && impossible<Half, Topology3D<3, dynamic, 1>>);
static_assert(impossible<Topology<Axis<Dp>>, Topology<Axis<Tp>>>);
static_assert(impossible<Topology<Axis<Dp>, Axis<Tp>>, Topology<Axis<Tp>, Axis<Dp>>>);
static_assert(impossible<Topology<Axis<Dp>, Axis<Tp>>, Topology<Axis<Dp>>>);
static_assert(impossible<Topology<Axis<Dp>>, Topology<Axis<Dp>, Axis<Tp>>>);

// Values survive.
constexpr Open open = Fixed{};
static_assert(open == Fixed{} && open.extents() == Fixed{}.extents());
static_assert(Fixed(open) == Fixed{} && Half(open) == open && Half(open).extent<Dp>() == 4);
static_assert(Other(Half(open)) == open);

// A conversion whose extents differ is no constant; the same one with extents that agree is.
template <auto Make>
concept IsConstant = requires {
    typename std::bool_constant<(static_cast<void>(Make()), true)>;
};
constexpr auto agrees = [] { return Fixed(Open::for_world(8, 4, 2, 1)); };
constexpr auto differs = [] { return Fixed(Open::for_world(8, 2, 4, 1)); };
static_assert(IsConstant<agrees>);
static_assert(!IsConstant<differs>);

// Comparison needs no conversion.
static_assert(open != Topology3D<4, 2, 1>{});
static_assert(Fixed{} != Topology<Axis<Dp, 4>, Axis<Tp, 2>>{});
static_assert(Fixed{} == open && !(Fixed{} != open));

} // namespace
