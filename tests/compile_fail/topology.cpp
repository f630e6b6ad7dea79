// SPDX-License-Identifier: Apache-2.0
// CASE NO_AXES: muster: a topology has 1 to 8 axes
// CASE NINE_AXES: muster: a topology has 1 to 8 axes
// CASE A_TAG_IS_NO_AXIS: muster: every argument of Topology must be an Axis<Tag, Extent>
// CASE AN_INT_IS_NO_AXIS: muster: every argument of Topology must be an Axis<Tag, Extent>
// CASE SAME_TAG: muster: two axes of a topology have the same tag
// CASE SAME_NAME: muster: two tags of a topology have the same name
// CASE BEYOND_INT: muster: the product of the topology's extents must fit int
// CASE BEYOND_INT_BESIDE_DYNAMIC: muster: the product of the topology's extents must fit int
// CASE BEYOND_64_BITS: muster: the product of the topology's extents must fit int
#include <muster/topology.hpp>

#include <string_view>

using muster::Axis;
using muster::Cp;
using muster::Dp;
using muster::Ep;
using muster::Pp;
using muster::Topology;
using muster::Tp;

template <char Letter>
struct Named {
    static constexpr char text[]{Letter, '\0'};
    static constexpr std::string_view name{text, 1};
};

#ifdef NO_AXES
static_assert(Topology<>::ndim() == 0);
#else
static_assert(Topology<Axis<Tp>>::ndim() == 1);
#endif

#ifdef NINE_AXES
static_assert(Topology<Axis<Tp>, Axis<Dp>, Axis<Cp>, Axis<Pp>, Axis<Ep>, Axis<Named<'a'>>, Axis<Named<'b'>>,
                       Axis<Named<'c'>>, Axis<Named<'d'>>>::ndim() == 9);
#else
static_assert(Topology<Axis<Tp>, Axis<Dp>, Axis<Cp>, Axis<Pp>, Axis<Ep>, Axis<Named<'a'>>, Axis<Named<'b'>>,
                       Axis<Named<'c'>>>::ndim() == 8);
#endif

#ifdef A_TAG_IS_NO_AXIS
static_assert(Topology<Dp, Axis<Tp, 2>>::ndim() == 2);
#else
static_assert(Topology<Axis<Dp>, Axis<Tp, 2>>::ndim() == 2);
#endif

#ifdef AN_INT_IS_NO_AXIS
static_assert(Topology<Axis<Dp>, int>::ndim() == 2);
#else
static_assert(Topology<Axis<Dp>, Axis<Tp>>::ndim() == 2);
#endif

#ifdef SAME_TAG
static_assert(Topology<Axis<Dp, 2>, Axis<Tp, 2>, Axis<Dp, 4>>::ndim() == 3);
#else
static_assert(Topology<Axis<Dp, 2>, Axis<Tp, 2>, Axis<Cp, 4>>::ndim() == 3);
#endif

struct OtherTp {
#ifdef SAME_NAME
    static constexpr std::string_view name = "tp";
#else
    static constexpr std::string_view name = "other_tp";
#endif
};
static_assert(Topology<Axis<OtherTp, 2>, Axis<Tp, 2>>::ndim() == 2);

#ifdef BEYOND_INT
static_assert(Topology<Axis<Dp, 65536>, Axis<Tp, 32768>>::static_size() != 0);
#else
static_assert(Topology<Axis<Dp, 65535>, Axis<Tp, 32768>>::static_size() != 0);
#endif

#ifdef BEYOND_INT_BESIDE_DYNAMIC
static_assert(Topology<Axis<Dp, 65536>, Axis<Cp>, Axis<Tp, 32768>>::ndim() == 3);
#else
static_assert(Topology<Axis<Dp, 65535>, Axis<Cp>, Axis<Tp, 32768>>::ndim() == 3);
#endif

#ifdef BEYOND_64_BITS
static_assert(Topology<Axis<Dp, 2147483647>, Axis<Tp, 2147483647>, Axis<Cp, 2147483647>>::static_size() != 0);
#else
static_assert(Topology<Axis<Dp, 2147483647>, Axis<Tp, 1>, Axis<Cp, 1>>::static_size() != 0);
#endif
