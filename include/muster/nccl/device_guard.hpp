// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/nccl/error.hpp>

#include <cuda_runtime_api.h>

namespace muster::inline v0_1 {

/// Makes a device current on this thread, and the one before it again at its end.
class DeviceGuard {
public:
    /// Throws: Error(errc::backend).
    explicit DeviceGuard(int ordinal) {
        detail::check_cuda("cudaGetDevice", cudaGetDevice(&before_), Stage::communicator, -1);
        if (before_ == ordinal) return;
        detail::check_cuda(detail::format("cudaSetDevice({})", {ordinal}), cudaSetDevice(ordinal), Stage::communicator,
                           -1);
        changed_ = true;
    }
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;
    ~DeviceGuard() {
        if (changed_) (void)cudaSetDevice(before_); // it was current a moment ago
    }

private:
    int before_ = 0;
    bool changed_ = false;
};

} // namespace muster::inline v0_1
