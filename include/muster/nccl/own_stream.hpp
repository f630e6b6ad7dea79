// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/nccl/error.hpp>

#include <cuda_runtime_api.h>

namespace muster::inline v0_1::detail {

/// A stream of the current device that waits for no other, as a copy without a stream does: for one that hangs, too.
class OwnStream {
public:
    /// Throws: Error(errc::backend).
    explicit OwnStream(int rank) {
        check_cuda("cudaStreamCreateWithFlags", cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
                   Stage::communicator, rank);
    }
    OwnStream(const OwnStream&) = delete;
    OwnStream& operator=(const OwnStream&) = delete;
    ~OwnStream() { (void)cudaStreamDestroy(stream_); } // does not wait: what runs on it ends first

    [[nodiscard]] cudaStream_t get() const noexcept { return stream_; }

private:
    cudaStream_t stream_ = nullptr;
};

} // namespace muster::inline v0_1::detail
