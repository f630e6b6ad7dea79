// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nccl.h>

namespace muster::inline v0_1::detail {

class NcclGate;

/// The group that is open on this thread: how deep, and the communicators that were called in it, each of which is
/// held until the group ends. NCCL keeps a group for each thread, and so does this.
struct NcclFrame {
    int depth = 0;
    NcclGate* first = nullptr;
};

inline thread_local constinit NcclFrame nccl_frame{};

/// Makes the end of the open group do nothing: NCCL remembers a call that it refused.
inline void poison_nccl_group() noexcept {
    (void)ncclBroadcast(nullptr, nullptr, 0, ncclInt8, 0, nullptr, nullptr); // its refusal is what it is called for
}

} // namespace muster::inline v0_1::detail
