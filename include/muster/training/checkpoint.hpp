// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/topology/axis.hpp>
#include <muster/topology/static_checks.hpp>
#include <muster/topology/topology.hpp>
#include <muster/training/concept.hpp>

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace muster::inline v0_1 {

/// Whether this rank is the one of its replicas that writes a checkpoint: the first along the axes along which the
/// state is replicated. Of those that differ along other axes, such as tp, each has a canonical replica of its own: it
/// holds another shard.
template <AxisTag... Replicated, class Mesh>
requires(sizeof...(Replicated) > 0 && MeshWith<Mesh, Replicated...>)
    [[nodiscard]] bool is_canonical_replica(const Mesh& mesh) {
    return ((mesh.template coordinate<Replicated>() == 0) && ...);
}

/// Along dp and cp, where the mesh has them, and no other axes than these, tp and pp.
template <MeshWith<> Mesh>
[[nodiscard]] bool is_canonical_replica(const Mesh& mesh) {
    static_assert(detail::has_known_axes<detail::GridOf<Mesh>>,
                  "muster: the mesh has other axes than tp, dp, cp and pp: name those along which the state is "
                  "replicated, as in is_canonical_replica<Dp, Cp>(mesh)");
    const auto is_first = [&]<class Tag>(std::type_identity<Tag>) {
        if constexpr (MeshWith<Mesh, Tag>) return mesh.template coordinate<Tag>() == 0;
        return true;
    };
    return is_first(std::type_identity<Dp>{}) && is_first(std::type_identity<Cp>{});
}

/// The parts of a checkpoint file's name that are the same on all ranks.
struct CheckpointName {
    std::string_view prefix = "model";      ///< may begin with folders
    std::string_view extension = ".bin";    ///< with its dot
    std::optional<std::uint64_t> step = {}; ///< of the training; none: not in the name
};

namespace detail {

/// "-dp1-tp0": the coordinates along `Sharded`, in axis order whatever their own; along all axes if there are none.
template <AxisTag... Sharded, class Mesh, AxisTag... Tags, int... Extent>
[[nodiscard]] std::string coordinate_text(const Mesh& mesh, const Topology<Axis<Tags, Extent>...>&) {
    std::string text;
    const auto add = [&](bool wanted, std::string_view name, int coordinate) {
        if (wanted) text += format("-{}{}", {name, coordinate});
    };
    (add(sizeof...(Sharded) == 0 || times_among<Tags, Sharded...> > 0, Tags::name, mesh.template coordinate<Tags>()),
     ...);
    return text;
}

} // namespace detail

/// "model-step100-dp1-tp0-cp0.bin": the file of this rank, by its coordinates in axis order. With tags, by these alone:
/// `checkpoint_name<Tp>(mesh)` is "model-tp0.bin" on all replicas of that shard, and the canonical one writes it. Name
/// all axes along which the state is sharded: checkpoint_name<Pp, Tp>(mesh) where there are stages.
template <AxisTag... Sharded, class Mesh>
requires MeshWith<Mesh, Sharded...>
[[nodiscard]] std::string checkpoint_name(const Mesh& mesh, const CheckpointName& name = {}) {
    const std::string step = name.step ? detail::format("-step{}", {*name.step}) : std::string();
    return detail::format(
        "{}{}{}{}", {name.prefix, step, detail::coordinate_text<Sharded...>(mesh, mesh.topology()), name.extension});
}

} // namespace muster::inline v0_1
