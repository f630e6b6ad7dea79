// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/nccl/frame.hpp>
#include <muster/nccl/gate.hpp>

#include <nccl.h>

#include <atomic>
#include <utility>

namespace muster::inline v0_1::detail {

/// The communicators that were called in this thread's open group.
class NcclOpenGroup {
public:
    /// Opens the gate again; the next of the group.
    static NcclGate* let_go(NcclGate& gate) noexcept {
        NcclGate* const next = gate.next_;
        gate.holder_.store(nullptr, std::memory_order_relaxed);
        gate.busy_.store(false, std::memory_order_release);
        return next;
    }

    /// Visits each and lets it go.
    template <class Visit>
    static void for_each(Visit visit) {
        for (NcclGate* gate = std::exchange(nccl_frame.first, nullptr); gate != nullptr;) {
            visit(*gate);
            gate = let_go(*gate);
        }
    }

    /// Ends the group without launching anything of it. Its communicators cannot be used after that.
    static void cancel() noexcept {
        if (nccl_frame.depth == 0) return;
        poison_nccl_group();
        for (; nccl_frame.depth > 0; --nccl_frame.depth) (void)ncclGroupEnd(); // says what poisoned it
        for_each([](NcclGate& gate) { gate.give_up(); });
    }
};

} // namespace muster::inline v0_1::detail
