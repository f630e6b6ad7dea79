// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/split.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/nccl/device.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/state.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstddef>
#include <vector>

namespace muster::inline v0_1::detail {

/// Every rank's wish, index = rank in the group. NCCL tells nobody who else is in a new group, so the ranks tell each
/// other over the parent, on a stream of its own.
/// Collective: over the group. Blocks: at most the group's timeout. After a failure the few bytes stay with the GPU: to
/// free them would wait for what hangs.
[[nodiscard]] inline std::vector<SplitWish> exchange_wishes(NcclState& group, SplitWish wish) {
    std::vector<SplitWish> wishes(group.ranks.size(), wish);
    if (group.alone) return wishes;
    const DeviceGuard current(group.device);
    const auto check = [&](const char* call, cudaError_t error) {
        check_cuda(call, error, Stage::communicator, group.global_rank());
    };
    cudaStream_t stream = nullptr;
    SplitWish* memory = nullptr;
    const std::size_t bytes = wishes.size() * sizeof wish;
    check("cudaStreamCreateWithFlags", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    check("cudaMalloc", cudaMalloc(reinterpret_cast<void**>(&memory), bytes));
    SplitWish* const own = memory + group.rank;
    check("cudaMemcpyAsync", cudaMemcpyAsync(own, &wish, sizeof wish, cudaMemcpyHostToDevice, stream));
    group.launch("split",
                 [&](ncclComm_t comm) { return ncclAllGather(own, memory, sizeof wish, ncclUint8, comm, stream); });
    group.watching("split", [&] { group.wait(stream, Deadline::after(group.limits.timeout)); });
    check("cudaMemcpy", cudaMemcpy(wishes.data(), memory, bytes, cudaMemcpyDeviceToHost));
    check("cudaFree", cudaFree(memory));
    check("cudaStreamDestroy", cudaStreamDestroy(stream));
    return wishes;
}

} // namespace muster::inline v0_1::detail
