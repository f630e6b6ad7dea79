// SPDX-License-Identifier: Apache-2.0
// CASE OTHER_WORLD: muster: the world size is not the product of the topology's extents
// CASE CROSSES_A_NODE: group_crosses_a_node<0, 6, 4>
// CASE INDIVISIBLE: not_divisible<4097, 2>
// CASE FLATTEN_OF_NOTHING: muster: name the axes, as in flatten<Dp, Cp>()
// CASE FLATTEN_TWICE: muster: a tag stands twice among the axes
// CASE FLATTEN_UNKNOWN: muster: the topology has no axis with this tag
// CASE WRONG_ORDER: muster: the axes must be named in the topology's order
// CASE WRONG_ORDER_NAMES_THE_RIGHT_ONE: AxisList<muster::Dp, muster::Cp>
// CASE SUBMESH_WITHOUT_THE_AXIS: muster: the sub-mesh has no axis with this tag
// CASE GATHERS_TOO_MUCH: muster: the larger buffer must hold the smaller one exactly once for every rank of the axis
// CASE GATHERS_A_REMAINDER: muster: the larger buffer must hold the same number of elements for every rank of the axis
// CASE SCATTERS_TOO_LITTLE: muster: the larger buffer must hold the smaller one exactly once for every rank of the axis
// CASE EXCHANGES_A_REMAINDER: muster: the larger buffer must hold the same number of elements for every rank
#include <muster/muster.hpp>

#include <span>

using muster::Cp;
using muster::Dp;
using muster::Pp;
using muster::Tp;

using Mesh = muster::DeviceMesh<2, 4, 1>;

#ifdef OTHER_WORLD
using Mismatch = Mesh::require_world<6>;
#else
using Match = Mesh::require_world<8>;
#endif

#ifdef CROSSES_A_NODE
using Crossing = Mesh::require_node_local<4, Dp>;
#else
using Within = Mesh::require_node_local<4, Tp>;
#endif

#ifdef INDIVISIBLE
using Remainder = Mesh::require_divisible<Tp, 4097>;
#else
using NoRemainder = Mesh::require_divisible<Tp, 4096>;
#endif

#ifdef FLATTEN_OF_NOTHING
inline auto& flatten_of_nothing(Mesh& mesh) { return mesh.flatten(); }
#else
inline auto& flatten_of_one(Mesh& mesh) { return mesh.flatten<Tp>(); }
#endif

#ifdef FLATTEN_TWICE
inline auto& flatten_twice(Mesh& mesh) { return mesh.flatten<Dp, Dp>(); }
#else
inline auto& flatten_all(Mesh& mesh) { return mesh.flatten<Dp, Tp, Cp>(); }
#endif

#ifdef FLATTEN_UNKNOWN
inline auto& flatten_unknown(Mesh& mesh) { return mesh.flatten<Dp, Pp>(); }
#else
inline auto& flatten_known(Mesh& mesh) { return mesh.flatten<Dp, Tp>(); }
#endif

#ifdef WRONG_ORDER
inline auto& wrong_order(Mesh& mesh) { return mesh.flatten<Cp, Dp>(); }
#else
inline auto& right_order(Mesh& mesh) { return mesh.flatten<Dp, Cp>(); }
#endif

#ifdef WRONG_ORDER_NAMES_THE_RIGHT_ONE
inline auto wrong_order_of_a_submesh(Mesh& mesh) { return mesh.submesh<Cp, Dp>(); }
#else
inline auto right_order_of_a_submesh(Mesh& mesh) { return mesh.submesh<Dp, Cp>(); }
#endif

#ifdef SUBMESH_WITHOUT_THE_AXIS
inline auto& without_the_axis(Mesh& mesh) { return mesh.submesh<Dp, Cp>().along<Tp>(); }
#else
inline auto& with_the_axis(Mesh& mesh) { return mesh.submesh<Dp, Cp>().along<Cp>(); }
#endif

#ifdef GATHERS_TOO_MUCH
inline void gather_parts(Mesh& mesh, std::span<float, 3> in, std::span<float, 8> out) {
#else
inline void gather_parts(Mesh& mesh, std::span<float, 4> in, std::span<float, 8> out) {
#endif
    muster::all_gather<Tp>(mesh, in, out);
    muster::gather<Tp>(mesh, in, out, 0);
}

#ifdef GATHERS_A_REMAINDER
inline void gather_whole(Mesh& mesh, std::span<float> in, std::span<float, 9> out) {
#else
inline void gather_whole(Mesh& mesh, std::span<float> in, std::span<float, 8> out) {
#endif
    muster::all_gather<Tp>(mesh, in, out);
}

#ifdef SCATTERS_TOO_LITTLE
inline void scatter_parts(Mesh& mesh, std::span<float, 8> in, std::span<float, 3> out) {
#else
inline void scatter_parts(Mesh& mesh, std::span<float, 8> in, std::span<float, 2> out) {
#endif
    muster::reduce_scatter<Dp>(mesh, in, out, muster::sum);
    muster::scatter<Dp>(mesh, in, out, 0);
}

#ifdef EXCHANGES_A_REMAINDER
inline void exchange(Mesh& mesh, std::span<float, 6> in, std::span<float, 6> out) {
#else
inline void exchange(Mesh& mesh, std::span<float, 8> in, std::span<float, 8> out) {
#endif
    muster::all_to_all<Dp>(mesh, in, out);
}
