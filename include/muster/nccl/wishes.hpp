// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/split.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/nccl/device_guard.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/own_stream.hpp>
#include <muster/nccl/state.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstddef>
#include <type_traits>
#include <vector>

namespace muster::inline v0_1::detail {

/// Every rank's value, index = rank in the group: carried by the group itself, on a stream of its own. `operation`
/// names the cause in errors. Collective: over the group. Blocks: at most the group's timeout.
template <class T>
[[nodiscard]] std::vector<T> exchange_values(NcclState& group, const char* operation, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>, "muster: only values that are copied as bytes can be exchanged");
    std::vector<T> values(group.ranks.size(), value);
    if (group.alone) return values;
    const DeviceGuard current(group.device);
    const auto check = [&](const char* call, cudaError_t error) {
        check_cuda(call, error, Stage::communicator, group.global_rank());
    };
    const OwnStream stream(group.global_rank());
    const std::size_t bytes = values.size() * sizeof value;
    T* const memory = static_cast<T*>(group.inside(operation, [&] { return group.own_memory(bytes); }));
    T* const own = memory + group.rank;
    check("cudaMemcpyAsync", cudaMemcpyAsync(own, &value, sizeof value, cudaMemcpyHostToDevice, stream.get()));
    group.launch(operation, [&](ncclComm_t comm) {
        return ncclAllGather(own, memory, sizeof value, ncclUint8, comm, stream.get());
    });
    group.watching(operation, [&] { group.wait(stream.get(), Deadline::after(group.limits.timeout)); });
    check("cudaMemcpyAsync", cudaMemcpyAsync(values.data(), memory, bytes, cudaMemcpyDeviceToHost, stream.get()));
    return values; // a copy to pageable memory has ended when its call returns
}

/// Every rank's wish. NCCL tells nobody who else is in a new group, so the ranks tell each other over the parent.
[[nodiscard]] inline std::vector<SplitWish> exchange_wishes(NcclState& group, SplitWish wish) {
    return exchange_values(group, "split", wish);
}

} // namespace muster::inline v0_1::detail
