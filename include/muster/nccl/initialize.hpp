// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/nccl/config.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/limited.hpp>
#include <muster/nccl/state.hpp>
#include <muster/nccl/unique_id.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <memory>
#include <vector>

namespace muster::inline v0_1::detail {

/// ncclCommInitRankConfig, or ncclCommInitRankScalable where there is more than one id.
[[nodiscard]] inline ncclResult_t start_nccl(const std::vector<NcclId>& ids, int size, int rank, ncclComm_t* comm,
                                             ncclConfig_t* config) {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 23, 4)
    if (ids.size() > 1)
        return ncclCommInitRankScalable(comm, size, rank, static_cast<int>(ids.size()), const_cast<NcclId*>(ids.data()),
                                        config);
#endif
    return ncclCommInitRankConfig(comm, size, ids.front(), rank, config);
}

/// Connects the group of `state` by the ids, which are the same on all its ranks; afterwards the state holds the
/// communicator, in whatever condition it is.
/// Collective: over the group. Blocks: until NCCL has connected or failed or the state's watch throws, at most to the
/// deadline.
/// Throws: Error(errc::backend, timeout or closed).
inline void initialize_nccl(NcclState& state, const std::vector<NcclId>& ids, const NcclConfig& config,
                            Deadline deadline) {
    struct Request { // outlives this call when NCCL does not come back from it
        std::vector<NcclId> ids;
        std::shared_ptr<const NcclNames> names;
        ncclConfig_t config;
        ncclComm_t comm = nullptr;
    };
    const auto request = std::make_shared<Request>(
        Request{ids, state.names, native_config(config, *state.names, nccl_library_version()), nullptr});
    const auto started =
        call_with_limit(deadline, [request, size = state.size(), rank = state.rank, device = state.device] {
            // NCCL takes the device that is current on the thread; a failure here would leave its group open.
            if (cudaSetDevice(device) != cudaSuccess) return ncclUnhandledCudaError;
            return start_nccl(request->ids, size, rank, &request->comm, &request->config);
        });
    const auto wanted = [&] { return duration_text(state.limits.timeout); };
    if (!started)
        state.fail(errc::timeout, format("NCCL's init {} did not even return within {}, though it was told not to "
                                         "block\n  do: see whether a network plugin or a preloaded library is in "
                                         "its way{}",
                                         {state.whose(), wanted(), nccl_last_message()}));
    // Null where NCCL refused at once. A failure in the background that was quick comes back with a communicator.
    state.adopt(request->comm);
    if (*started != ncclSuccess && *started != ncclInProgress) state.fail_with("NCCL's init", *started);
    // The names and the address that NCCL writes to live on in the request until it is ready.
    const ncclResult_t result = state.poll(request->comm, deadline);
    if (result == ncclSuccess) return;
    if (state.interrupted()) state.refuse("NCCL's init");
    if (result == ncclInProgress)
        state.fail(errc::timeout,
                   format("NCCL did not connect {} within {}\n  do: see which ranks still run, and whether the "
                          "hosts reach each other on all ports (NCCL_SOCKET_IFNAME names the interface, "
                          "NCCL_DEBUG=INFO tells more){}",
                          {ranks_text(state.ranks), wanted(), nccl_last_message()}));
    state.fail_with("NCCL's init", result);
}

} // namespace muster::inline v0_1::detail
