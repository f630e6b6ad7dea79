// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/topology/axis.hpp>
#include <muster/topology/static_checks.hpp>
#include <muster/topology/topology.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace muster::inline v0_1 {

namespace detail {

/// The axes that an order can name, as types and as text.
template <std::size_t I>
struct StandardTag;
// clang-format off
template <> struct StandardTag<0> { using type = Tp; };
template <> struct StandardTag<1> { using type = Cp; };
template <> struct StandardTag<2> { using type = Ep; };
template <> struct StandardTag<3> { using type = Dp; };
template <> struct StandardTag<4> { using type = Pp; };
// clang-format on
inline constexpr std::array<std::string_view, 5> standard_names{Tp::name, Cp::name, Ep::name, Dp::name, Pp::name};

[[noreturn]] inline void order_names_an_unknown_axis(std::string_view order, std::string_view token) {
    throw Error(errc::invalid_argument, Stage::topology,
                "the axis order \"" + std::string(order) + "\" names \"" + std::string(token) +
                    "\", which is no axis\n  do: join some of tp, cp, ep, dp and pp by \"-\"");
}

[[noreturn]] inline void order_names_an_axis_twice(std::string_view order, std::string_view token) {
    throw Error(errc::invalid_argument, Stage::topology,
                "the axis order \"" + std::string(order) + "\" names \"" + std::string(token) +
                    "\" twice\n  do: name every axis once");
}

} // namespace detail

/// Standard axes in an order, the slowest first, as the arguments of a Topology stand. See megatron_order.
struct AxisOrder {
    std::array<std::size_t, detail::standard_names.size()> axes{}; ///< places in tp, cp, ep, dp, pp
    std::size_t count = 0;                                         ///< how many of them are named

    /// Name of the axis at `place`; 0 is the slowest.
    [[nodiscard]] constexpr std::string_view name(std::size_t place) const {
        return detail::standard_names.at(axes.at(place));
    }

    [[nodiscard]] friend constexpr bool operator==(const AxisOrder&, const AxisOrder&) = default;
};

/// The order that Megatron-LM writes as "tp-cp-ep-dp-pp": there the FIRST axis varies fastest, the reverse of a
/// Topology's. Usable as a template argument: OrderedTopology<megatron_order("tp-cp-ep-dp-pp"), Axis<Tp, 8>, Axis<Dp>>.
/// Throws: errc::invalid_argument for an axis that is unknown or named twice (in a constant expression: does not
/// compile).
/// Source: RankGenerator in megatron/core/parallel_state.py.
[[nodiscard]] constexpr AxisOrder megatron_order(std::string_view order) {
    std::array<std::size_t, detail::standard_names.size()> fastest_first{};
    std::size_t count = 0;
    for (std::size_t begin = 0; begin <= order.size();) {
        std::size_t end = order.find('-', begin);
        if (end == std::string_view::npos) end = order.size();
        const std::string_view token = order.substr(begin, end - begin);
        std::size_t axis = 0;
        while (axis < detail::standard_names.size() && detail::standard_names[axis] != token) ++axis;
        if (axis == detail::standard_names.size()) detail::order_names_an_unknown_axis(order, token);
        for (std::size_t i = 0; i < count; ++i) {
            if (fastest_first[i] == axis) detail::order_names_an_axis_twice(order, token);
        }
        fastest_first[count++] = axis;
        begin = end + 1;
    }
    AxisOrder result{.axes = {}, .count = count};
    for (std::size_t i = 0; i < count; ++i) result.axes[i] = fastest_first[count - 1 - i];
    return result;
}

namespace detail {

/// Axis<Tag, ...> as it stands among the axes, or with the extent 1.
template <class Tag, class... Axes>
consteval int extent_given() {
    int extent = 1;
    ((std::same_as<Tag, typename AxisTraits<Axes>::tag> ? extent = AxisTraits<Axes>::extent : extent), ...);
    return extent;
}

consteval bool names_axis(const AxisOrder& order, std::string_view name) {
    for (std::size_t place = 0; place < order.count; ++place) {
        if (order.name(place) == name) return true;
    }
    return false;
}

template <AxisOrder Order, class Places, class... Axes>
struct InOrder;

template <AxisOrder Order, std::size_t... Place, class... Axes>
struct InOrder<Order, std::index_sequence<Place...>, Axes...> {
    static_assert(all_different<typename AxisTraits<Axes>::tag...>,
                  "muster: two axes of an OrderedTopology have the same tag; every axis needs its own");
    static_assert((names_axis(Order, AxisTraits<Axes>::name) && ...),
                  "muster: an axis of an OrderedTopology is not named in its order; add it to the order");
    template <std::size_t I>
    using tag = typename StandardTag<Order.axes[I]>::type;
    using type = Topology<Axis<tag<Place>, extent_given<tag<Place>, Axes...>()>...>;
};

} // namespace detail

/// The Topology with the axes of `Order` in that order. Extents are those of `Axes`, in any order; an axis that is not
/// among them has the extent 1.
template <AxisOrder Order, class... Axes>
using OrderedTopology = typename detail::InOrder<Order, std::make_index_sequence<Order.count>, Axes...>::type;

} // namespace muster::inline v0_1
