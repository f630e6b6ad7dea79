// SPDX-License-Identifier: Apache-2.0
// CASE ZERO: muster: the extent of an axis must be at least 1
// CASE NEGATIVE: muster: the extent of an axis must be at least 1
// CASE MINUS_ONE_IS_NOT_DYNAMIC: muster: the extent of an axis must be at least 1
// CASE NOT_A_TAG: AxisTag
// CASE NAME_WITH_A_SPACE: AxisTag
#include <muster/topology.hpp>

#include <string_view>

using muster::Axis;
using muster::Dp;
using muster::dynamic;
using muster::Tp;

struct Rows {
#ifdef NAME_WITH_A_SPACE
    static constexpr std::string_view name = "my rows";
#else
    static constexpr std::string_view name = "my_rows";
#endif
};
static_assert(Axis<Rows, 2>::extent == 2);

#ifdef ZERO
static_assert(muster::Topology3D<0, 2, 1>::ndim() == 3);
#else
static_assert(muster::Topology3D<1, 2, 1>::ndim() == 3);
#endif

#ifdef NEGATIVE
static_assert(Axis<Tp, -8>::extent == -8);
#else
static_assert(Axis<Tp, 8>::extent == 8);
#endif

#ifdef MINUS_ONE_IS_NOT_DYNAMIC
static_assert(muster::Topology<Axis<Dp, -1>, Axis<Tp, 2>>::ndim_dynamic() == 1);
#else
static_assert(muster::Topology<Axis<Dp, dynamic>, Axis<Tp, 2>>::ndim_dynamic() == 1);
#endif

#ifdef NOT_A_TAG
using Bad = Axis<int, 2>;
#else
using Good = Axis<Tp, 2>;
#endif
