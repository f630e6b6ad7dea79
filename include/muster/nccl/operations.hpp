// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/reduction.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/nccl/data_type.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/frame.hpp>
#include <muster/nccl/initialize.hpp>
#include <muster/nccl/state.hpp>
#include <muster/nccl/unique_id.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

// The NCCL call behind each operation, for operands that have been checked.
namespace muster::inline v0_1::detail {

template <class Op>
inline constexpr ncclRedOp_t nccl_reduction = ncclNumOps;
template <>
inline constexpr ncclRedOp_t nccl_reduction<Sum> = ncclSum;
template <>
inline constexpr ncclRedOp_t nccl_reduction<Prod> = ncclProd;
template <>
inline constexpr ncclRedOp_t nccl_reduction<Min> = ncclMin;
template <>
inline constexpr ncclRedOp_t nccl_reduction<Max> = ncclMax;
template <>
inline constexpr ncclRedOp_t nccl_reduction<Avg> = ncclAvg;

/// A group of one moves data by copying it.
[[gnu::cold, gnu::noinline]] inline void copy_alone(NcclState& group, const char* operation,
                                                    std::span<const std::byte> in, void* out, cudaStream_t stream) {
    group.enter(operation);
    group.leave();
    if (in.data() == out || in.empty()) return;
    check_cuda("cudaMemcpyAsync", cudaMemcpyAsync(out, in.data(), in.size(), cudaMemcpyDeviceToDevice, stream),
               Stage::communicator, group.global_rank());
}

/// Factors are NCCL's to apply, even in a group of one: that one gets its communicator here.
inline void connect_alone(NcclState& group) {
    if (!group.alone) return;
    const NcclState::Inside entered(group, "premul_sum"); // in an open group, too: NCCL's init is on its own thread
    if (group.handle() != nullptr) return;
    std::vector<NcclId> ids(1);
    check_nccl("ncclGetUniqueId", ncclGetUniqueId(ids.data()), Stage::communicator, group.global_rank());
    initialize_nccl(group, ids, {}, Deadline::after(group.limits.timeout));
}

/// Launches `call(communicator, reduction)`; a reduction with a factor is made for the call.
template <class T, class Op, class Call>
[[gnu::always_inline]] inline void launch_reduction(NcclState& group, const char* operation, Op op, Call call) {
    if constexpr (nccl_reduction<Op> != ncclNumOps) {
        (void)op;
        group.launch(operation, [&](ncclComm_t comm) { return call(comm, nccl_reduction<Op>); });
    } else {
        connect_alone(group);
        ncclRedOp_t made = ncclNumOps;
        group.launch(operation, [&](ncclComm_t comm) {
            const ncclResult_t result = ncclRedOpCreatePreMulSum(&made, const_cast<T*>(&op.factor), nccl_type_of<T>(),
                                                                 ncclScalarHostImmediate, comm);
            return result == ncclSuccess ? call(comm, made) : result;
        });
        // NCCL is done with it when the last call that got it has returned.
        group.launch(operation, [&](ncclComm_t comm) { return ncclRedOpDestroy(made, comm); });
    }
}

/// Whether a group of one has only to copy.
template <class Op>
[[nodiscard]] bool copies(const NcclState& group) noexcept {
    return nccl_reduction<Op> != ncclNumOps && group.alone;
}

template <class T, class Op>
[[gnu::always_inline]] inline void nccl_all_reduce(NcclState& group, std::span<const T> in, std::span<T> out, Op op,
                                                   cudaStream_t stream) {
    if (copies<Op>(group)) [[unlikely]]
        return copy_alone(group, "all_reduce", std::as_bytes(in), out.data(), stream);
    launch_reduction<T>(group, "all_reduce", op, [&](ncclComm_t comm, ncclRedOp_t reduction) {
        return ncclAllReduce(in.data(), out.data(), in.size(), nccl_type_of<T>(), reduction, comm, stream);
    });
}

template <class T, class Op>
[[gnu::always_inline]] inline void nccl_reduce(NcclState& group, std::span<const T> in, T* out, Op op, int root,
                                               cudaStream_t stream) {
    if (copies<Op>(group)) [[unlikely]]
        return copy_alone(group, "reduce", std::as_bytes(in), out, stream);
    launch_reduction<T>(group, "reduce", op, [&](ncclComm_t comm, ncclRedOp_t reduction) {
        return ncclReduce(in.data(), out, in.size(), nccl_type_of<T>(), reduction, root, comm, stream);
    });
}

template <class T, class Op>
[[gnu::always_inline]] inline void nccl_reduce_scatter(NcclState& group, std::span<const T> in, std::span<T> out, Op op,
                                                       cudaStream_t stream) {
    if (copies<Op>(group)) [[unlikely]]
        return copy_alone(group, "reduce_scatter", std::as_bytes(in), out.data(), stream);
    launch_reduction<T>(group, "reduce_scatter", op, [&](ncclComm_t comm, ncclRedOp_t reduction) {
        return ncclReduceScatter(in.data(), out.data(), out.size(), nccl_type_of<T>(), reduction, comm, stream);
    });
}

template <class T>
[[gnu::always_inline]] inline void nccl_broadcast(NcclState& group, std::span<T> buffer, int root,
                                                  cudaStream_t stream) {
    if (group.alone) [[unlikely]]
        return copy_alone(group, "broadcast", {}, nullptr, stream);
    group.launch("broadcast", [&](ncclComm_t comm) {
        return ncclBroadcast(buffer.data(), buffer.data(), buffer.size(), nccl_move_type_of<T>(), root, comm, stream);
    });
}

template <class T>
[[gnu::always_inline]] inline void nccl_all_gather(NcclState& group, std::span<const T> in, std::span<T> out,
                                                   cudaStream_t stream) {
    if (group.alone) [[unlikely]]
        return copy_alone(group, "all_gather", std::as_bytes(in), out.data(), stream);
    group.launch("all_gather", [&](ncclComm_t comm) {
        return ncclAllGather(in.data(), out.data(), in.size(), nccl_move_type_of<T>(), comm, stream);
    });
}

/// What NCCL has no call for before 2.28.3: sends and receives in one group. `body(note)` gives each call's result to
/// `note`.
template <class Body>
[[nodiscard]] ncclResult_t grouped(Body body) {
    ncclResult_t first = ncclGroupStart();
    if (first != ncclSuccess) return first;
    body([&](ncclResult_t result) {
        if (first == ncclSuccess && result != ncclInProgress) first = result;
    });
    const ncclResult_t end = ncclGroupEnd();
    return first == ncclSuccess ? end : first;
}

template <class T>
[[gnu::always_inline]] inline void nccl_all_to_all(NcclState& group, std::span<const T> in, std::span<T> out,
                                                   cudaStream_t stream) {
    if (group.alone) [[unlikely]]
        return copy_alone(group, "all_to_all", std::as_bytes(in), out.data(), stream);
    const std::size_t part = in.size() / static_cast<std::size_t>(group.size());
    constexpr ncclDataType_t type = nccl_move_type_of<T>();
    group.launch("all_to_all", [&](ncclComm_t comm) {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 3)
        return ncclAlltoAll(in.data(), out.data(), part, type, comm, stream);
#else
        return grouped([&](auto note) {
            for (int peer = 0; peer < group.size(); ++peer) {
                const std::size_t at = part * static_cast<std::size_t>(peer);
                note(ncclSend(in.data() + at, part, type, peer, comm, stream));
                note(ncclRecv(out.data() + at, part, type, peer, comm, stream));
            }
        });
#endif
    });
}

template <class T>
[[gnu::always_inline]] inline void nccl_gather(NcclState& group, std::span<const T> in, T* out, int root,
                                               cudaStream_t stream) {
    if (group.alone) [[unlikely]]
        return copy_alone(group, "gather", std::as_bytes(in), out, stream);
    constexpr ncclDataType_t type = nccl_move_type_of<T>();
    group.launch("gather", [&](ncclComm_t comm) {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 3)
        return ncclGather(in.data(), out, in.size(), type, root, comm, stream);
#else
        return grouped([&](auto note) {
            note(ncclSend(in.data(), in.size(), type, root, comm, stream));
            for (int peer = 0; group.rank == root && peer < group.size(); ++peer)
                note(ncclRecv(out + in.size() * static_cast<std::size_t>(peer), in.size(), type, peer, comm, stream));
        });
#endif
    });
}

template <class T>
[[gnu::always_inline]] inline void nccl_scatter(NcclState& group, const T* in, std::span<T> out, int root,
                                                cudaStream_t stream) {
    if (group.alone) [[unlikely]]
        return copy_alone(group, "scatter", std::as_bytes(std::span(in, out.size())), out.data(), stream);
    constexpr ncclDataType_t type = nccl_move_type_of<T>();
    group.launch("scatter", [&](ncclComm_t comm) {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 3)
        return ncclScatter(in, out.data(), out.size(), type, root, comm, stream);
#else
        return grouped([&](auto note) {
            for (int peer = 0; group.rank == root && peer < group.size(); ++peer)
                note(ncclSend(in + out.size() * static_cast<std::size_t>(peer), out.size(), type, peer, comm, stream));
            note(ncclRecv(out.data(), out.size(), type, root, comm, stream));
        });
#endif
    });
}

template <class T>
[[gnu::always_inline]] inline void nccl_send(NcclState& group, std::span<const T> data, int peer, cudaStream_t stream) {
    group.launch("send", [&](ncclComm_t comm) {
        return ncclSend(data.data(), data.size(), nccl_move_type_of<T>(), peer, comm, stream);
    });
}

template <class T>
[[gnu::always_inline]] inline void nccl_recv(NcclState& group, std::span<T> data, int peer, cudaStream_t stream) {
    group.launch("recv", [&](ncclComm_t comm) {
        return ncclRecv(data.data(), data.size(), nccl_move_type_of<T>(), peer, comm, stream);
    });
}

/// A sum over one number, and its end: NCCL has no barrier.
inline void nccl_barrier(NcclState& group, cudaStream_t stream, Deadline deadline) {
    if (!group.alone) {
        void* const word = group.inside("barrier", [&] { return group.own_memory(sizeof(std::int64_t)); });
        group.launch("barrier",
                     [&](ncclComm_t comm) { return ncclAllReduce(word, word, 1, ncclInt64, ncclSum, comm, stream); });
    }
    group.watching("barrier", [&] { group.wait(stream, deadline); });
}

} // namespace muster::inline v0_1::detail
