// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/topology/axis.hpp>
#include <muster/topology/errors.hpp>
#include <muster/training/concept.hpp>

#include <fmt/format.h>

#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

namespace muster::inline v0_1 {

namespace detail {

/// "8 or 12": the multiples of `parts` on both sides of `total`, as far as they are positive and fit int.
[[nodiscard]] inline std::string nearest_multiples(int total, int parts) {
    const long long below = static_cast<long long>(total) / parts * parts;
    const long long above = below + parts;
    if (total < parts) return fmt::format("{}", parts);
    if (above > std::numeric_limits<int>::max()) return fmt::format("{}", below);
    return fmt::format("{} or {}", below, above);
}

[[noreturn]] inline void refuse_shards(std::string_view what, int total, std::string_view axis, int parts) {
    const std::string axis_name = upper(axis);
    throw Error(errc::invalid_argument, Stage::mesh,
                total < 1 ? fmt::format("{} is {}, but {} ({}) ranks share it: it must be at least {}", what, total,
                                        axis_name, parts, parts)
                          : fmt::format("{} {} is not divisible by {} ({})\n  nearest that fit: {}", what, total,
                                        axis_name, parts, nearest_multiples(total, parts)));
}

} // namespace detail

/// This rank's share of `total` things that are dealt out evenly along an axis: of samples along dp, of a sequence's
/// positions along cp, of a layer's features along tp. `what` names them in the error: "sequence length".
/// Throws: errc::invalid_argument with the nearest totals that fit, the same text on every rank.
template <AxisTag Tag, MeshWith<Tag> Mesh>
[[nodiscard]] int shard_size(const Mesh& mesh, int total, std::string_view what) {
    const int parts = mesh.topology().template extent<Tag>();
    if (total < 1 || total % parts != 0) detail::refuse_shards(what, total, Tag::name, parts);
    return total / parts;
}

/// Samples of the global batch that this rank takes: those of one step, along dp.
/// Throws: as shard_size.
template <MeshWith<Dp> Mesh>
[[nodiscard]] int local_batch(const Mesh& mesh, int global_batch) {
    return shard_size<Dp>(mesh, global_batch, "global batch size");
}

/// The same where the compiler knows the global batch: one that does not fit a mesh whose DP the type fixes does not
/// compile.
template <int GlobalBatch, MeshWith<Dp> Mesh>
[[nodiscard]] int local_batch(const Mesh& mesh) {
    constexpr int fixed = std::remove_cvref_t<decltype(mesh.topology())>::template static_extent<Dp>();
    static_assert(GlobalBatch >= 1, "muster: the global batch size must be at least 1");
    static_assert(fixed == dynamic || GlobalBatch % (fixed == dynamic ? 1 : fixed) == 0,
                  "muster: the global batch size is not a multiple of the mesh's DP; change one of them");
    return local_batch(mesh, GlobalBatch);
}

} // namespace muster::inline v0_1
