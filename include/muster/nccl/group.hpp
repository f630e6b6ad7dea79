// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/frame.hpp>
#include <muster/nccl/group_end.hpp>
#include <muster/nccl/open_group.hpp>

#include <nccl.h>

namespace muster::inline v0_1 {

/// Operations that NCCL launches as one, of one or several communicators: sends and receives in both directions need
/// it, several collectives gain by it.
///
///     muster::Group group;
///     ring.send(mine, next, stream);
///     ring.recv(theirs, previous, stream);
///     group.end();
///
/// Between construction and end nothing is launched, and nothing but operations may be called. Belongs to its thread;
/// a group in a group ends with the outer one. One that is destroyed before its end, as by an exception, launches
/// nothing, and its communicators cannot be used any more: their peers may have launched their part.
class [[nodiscard]] Group {
public:
    /// Throws: Error(errc::backend).
    Group() : level_(start()) {}
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;
    ~Group() {
        if (!ended_) detail::NcclOpenGroup::cancel();
    }

    /// Launches all and waits until NCCL has done so: at most each communicator's timeout.
    /// Throws: Error(errc::backend, connection or timeout); the communicators concerned cannot be used after that.
    void end() { finish(nullptr); }

    /// The same with one deadline for all.
    void end(Deadline deadline) { finish(&deadline); }

private:
    static int start() {
        detail::check_nccl("ncclGroupStart", ncclGroupStart(), Stage::communicator, -1);
        return ++detail::nccl_frame.depth;
    }

    void finish(const Deadline* deadline) {
        const bool open = detail::nccl_frame.depth == level_; // an inner group that is given up ends all
        if (ended_ || !open)
            throw Error(errc::closed, Stage::communicator,
                        ended_ ? "the end of a group that has ended" : "the end of a group that was given up");
        ended_ = true;
        const ncclResult_t result = ncclGroupEnd();
        if (--detail::nccl_frame.depth == 0) return detail::NcclGroupEnd::settle(result, deadline);
        detail::check_nccl("ncclGroupEnd", result, Stage::communicator, -1);
    }

    int level_; ///< depth when it was opened
    bool ended_ = false;
};

} // namespace muster::inline v0_1
