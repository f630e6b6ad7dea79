// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/core/error.hpp>
#include <muster/nccl/communicator.hpp>
#include <muster/nccl/device_guard.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/own_stream.hpp>
#include <muster/nccl/state.hpp>
#include <muster/nccl/wishes.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <ranges>
#include <vector>

// Between GPU memory and the host, for what has to be looked at there.
namespace muster::inline v0_1 {

/// The buffer's bytes in host memory, once what was called on the stream is done.
/// Blocks: at most the group's timeout and the time of the copy. Throws: as wait, or errc::backend.
template <Buffer B>
[[nodiscard]] std::vector<std::byte> host_bytes(NcclCommunicator& group, B&& buffer, cudaStream_t stream = nullptr) {
    group.wait(stream);
    std::vector<std::byte> bytes(std::ranges::size(buffer) * sizeof(element_t<B&>));
    if (bytes.empty()) return bytes;
    // A copy to pageable memory waits for its stream without a limit, and the default stream for all others.
    const DeviceGuard current(group.device());
    const int rank = group.shared_state()->global_rank();
    const detail::OwnStream own(rank);
    detail::check_cuda(
        "cudaMemcpyAsync",
        cudaMemcpyAsync(bytes.data(), std::ranges::data(buffer), bytes.size(), cudaMemcpyDeviceToHost, own.get()),
        Stage::communicator, rank);
    return bytes; // the copy has ended when its call returns
}

/// Every rank's value, a small one in host memory; index = rank in the group.
/// Collective: over the group. Blocks: at most the group's timeout. Throws: as all_gather and wait.
template <class T>
[[nodiscard]] std::vector<T> exchange_values(NcclCommunicator& group, const T& value) {
    return detail::exchange_values(*group.shared_state(), "exchange_values", value);
}

} // namespace muster::inline v0_1
