// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/parse.hpp>
#include <muster/topology.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace muster::inline v0_1 {

/// Extents known at run time, by axis: `Extents{.tp = 2, .dp = 4}`. One that is left out comes from the environment
/// (TP_SIZE, DP_SIZE, CP_SIZE, PP_SIZE, EP_SIZE) or, if it is the only one, from the world size.
struct Extents {
    /// Ranks along the axis.
    std::optional<int> tp = {};
    std::optional<int> dp = {};
    std::optional<int> cp = {};
    std::optional<int> pp = {};
    std::optional<int> ep = {};
};

namespace detail {

template <AxisTag Tag>
[[nodiscard]] std::optional<int> requested(const Extents& extents) {
    if constexpr (std::same_as<Tag, Tp>) return extents.tp;
    if constexpr (std::same_as<Tag, Dp>) return extents.dp;
    if constexpr (std::same_as<Tag, Cp>) return extents.cp;
    if constexpr (std::same_as<Tag, Pp>) return extents.pp;
    if constexpr (std::same_as<Tag, Ep>) return extents.ep;
    return std::nullopt;
}

/// One axis as it was asked for, and by what.
struct ExtentRequest {
    std::string axis; ///< upper case, as in error texts
    int extent = dynamic;
    std::string from;
};

/// From the constructor, else from <AXIS>_SIZE. An extent that the type fixes must not be contradicted by either.
template <AxisTag Tag, int Extent>
[[nodiscard]] ExtentRequest request(const Extents& extents, const Environment& environment) {
    ExtentRequest result{upper(Tag::name), Extent, Extent == dynamic ? std::string() : "fixed by the type"};
    const auto take = [&](std::optional<int> value, const std::string& from) {
        if (!value) return;
        if (Extent != dynamic && *value != Extent)
            throw Error(errc::invalid_argument, Stage::mesh,
                        format("{} is {} from {}, but the mesh's type fixes it to {}\n  do: change one of them",
                               {result.axis, *value, from, Extent}));
        if (result.extent == dynamic) {
            result.extent = *value;
            result.from = "from " + from;
        }
    };
    take(requested<Tag>(extents), "the constructor");
    const std::string variable = result.axis + "_SIZE";
    if (variable == "WORLD_SIZE") return result; // a launcher's, which need not be this mesh's
    take(parse_int(environment, variable, 1, std::numeric_limits<int>::max()), variable);
    return result;
}

/// "world size: 6, from WORLD_SIZE (torchrun); DP: 2, from DP_SIZE; TP, CP: fixed by the type"
template <std::size_t N>
[[nodiscard]] std::string origin_text(const Launch& launch, const std::array<ExtentRequest, N>& requests) {
    std::vector<std::string> parts{
        launch.from.world_size.empty()
            ? format("world size: {}, no launcher found", {launch.world_size})
            : format("world size: {}, from {} ({})", {launch.world_size, launch.from.world_size, launch.launcher})};
    std::vector<std::string> fixed;
    for (const ExtentRequest& each : requests) {
        if (each.from == "fixed by the type") {
            fixed.push_back(each.axis);
        } else {
            parts.push_back(each.extent == dynamic ? format("{}: to infer", {each.axis})
                                                   : format("{}: {}, {}", {each.axis, each.extent, each.from}));
        }
    }
    if (!fixed.empty()) parts.push_back(format("{}: fixed by the type", {joined(fixed, ", ")}));
    return joined(parts, "; ");
}

template <class Grid, AxisTag... Tags>
inline constexpr bool has_any_axis = (Grid::template has_axis<Tags> || ...);

/// Whether TP_SIZE and the like are about the grid. A grid of other axes alone, as a process group is one, ignores
/// them.
template <class Grid>
inline constexpr bool has_named_axes = has_any_axis<Grid, Tp, Dp, Cp, Pp, Ep>;

/// An extent for an axis that the mesh has not: the grid would be another one than was asked for.
template <class Grid, AxisTag Tag>
void refuse_unless_in(const Extents& extents, const Environment& environment) {
    if (Grid::template has_axis<Tag>) return;
    const auto refuse = [](const std::string& extent, const std::string& from) {
        throw Error(
            errc::invalid_argument, Stage::mesh,
            format("{} is {} from {}, but the mesh has no such axis\n  do: leave it out, or add the axis to the "
                   "mesh's type",
                   {upper(Tag::name), extent, from}));
    };
    if (requested<Tag>(extents)) refuse(std::to_string(*requested<Tag>(extents)), "the constructor");
    const std::string variable = upper(Tag::name) + "_SIZE";
    const auto value = has_named_axes<Grid> ? environment.get(variable) : std::nullopt;
    if (value && *value != "1") refuse(*value, variable);
}

/// The topology of this launch. Throws: errc::world_mismatch or errc::invalid_argument, with where each number came
/// from.
template <AxisTag... Tags, int... Extent>
[[nodiscard]] Topology<Axis<Tags, Extent>...> fit(std::type_identity<Topology<Axis<Tags, Extent>...>>,
                                                  const Launch& launch, const Extents& extents) {
    using Grid = Topology<Axis<Tags, Extent>...>;
    refuse_unless_in<Grid, Tp>(extents, launch.environment);
    refuse_unless_in<Grid, Dp>(extents, launch.environment);
    refuse_unless_in<Grid, Cp>(extents, launch.environment);
    refuse_unless_in<Grid, Pp>(extents, launch.environment);
    refuse_unless_in<Grid, Ep>(extents, launch.environment);
    const std::array requests{request<Tags, Extent>(extents, launch.environment)...};
    constexpr std::array<int, sizeof...(Tags)> fixed{Extent...};
    std::array<int, static_cast<std::size_t>(Grid::ndim_dynamic())> open{};
    std::size_t next = 0;
    for (std::size_t axis = 0; axis < requests.size(); ++axis)
        if (fixed[axis] == dynamic) open[next++] = requests[axis].extent;
    return Grid::for_world(launch.world_size, open, origin_text(launch, requests));
}

} // namespace detail
} // namespace muster::inline v0_1
