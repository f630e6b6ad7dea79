// SPDX-License-Identifier: Apache-2.0
// CASE BATCH_OF_ANOTHER_SIZE: muster: the global batch size is not a multiple of the mesh's DP
// CASE BATCH_OF_NONE: muster: the global batch size must be at least 1
// CASE NO_DP: MeshWith
// CASE SAMPLES_ALONG_WHAT: as in sampler_shard<Dp>(mesh)
// CASE BATCH_ALONG_WHAT: as in local_batch<Dp>(mesh, size)
// CASE FIXED_BATCH_ALONG_WHAT: as in local_batch<64, Dp>(mesh)
// CASE REPLICAS_ALONG_WHAT: as in is_canonical_replica<Dp, Cp>(mesh)
// CASE NO_SUCH_SHARDS: MeshWith
// CASE BUFFERS_THAT_ARE_READ_ONLY: MutableBuffers
#include <muster/topology.hpp>
#include <muster/training/all_reduce.hpp>
#include <muster/training/checkpoint.hpp>
#include <muster/training/local_batch.hpp>
#include <muster/training/sampler.hpp>

#include <span>
#include <string_view>
#include <vector>

#include "../unit/training/place.hpp"

using muster::Axis;
using muster::Dp;
using muster::Pp;
using muster::Tp;

using Whole = support::Place<muster::Topology3D<2, 4, 1>>;
struct Replica {
    static constexpr std::string_view name = "replica";
};
using Hybrid = support::Place<muster::Topology<Axis<Replica, 2>, Axis<Dp, 4>>>;
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

#ifdef SAMPLES_ALONG_WHAT
inline auto samples(const Hybrid& mesh) { return muster::sampler_shard(mesh); }
#else
inline auto samples(const Hybrid& mesh) { return muster::sampler_shard<Replica, Dp>(mesh); }
#endif

#ifdef BATCH_ALONG_WHAT
inline int batch_along(const Hybrid& mesh) { return muster::local_batch(mesh, 16); }
#else
inline int batch_along(const Hybrid& mesh) { return muster::local_batch<Replica, Dp>(mesh, 16); }
#endif

#ifdef FIXED_BATCH_ALONG_WHAT
inline int fixed_along(const Hybrid& mesh) { return muster::local_batch<16>(mesh); }
#else
inline int fixed_along(const Hybrid& mesh) { return muster::local_batch<16, Replica, Dp>(mesh); }
#endif

#ifdef REPLICAS_ALONG_WHAT
inline bool canonical(const Hybrid& mesh) { return muster::is_canonical_replica(mesh); }
#else
inline bool canonical(const Hybrid& mesh) { return muster::is_canonical_replica<Replica>(mesh); }
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
