// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/frame.hpp>
#include <muster/nccl/gate.hpp>
#include <muster/nccl/open_group.hpp>
#include <muster/nccl/state.hpp>

#include <nccl.h>

#include <exception>
#include <vector>

namespace muster::inline v0_1::detail {

/// The end of this thread's group for each communicator that was called in it.
class NcclGroupEnd {
public:
    /// Waits until all is launched; throws the first error, after all have been looked at.
    static void settle(ncclResult_t result, const Deadline* deadline) {
        if (result == ncclSuccess || result == ncclInProgress) {
            NcclGate* gate = nccl_frame.first;
            // Unlike a split, a group that ended with success has nothing in progress.
            while (gate != nullptr && (result == ncclSuccess || state_of(*gate).settles_soon(result)))
                gate = NcclOpenGroup::let_go(*gate);
            nccl_frame.first = gate;
            if (gate == nullptr) return;
        }
        settle_slowly(result, deadline);
    }

private:
    /// Only states are called in groups.
    static NcclState& state_of(NcclGate& gate) noexcept { return static_cast<NcclState&>(gate); }

    [[gnu::cold, gnu::noinline]] static void settle_slowly(ncclResult_t result, const Deadline* deadline) {
        std::exception_ptr first;
        std::vector<NcclState*> failed;
        NcclOpenGroup::for_each([&](NcclGate& gate) {
            NcclState& state = state_of(gate);
            try {
                state.settle("a group's end", result, deadline ? *deadline : Deadline::after(state.limits.timeout));
            } catch (const Error&) {
                if (!first) first = std::current_exception();
                if (state.limits.abort_on_error) failed.push_back(&state);
            }
        });
        if (!failed.empty()) NcclState::abort_all(failed);
        if (first) std::rethrow_exception(first);
        if (result != ncclSuccess && result != ncclInProgress)
            throw_nccl("ncclGroupEnd", result, Stage::communicator, -1);
    }
};

} // namespace muster::inline v0_1::detail
