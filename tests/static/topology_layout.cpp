// SPDX-License-Identifier: Apache-2.0
#include <muster/topology.hpp>

#include <string_view>
#include <type_traits>

namespace {

using muster::Axis;
using muster::AxisTag;
using muster::Cp;
using muster::Dp;
using muster::dynamic;
using muster::Ep;
using muster::Pp;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

// Only dynamic extents are stored.
using Fixed = Topology3D<2, 4, 1>;
using Half = Topology3D<2, dynamic, 1>;
using Open = Topology3D<dynamic, dynamic, dynamic>;
static_assert(std::is_empty_v<Fixed>);
static_assert(sizeof(Half) == sizeof(int));
static_assert(sizeof(Open) == 3 * sizeof(int));

template <class T>
constexpr bool is_plain_value = std::is_trivially_copyable_v<T>&& std::is_standard_layout_v<T>&&
    std::is_nothrow_copy_constructible_v<T>&& std::is_nothrow_copy_assignable_v<T>;
static_assert(is_plain_value<Fixed> && is_plain_value<Half> && is_plain_value<Open>);

// A topology whose extents are not known cannot come from nothing, nor from a number.
static_assert(std::is_default_constructible_v<Fixed>);
static_assert(!std::is_default_constructible_v<Half>);
static_assert(!std::is_default_constructible_v<Open>);
static_assert(!std::is_constructible_v<Half, int>);
static_assert(!std::is_constructible_v<Open, int, int, int>);

// What the type says.
static_assert(Fixed::ndim() == 3 && Half::ndim() == 3);
static_assert(Fixed::ndim_dynamic() == 0 && Half::ndim_dynamic() == 1 && Open::ndim_dynamic() == 3);
static_assert(Fixed::is_static && !Half::is_static);
static_assert(Fixed::static_size() == 8);
static_assert(Half::static_extent<Tp>() == 2 && Half::static_extent<Dp>() == dynamic);
static_assert(Half::has_axis<Cp> && !Half::has_axis<Pp>);

// static_size() can be asked for, and is not there when an extent is dynamic.
template <class T>
concept HasStaticSize = requires {
    T::static_size();
};
static_assert(HasStaticSize<Fixed>);
static_assert(!HasStaticSize<Half>);

// The largest world.
static_assert(Topology<Axis<Dp, 2147483647>, Axis<Tp, 1>>::static_size() == 2147483647);

// Topology3D is data, tensor, context parallel; its template arguments stand in another order.
static_assert(std::is_same_v<Topology3D<2, 4, 3>, Topology<Axis<Dp, 4>, Axis<Tp, 2>, Axis<Cp, 3>>>);

// require_world is the topology itself.
static_assert(std::is_same_v<Fixed::require_world<8>, Fixed>);
static_assert(std::is_same_v<Half::require_world<8>, Half>);
static_assert(std::is_same_v<Open::require_world<7>, Open>);

// Tags.
static_assert(AxisTag<Tp> && AxisTag<Dp> && AxisTag<Cp> && AxisTag<Pp> && AxisTag<Ep>);
struct Rows {
    static constexpr std::string_view name = "rows";
};
struct CharacterArray {
    static constexpr const char* name = "experts_2";
};
struct NoName {};
struct NameOfAnotherType {
    static constexpr int name = 1;
};
struct NotConstant {
    static inline std::string_view name = "rows";
};
struct EmptyName {
    static constexpr std::string_view name = "";
};
struct UpperCase {
    static constexpr std::string_view name = "TP";
};
struct WithSpace {
    static constexpr std::string_view name = "t p";
};
static_assert(AxisTag<Rows> && AxisTag<CharacterArray>);
static_assert(!AxisTag<int> && !AxisTag<NoName> && !AxisTag<NameOfAnotherType> && !AxisTag<NotConstant>);
static_assert(!AxisTag<EmptyName> && !AxisTag<UpperCase> && !AxisTag<WithSpace>);
static_assert(Topology<Axis<Rows, 3>, Axis<CharacterArray, 2>>::static_size() == 6);

// The sentinel is no small number that a program might compute by mistake.
static_assert(dynamic != 0 && dynamic != -1);

} // namespace
