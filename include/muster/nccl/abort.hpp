// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/nccl/config.hpp>
#include <muster/nccl/limited.hpp>
#include <muster/nccl/version.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// Where NCCL writes a new communicator, from a thread of its own: at one address until the parent is ready, so it is
/// owned together.
using NcclSlot = std::shared_ptr<ncclComm_t>;

/// A communicator that is being made from another.
struct NcclChild {
    NcclSlot slot = nullptr;
    std::shared_ptr<const NcclNames> names = nullptr;
};

/// A communicator to abort, if any, and the child of a split or shrink of it that did not finish.
struct NcclDoomed {
    ncclComm_t handle = nullptr;
    NcclChild child = {};
    std::shared_ptr<const NcclNames> names = nullptr; ///< NCCL reads them to the end
    std::vector<void*> memory = {};                   ///< of the device, which its operations may still use
};

/// Frees communicators of one device, whatever their state. Together, because an abort can wait for another
/// communicator's kernel; on a thread of its own, because it can hang, and because a failed call may have left this
/// thread's NCCL group open, where an abort does nothing.
/// Blocks: at most `limit`. Nothing when it did not end by then; the first error otherwise.
[[nodiscard]] inline std::optional<ncclResult_t> abort_nccl(std::vector<NcclDoomed> doomed, int device,
                                                            std::chrono::milliseconds limit) {
    if (doomed.empty()) return ncclSuccess;
    return call_with_limit(Deadline::after(limit), [doomed = std::move(doomed), device] {
        ncclResult_t first = ncclSuccess;
        const auto note = [&](ncclResult_t result) {
            if (first == ncclSuccess && result != ncclInProgress) first = result;
        };
        (void)cudaSetDevice(device); // without it the abort may still free what is not on the device
        // Before 2.22 an abort is not allowed in a group.
        const bool together = doomed.size() > 1 && nccl_library_version() >= nccl_version(2, 22, 3);
        if (together) note(ncclGroupStart());
        for (const NcclDoomed& each : doomed)
            if (each.handle != nullptr) note(ncclCommAbort(each.handle));
        if (together) note(ncclGroupEnd());
        // Its parent is gone, so nobody writes a slot any more.
        for (const NcclDoomed& each : doomed)
            if (each.child.slot && *each.child.slot != nullptr) note(ncclCommAbort(*each.child.slot));
        for (const NcclDoomed& each : doomed)
            for (void* memory : each.memory) (void)cudaFree(memory); // reports what earlier work did
        return first;
    });
}

} // namespace muster::inline v0_1::detail
