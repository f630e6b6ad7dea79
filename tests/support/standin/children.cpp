// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <vector>

#include "bootstrap.hpp"
#include "config.hpp"
#include "ending.hpp"
#include "group.hpp"
#include "rules.hpp"
#include "scripted.hpp"

namespace standin {
namespace {

void check_quiet(ncclComm& parent, const std::string& by) {
    const auto lock = parent.mesh->lock();
    if (parent.executed < parent.launched)
        broken_rule(by + " was called while operations of the parent were outstanding");
}

/// Writes the child where the caller of long ago wants it, and sees that the place is still as it was left.
void deliver(ncclComm_t* slot, const Comm& child, const std::string& by) {
    if (child) enlist(child); // not before: a group that fails makes none
    const std::atomic_ref<ncclComm_t> place(*slot);
    if (place.load(std::memory_order_acquire) != nullptr) {
        broken_rule(by + " : the place of the new communicator was changed or moved before it was there");
    }
    place.store(child.get(), std::memory_order_release);
}

/// The part of ncclCommSplit and ncclCommShrink after the checks of their own arguments.
ncclResult_t begin(const Use& use, ncclComm_t* slot, const ncclConfig_t* config, ChildRequest request, bool has_child) {
    const auto& parent = use.comm();
    check_name(*parent, use.by());
    std::atomic_ref(*slot).store(nullptr, std::memory_order_release);
    Comm child;
    if (has_child) {
        child = std::make_shared<ncclComm>(parent->world_rank, parent->device);
        configure(*child, config, parent.get());
    }
    request.number = ++parent->splits;
    Job job;
    job.comm = parent;
    job.cancel = [parent] { interrupt(*parent); };
    job.run = [parent, child, slot, request, action = use.action(), by = use.by()] {
        try {
            obey(action, parent->cancel);
            join_by_parent(*parent, child.get(), request);
        } catch (const Failure&) {
            deliver(slot, child, by); // made and dead: to be aborted
            throw;
        }
        deliver(slot, child, by);
        return ncclSuccess;
    };
    return Group::mine().add(std::move(job));
}

template <class Fn>
ncclResult_t in_group(Fn fn) {
    auto& group = Group::mine();
    group.start();
    auto result = ncclSuccess;
    try {
        result = fn();
    } catch (const Failure& failure) {
        result = kept(failure);
    }
    group.failed(result);
    const auto ended = group.end();
    return ended != ncclSuccess && ended != ncclInProgress ? ended : result; // in progress is told by the state alone
}

} // namespace
} // namespace standin

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* slot, ncclConfig_t* config) {
    const standin::Use use(comm, STANDIN_FUNCTION("ncclCommSplit", 21801));
    if (use.action().what == standin::Do::error) return standin::scripted_error(use.action());
    return standin::in_group([&] {
        if (const auto state = use.ready(); state != ncclSuccess) return state;
        if (slot == nullptr) throw standin::Failure{ncclInvalidArgument, "ncclCommSplit : newcomm argument is NULL"};
        if (color < 0 && color != NCCL_SPLIT_NOCOLOR) {
            standin::broken_rule(use.by() + " was called with color " + std::to_string(color));
            return ncclInvalidArgument;
        }
        use.check_device();
        standin::check_quiet(*use.comm(), use.by());
        return standin::begin(use, slot, config, {1, 0, color, key, {}}, color != NCCL_SPLIT_NOCOLOR);
    });
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
ncclResult_t ncclCommShrink(ncclComm_t comm, int* excluded, int n, ncclComm_t* slot, ncclConfig_t* config, int flags) {
    const standin::Use use(comm, STANDIN_FUNCTION("ncclCommShrink", 22703));
    if (use.action().what == standin::Do::error) return standin::scripted_error(use.action());
    if (comm == nullptr && (flags & NCCL_SHRINK_ABORT) != 0) std::abort(); // NCCL looks into it before it checks
    return standin::in_group([&] {
        const bool aborts = (flags & NCCL_SHRINK_ABORT) != 0;
        if (use.comm() && aborts) { // it may follow the loss of a rank, which is then done with
            standin::drop_operations(*use.comm());
            use.comm()->remote = ncclSuccess;
        }
        if (const auto state = use.ready(); state != ncclSuccess) return state;
        if (slot == nullptr || excluded == nullptr || n < 1) {
            throw standin::Failure{ncclInvalidArgument, "ncclCommShrink : invalid argument"};
        }
        std::vector<int> ranks(excluded, excluded + n);
        std::sort(ranks.begin(), ranks.end());
        // Counted twice, which fits no rank's number.
        if (std::adjacent_find(ranks.begin(), ranks.end()) != ranks.end()) {
            throw standin::Failure{ncclInvalidArgument, "ncclCommShrink : a rank is excluded twice"};
        }
        if (std::binary_search(ranks.begin(), ranks.end(), use.comm()->rank)) return ncclInvalidArgument;
        use.check_device();
        if (!aborts) standin::check_quiet(*use.comm(), use.by());
        return standin::begin(use, slot, config, {2, 0, 0, use.comm()->rank, ranks}, true);
    });
}
#endif
