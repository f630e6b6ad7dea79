// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>
#include <muster/topology/static_checks.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

namespace muster::inline v0_1 {

template <class... Axes>
class Topology;

namespace detail {

/// The axes of `In` with one of the tags, in the order of `In`.
template <class Out, class In, class... Tags>
struct Filter;

template <class... Out, class... Tags>
struct Filter<AxisList<Out...>, AxisList<>, Tags...> {
    using type = AxisList<Out...>;
};

template <class... Out, class First, class... Rest, class... Tags>
struct Filter<AxisList<Out...>, AxisList<First, Rest...>, Tags...>
    : Filter<std::conditional_t<(times_among<typename AxisTraits<First>::tag, Tags...> > 0), AxisList<Out..., First>,
                                AxisList<Out...>>,
             AxisList<Rest...>, Tags...> {};

template <class List>
struct TopologyOf;

template <class... Axes>
struct TopologyOf<AxisList<Axes...>> {
    using type = Topology<Axes...>;
};

/// Shown by the compiler: the tags as they were given, and as they should be.
template <class Given, class InTheTopologysOrder>
struct axes_out_of_order {
    static_assert(std::same_as<Given, InTheTopologysOrder>,
                  "muster: the axes must be named in the topology's order: see axes_out_of_order<given, right>");
};

template <class List>
struct TagsOf;

template <class... Axes>
struct TagsOf<AxisList<Axes...>> {
    using type = AxisList<typename AxisTraits<Axes>::tag...>;
};

template <class Whole, AxisTag... Tags, int... Extent>
constexpr Topology<Axis<Tags, Extent>...> taken_from(const Whole& whole,
                                                     std::type_identity<Topology<Axis<Tags, Extent>...>>) {
    std::array<int, (std::size_t{0} + ... + (Extent == dynamic))> open{};
    std::size_t next = 0;
    const auto take = [&]<class Tag, int Fixed>(std::type_identity<Axis<Tag, Fixed>>) {
        if constexpr (Fixed == dynamic) open[next++] = whole.template extent<Tag>();
    };
    (take(std::type_identity<Axis<Tags, Extent>>{}), ...);
    return Topology<Axis<Tags, Extent>...>::for_world((1 * ... * whole.template extent<Tags>()), open);
}

} // namespace detail

/// The grid of some of the axes, in the order of `topology`: sub_topology<Dp, Cp>(topology).
template <AxisTag... Tags, class... Axes>
[[nodiscard]] constexpr auto sub_topology(const Topology<Axes...>& topology) {
    return detail::taken_from(topology, std::type_identity<typename Topology<Axes...>::template subset<Tags...>>{});
}

} // namespace muster::inline v0_1
