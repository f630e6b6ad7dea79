// SPDX-License-Identifier: Apache-2.0
// CASE BATCH_OF_ANOTHER_SIZE: muster: the global batch size is not a multiple of the mesh's DP
// CASE BATCH_OF_NONE: muster: the global batch size must be at least 1
// CASE NO_DP: MeshWith
// CASE NO_CP: MeshWith
// CASE NO_SUCH_SHARDS: MeshWith
// CASE BUFFERS_THAT_ARE_READ_ONLY: MutableBuffers
#include <muster/topology.hpp>
#include <muster/training/all_reduce.hpp>
#include <muster/training/checkpoint.hpp>
#include <muster/training/local_batch.hpp>
#include <muster/training/sampler.hpp>

#include <span>
#include <vector>

#include "../unit/training/place.hpp"

using muster::Axis;
using muster::Dp;
using muster::Pp;
using muster::Tp;

using Whole = support::Place<muster::Topology3D<2, 4, 1>>;
using Flat = support::Place<muster::Topology<Axis<Dp, 8>>>;

#ifdef BATCH_OF_ANOTHER_SIZE
inline int batch(const Whole& mesh) { return muster::local_batch<30>(mesh); }
#else
inline int batch(const Whole& mesh) { return muster::local_batch<32>(mesh); }
#endif

#ifdef BATCH_OF_NONE
inline int batch_of_none(const Whole& mesh) { return muster::local_batch<0>(mesh); }
#else
inline int batch_of_none(const Whole& mesh) { return muster::local_batch<4>(mesh); }
#endif

#ifdef NO_DP
using Sampled = support::Place<muster::Topology<Axis<Tp, 8>>>;
#else
using Sampled = Flat;
#endif
inline auto sampler(const Sampled& mesh) { return muster::sampler_shard(mesh); }

#ifdef NO_CP
inline bool canonical(const Flat& mesh) { return muster::is_canonical_replica(mesh); }
#else
inline bool canonical(const Flat& mesh) { return muster::is_canonical_replica<Dp>(mesh); }
#endif

#ifdef NO_SUCH_SHARDS
inline auto file(const Whole& mesh) { return muster::checkpoint_name<Tp, Pp>(mesh); }
#else
inline auto file(const Whole& mesh) { return muster::checkpoint_name<Tp, Dp>(mesh); }
#endif

#ifdef BUFFERS_THAT_ARE_READ_ONLY
using Gradients = std::vector<std::span<const float>>;
#else
using Gradients = std::vector<std::span<float>>;
#endif
template <muster::MutableBuffers Bs>
void takes(Bs&&) {}
inline void reduce(Gradients& gradients) { takes(gradients); }
