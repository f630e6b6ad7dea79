// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology/axis.hpp>
#include <muster/topology/errors.hpp>
#include <muster/topology/fit.hpp>
#include <muster/topology/requirements.hpp>
#include <muster/topology/row_major.hpp>
#include <muster/topology/static_checks.hpp>
#include <muster/topology/subset.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace muster::inline v0_1 {

/// The ranks of a world as a grid with named axes, row-major: the LAST axis varies fastest. Says who stands where and
/// who forms a group; does no I/O. Every extent is at least 1 and their product, the number of ranks, fits int.
///
/// Stores the dynamic extents and nothing else: without them it is an empty class. Conversions follow std::extents,
/// but an extent that differs from the one in the type throws (in a constant expression: does not compile).
template <class... Axes>
class Topology {
    template <class Tag>
    static constexpr std::size_t index_ = detail::AxisIndex<Tag, Axes...>::value;

    static constexpr std::size_t n_ = sizeof...(Axes);
    static constexpr std::size_t n_dynamic_ = (std::size_t{0} + ... + (detail::AxisTraits<Axes>::extent == dynamic));
    static constexpr std::array<std::string_view, n_> names_{detail::AxisTraits<Axes>::name...};
    static constexpr std::array<int, n_> static_extents_{detail::AxisTraits<Axes>::extent...};
    static constexpr detail::AxisFacts facts_{names_, static_extents_};

    static_assert(n_ >= 1 && n_ <= 8, "muster: a topology has 1 to 8 axes");
    static_assert((detail::AxisTraits<Axes>::is_axis && ...),
                  "muster: every argument of Topology must be an Axis<Tag, Extent>, such as Axis<Tp, 8>");
    static_assert(detail::all_different<typename detail::AxisTraits<Axes>::tag...>,
                  "muster: two axes of a topology have the same tag; every axis needs its own");
    static_assert(!detail::all_different<typename detail::AxisTraits<Axes>::tag...> ||
                      detail::all_names_different(names_),
                  "muster: two tags of a topology have the same name; errors could not tell their axes apart");
    static_assert(detail::fits_int(detail::product(static_extents_)),
                  "muster: the product of the topology's extents must fit int: at most 2147483647 ranks");

    template <class... Tags>
    static consteval std::array<bool, n_> chosen() {
        static_assert(sizeof...(Tags) > 0, "muster: name the axes of the group, as in group<Dp, Cp>(rank)");
        static_assert(detail::all_different<Tags...>, "muster: a tag stands twice among the axes of a group");
        static_assert(((index_<Tags> < n_) && ...)); // says which axes there are
        return detail::chosen_among<detail::AxisList<Axes...>, Tags...>;
    }

    template <class Tag>
    constexpr int neighbor(int rank, int steps) const {
        std::array<int, n_> there = coordinate(rank);
        there[index_<Tag>] = (there[index_<Tag>] + steps) % extent<Tag>();
        return detail::rank_of(there, extents());
    }

public:
    /// Number of axes.
    [[nodiscard]] static constexpr int ndim() noexcept { return static_cast<int>(n_); }

    /// Number of axes whose extent is known at run time only.
    [[nodiscard]] static constexpr int ndim_dynamic() noexcept { return static_cast<int>(n_dynamic_); }

    /// Whether every extent is fixed by the type.
    static constexpr bool is_static = n_dynamic_ == 0;

    /// Whether one of the axes has this tag.
    template <AxisTag Tag>
    static constexpr bool has_axis = (std::same_as<Tag, typename detail::AxisTraits<Axes>::tag> || ...);

    /// Extent of the axis as the type fixes it, or `dynamic`.
    template <AxisTag Tag>
    [[nodiscard]] static constexpr int static_extent() noexcept {
        return static_extents_[index_<Tag>];
    }

    /// Number of ranks.
    [[nodiscard]] static consteval int static_size() noexcept requires is_static {
        return static_cast<int>(detail::product(static_extents_));
    }

    /// This topology, if a world of `WorldSize` fits it; a compile error with both numbers if not. Of a topology with
    /// dynamic axes the static extents are checked: `WorldSize` must be a multiple of their product.
    template <int WorldSize>
    using require_world =
        typename detail::RequireWorld<Topology, WorldSize, detail::product(static_extents_), is_static>::type;

    /// This topology, if every group along the axes stays within a node; a compile error with the first group that does
    /// not. Ranks fill the nodes one after the other, `PerNode` on each; slower axes may be dynamic.
    template <int PerNode, AxisTag... Tags>
    using require_node_local =
        typename detail::Required<Topology, detail::NodeLocal<detail::AxisList<Axes...>, PerNode, Tags...>>::type;

    /// This topology, if the extent of the axis divides `Number` (a hidden size, heads, layers); a compile error with
    /// both if not. For an extent known at run time: shard.
    template <AxisTag Tag, int Number>
    using require_divisible =
        typename detail::Required<Topology, detail::Divisible<static_extent<Tag>(), Number>>::type;

    /// The topology of a type without dynamic extents.
    constexpr Topology() noexcept requires is_static = default;

    /// The topology of a world. The dynamic extents come in axis order, and one of them may be `dynamic` again: it is
    /// inferred. `origin` is for the reader of an error: lines that say where the numbers came from.
    /// Throws: errc::world_mismatch when the extents do not make `world_size`, errc::invalid_argument for numbers
    /// below 1 or two extents to infer.
    [[nodiscard]] static constexpr Topology for_world(int world_size,
                                                      const std::array<int, n_dynamic_>& dynamic_extents,
                                                      std::string_view origin = {}) {
        return Topology(detail::fit_to_world(world_size, all_extents(dynamic_extents), facts_, origin));
    }

    /// The same with the dynamic extents as arguments; the only one may be left out, and is inferred.
    template <std::same_as<int>... Extents>
    [[nodiscard]] static constexpr Topology for_world(int world_size, Extents... dynamic_extents) {
        constexpr std::size_t given = sizeof...(Extents);
        static_assert(given > 0 || n_dynamic_ < 2,
                      "muster: for_world(world_size) can infer one extent, and this topology has more dynamic ones; "
                      "give them in axis order, muster::dynamic for the one to infer");
        static_assert(
            given == 0 || given == n_dynamic_,
            "muster: for_world(world_size, extents...) takes one extent for each dynamic axis, in axis order");
        std::array<int, n_dynamic_> all;
        all.fill(dynamic);
        if constexpr (given == n_dynamic_) all = {dynamic_extents...};
        return for_world(world_size, all);
    }

    /// The same axes with other extents fixed by the type. Explicit when an extent becomes fixed.
    /// Throws: errc::invalid_argument when an extent that becomes fixed has another value.
    template <class... Others>
    requires detail::AxesConvertibleTo<detail::AxisList<Others...>, detail::AxisList<Axes...>>
    constexpr explicit(detail::axes_narrow<detail::AxisList<Others...>, detail::AxisList<Axes...>>)
        Topology(const Topology<Others...>& other)
        : Topology(other.extents()) {}

    /// Number of ranks.
    [[nodiscard]] constexpr int size() const noexcept { return static_cast<int>(detail::product(extents())); }

    /// Number of ranks along the axis.
    template <AxisTag Tag>
    [[nodiscard]] constexpr int extent() const noexcept {
        return extents()[index_<Tag>];
    }

    /// All extents, in axis order.
    [[nodiscard]] constexpr std::array<int, n_> extents() const noexcept {
        if constexpr (is_static) {
            return static_extents_;
        } else {
            return all_extents(dynamic_extents_);
        }
    }

    /// Where the rank stands, in axis order. Throws: errc::invalid_argument when there is no such rank.
    [[nodiscard]] constexpr std::array<int, n_> coordinate(int rank) const {
        check(rank);
        return detail::coordinate_of(rank, extents());
    }

    /// Where the rank stands along one axis: its rank in that axis' group.
    template <AxisTag Tag>
    [[nodiscard]] constexpr int coordinate(int rank) const {
        return coordinate(rank)[index_<Tag>];
    }

    /// The rank that stands there. Throws: errc::invalid_argument when nobody does.
    [[nodiscard]] constexpr int rank_of(const std::array<int, n_>& coordinate) const {
        const std::array<int, n_> all = extents();
        for (std::size_t axis = 0; axis < n_; ++axis) {
            if (coordinate[axis] < 0 || coordinate[axis] >= all[axis]) {
                detail::coordinate_is_outside_the_topology(facts_, all, axis, coordinate[axis]);
            }
        }
        return detail::rank_of(coordinate, all);
    }

    /// Ranks that differ from `rank` along these axes only, and `rank` itself; ascending. The order of the tags does
    /// not matter. Throws: errc::invalid_argument when there is no such rank.
    template <AxisTag... Tags>
    [[nodiscard]] constexpr std::vector<int> group(int rank) const {
        constexpr std::array<bool, n_> along = chosen<Tags...>();
        std::array<int, n_> first = coordinate(rank);
        for (std::size_t axis = 0; axis < n_; ++axis) {
            if (along[axis]) first[axis] = 0;
        }
        return detail::moved(detail::ranks_along(along, extents()), detail::rank_of(first, extents()));
    }

    /// All groups along these axes, each rank in exactly one; ordered by their first ranks, which is row-major in the
    /// axes that are left.
    template <AxisTag... Tags>
    [[nodiscard]] constexpr std::vector<std::vector<int>> groups() const {
        constexpr std::array<bool, n_> along = chosen<Tags...>();
        std::array<bool, n_> across{};
        for (std::size_t axis = 0; axis < n_; ++axis) across[axis] = !along[axis];
        const std::vector<int> members = detail::ranks_along(along, extents());
        std::vector<std::vector<int>> all;
        for (const int first : detail::ranks_along(across, extents())) all.push_back(detail::moved(members, first));
        return all;
    }

    /// The rank after `rank` along the axis, in a ring; previous is its inverse. Throws: as coordinate.
    template <AxisTag Tag>
    [[nodiscard]] constexpr int next(int rank) const {
        return neighbor<Tag>(rank, 1);
    }
    template <AxisTag Tag>
    [[nodiscard]] constexpr int previous(int rank) const {
        return neighbor<Tag>(rank, extent<Tag>() - 1);
    }

    /// Whether the rank is at an end of the axis.
    template <AxisTag Tag>
    [[nodiscard]] constexpr bool is_first(int rank) const {
        return coordinate<Tag>(rank) == 0;
    }
    template <AxisTag Tag>
    [[nodiscard]] constexpr bool is_last(int rank) const {
        return coordinate<Tag>(rank) == extent<Tag>() - 1;
    }

    /// One rank's share of `number` things (samples, heads, layers) that the ranks of the axis share out evenly. `what`
    /// names them in the error: "sequence length".
    /// Throws: errc::invalid_argument, with the nearest numbers that fit, when a remainder is left or there is nothing
    /// to share (in a constant expression: does not compile).
    template <AxisTag Tag, std::integral Number>
    [[nodiscard]] constexpr Number shard(Number number, std::string_view what = {}) const {
        using Wide = std::common_type_t<Number, long long>;
        const Wide total = number;
        const auto parts = static_cast<Wide>(extent<Tag>());
        if (total < 1 || total % parts != 0)
            detail::number_is_not_divisible<Wide>(what, total, std::numeric_limits<Number>::max(), names_[index_<Tag>],
                                                  parts);
        return static_cast<Number>(total / parts);
    }

    /// Of some of the axes, in this one's order; muster::sub_topology makes it.
    template <AxisTag... Tags>
    using subset = typename detail::TopologyOf<
        typename detail::Filter<detail::AxisList<>, detail::AxisList<Axes...>, Tags...>::type>::type;

    /// "dp=2 tp=4 cp=1", in axis order: what ranks compare to know that they mean the same grid.
    [[nodiscard]] std::string signature() const { return detail::signature_text(names_, extents()); }

private:
    struct Nothing {};

    constexpr explicit Topology(const std::array<int, n_>& all) {
        std::size_t next = 0;
        for (std::size_t axis = 0; axis < n_; ++axis) {
            if (static_extents_[axis] == dynamic) {
                if constexpr (!is_static) dynamic_extents_[next++] = all[axis];
            } else if (all[axis] != static_extents_[axis]) {
                detail::extent_differs_from_the_type(facts_, all, axis);
            }
        }
    }

    static constexpr std::array<int, n_> all_extents(const std::array<int, n_dynamic_>& dynamic_extents) noexcept {
        std::array<int, n_> all = static_extents_;
        if constexpr (!is_static) {
            std::size_t next = 0;
            for (int& extent : all) {
                if (extent == dynamic) extent = dynamic_extents[next++];
            }
        }
        return all;
    }

    constexpr void check(int rank) const {
        if (rank < 0 || rank >= size()) detail::rank_is_outside_the_topology(rank, facts_, extents());
    }

    [[no_unique_address]] std::conditional_t<is_static, Nothing, std::array<int, n_dynamic_>> dynamic_extents_{};
};

/// Whether both have the same axes in the same order with the same extents.
template <class... Axes, class... Others>
[[nodiscard]] constexpr bool operator==(const Topology<Axes...>& a, const Topology<Others...>& b) noexcept {
    if constexpr (detail::same_tags(detail::AxisList<Axes...>{}, detail::AxisList<Others...>{})) {
        return a.extents() == b.extents();
    } else {
        return false;
    }
}

/// The grid of DeviceMesh<TP, DP, CP>: rank = (dp * TP + tp) * CP + cp.
template <int TP, int DP, int CP>
using Topology3D = Topology<Axis<Dp, DP>, Axis<Tp, TP>, Axis<Cp, CP>>;

} // namespace muster::inline v0_1
