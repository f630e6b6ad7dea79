// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/comm/checks.hpp>
#include <muster/topology/axis.hpp>

#include <cstddef>
#include <span>
#include <type_traits>

// Operations along an axis whose buffers hold a part for each rank: where the type of the mesh fixes the axis' extent
// and the types of the buffers their sizes (std::array, std::span<T, N>), sizes that do not fit do not compile. They
// are those of the communicator mesh.along<Tag>() otherwise: all_gather<Tp>(mesh, in, out, stream).
namespace muster::inline v0_1 {

namespace detail {

/// `Whole` must hold `Part` once for each of `Size` ranks, as far as the types tell.
template <int Size, class Part, class Whole>
constexpr void require_sized() {
    if constexpr (Size != dynamic && extent_of<Whole> != std::dynamic_extent) {
        static_assert(extent_of<Whole> % static_cast<std::size_t>(Size) == 0,
                      "muster: the larger buffer must hold the same number of elements for every rank of the axis");
        static_assert(extent_of<Part> == std::dynamic_extent ||
                          extent_of<Part> * static_cast<std::size_t>(Size) == extent_of<Whole>,
                      "muster: the larger buffer must hold the smaller one exactly once for every rank of the axis");
    }
}

template <class Mesh, class Tag>
inline constexpr int size_along = std::remove_cvref_t<Mesh>::Topology::template static_extent<Tag>();

} // namespace detail

/// Collective, Throws: as the communicator's all_gather.
template <AxisTag Tag, class Mesh, Buffer In, MutableBuffer Out, class... Rest>
void all_gather(Mesh& mesh, In&& in, Out&& out, Rest... stream) {
    detail::require_sized<detail::size_along<Mesh, Tag>, In, Out>();
    mesh.template along<Tag>().all_gather(in, out, stream...);
}

/// Collective, Throws: as the communicator's reduce_scatter.
template <AxisTag Tag, class Mesh, Buffer In, MutableBuffer Out, class Op, class... Rest>
void reduce_scatter(Mesh& mesh, In&& in, Out&& out, Op op, Rest... stream) {
    detail::require_sized<detail::size_along<Mesh, Tag>, Out, In>();
    mesh.template along<Tag>().reduce_scatter(in, out, op, stream...);
}

/// Collective, Throws: as the communicator's all_to_all.
template <AxisTag Tag, class Mesh, Buffer In, MutableBuffer Out, class... Rest>
void all_to_all(Mesh& mesh, In&& in, Out&& out, Rest... stream) {
    detail::require_equal_extents<In, Out>();
    detail::require_sized<detail::size_along<Mesh, Tag>, std::span<const element_t<In>>, In>();
    detail::require_sized<detail::size_along<Mesh, Tag>, std::span<const element_t<In>>, Out>();
    mesh.template along<Tag>().all_to_all(in, out, stream...);
}

/// Collective, Throws: as the communicator's gather.
template <AxisTag Tag, class Mesh, Buffer In, MutableBuffer Out, class... Rest>
void gather(Mesh& mesh, In&& in, Out&& out, int root, Rest... stream) {
    detail::require_sized<detail::size_along<Mesh, Tag>, In, Out>();
    mesh.template along<Tag>().gather(in, out, root, stream...);
}

/// Collective, Throws: as the communicator's scatter.
template <AxisTag Tag, class Mesh, Buffer In, MutableBuffer Out, class... Rest>
void scatter(Mesh& mesh, In&& in, Out&& out, int root, Rest... stream) {
    detail::require_sized<detail::size_along<Mesh, Tag>, Out, In>();
    mesh.template along<Tag>().scatter(in, out, root, stream...);
}

} // namespace muster::inline v0_1
