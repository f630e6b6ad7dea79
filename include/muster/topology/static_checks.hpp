// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>

// What is known of a topology from its type alone.
namespace muster::inline v0_1::detail {

template <class Tag, class... Tags>
inline constexpr std::size_t times_among = (std::size_t{0} + ... + std::same_as<Tag, Tags>);

template <class... Tags>
inline constexpr bool all_different = ((times_among<Tags, Tags...> == 1) && ...);

template <std::size_t N>
consteval bool all_names_different(const std::array<std::string_view, N>& names) {
    for (std::size_t i = 0; i < N; ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            if (names[i] == names[k]) return false;
        }
    }
    return true;
}

template <class... Axes>
struct AxisList {};

template <class... As, class... Bs>
consteval bool same_tags(AxisList<As...>, AxisList<Bs...>) {
    if constexpr (sizeof...(As) == sizeof...(Bs)) {
        return (std::same_as<typename AxisTraits<As>::tag, typename AxisTraits<Bs>::tag> && ...);
    } else {
        return false;
    }
}

template <class... From, class... To>
consteval bool no_static_extents_differ(AxisList<From...>, AxisList<To...>) {
    return ((AxisTraits<From>::extent == AxisTraits<To>::extent || AxisTraits<From>::extent == dynamic ||
             AxisTraits<To>::extent == dynamic) &&
            ...);
}

template <class... From, class... To>
consteval bool any_becomes_static(AxisList<From...>, AxisList<To...>) {
    return ((AxisTraits<From>::extent == dynamic && AxisTraits<To>::extent != dynamic) || ...);
}

/// Satisfied by two lists of the same axes in the same order, none with two static extents that differ: a topology
/// of the first can become one of the second, as for std::extents.
template <class From, class To>
concept AxesConvertibleTo = same_tags(From{}, To{}) && no_static_extents_differ(From{}, To{});

/// Whether that can fail at run time, for an extent that becomes static. A template of its own for the lists that
/// cannot convert at all: clang 14 asks for it before it looks at the constraint.
template <class From, class To>
inline constexpr bool axes_narrow = false;

template <class From, class To>
requires AxesConvertibleTo<From, To>
inline constexpr bool axes_narrow<From, To> = any_becomes_static(From{}, To{});

/// Place of `Tag` among the axes.
template <class Tag, class... Axes>
struct AxisIndex {
    static constexpr bool found = times_among<Tag, typename AxisTraits<Axes>::tag...> > 0;
    static_assert(found, "muster: the topology has no axis with this tag; its axes are the arguments of Topology");

    static constexpr std::size_t value = [] {
        constexpr std::array<bool, sizeof...(Axes)> here{std::same_as<Tag, typename AxisTraits<Axes>::tag>...};
        std::size_t axis = 0;
        while (found && !here[axis]) ++axis;
        return axis;
    }();
};

/// Whether each of `Axes` has one of the tags.
template <class List, class... Tags>
inline constexpr bool chosen_among = false;

template <class... Axes, class... Tags>
inline constexpr std::array<bool, sizeof...(Axes)> chosen_among<AxisList<Axes...>, Tags...>{
    (times_among<typename AxisTraits<Axes>::tag, Tags...> > 0)...};

// The two names carry the numbers, which the sentence of a static_assert cannot.
template <int WorldSize, int ProductOfExtents>
struct world_size_mismatch {
    static_assert(WorldSize == ProductOfExtents,
                  "muster: the world size is not the product of the topology's extents: see "
                  "world_size_mismatch<world size, product>; launch that many ranks or change an extent");
};

template <int WorldSize, int ProductOfStaticExtents>
struct world_size_not_divisible {
    static_assert(WorldSize >= 1 && WorldSize % ProductOfStaticExtents == 0,
                  "muster: the world size is not a multiple of the topology's static extents: see "
                  "world_size_not_divisible<world size, product>; launch a multiple of it or change an extent");
};

/// `type` is T, once the world size is known to fit it.
template <class T, int WorldSize, int Product, bool IsStatic>
struct RequireWorld : std::conditional_t<IsStatic, world_size_mismatch<WorldSize, Product>,
                                         world_size_not_divisible<WorldSize, Product>> {
    using type = T;
};

} // namespace muster::inline v0_1::detail
