// SPDX-License-Identifier: Apache-2.0
#include "ending.hpp"

#include <utility>

#include "group.hpp"
#include "rules.hpp"
#include "scripted.hpp"

namespace standin {

void interrupt(ncclComm& comm) {
    comm.cancel.set();
    if (!comm.ready.load(std::memory_order_acquire)) return;
    {
        const auto lock = comm.mesh->lock();
        comm.operations_cut = true;
    }
    comm.mesh->cut();
}

void drop_operations(ncclComm& comm) {
    if (!comm.ready.load(std::memory_order_acquire)) return;
    auto lock = comm.mesh->lock();
    comm.cut_below = comm.launched;
    comm.mesh->notify();
    comm.mesh->wait_always(lock, [&] { return !comm.executing; });
}

namespace {

/// Waits for the operations, says goodbye, and waits for the goodbyes of the others.
void finalize(ncclComm& comm) {
    auto& mesh = *comm.mesh;
    const auto* setting = script().find("finalize", comm.world_rank);
    const bool local = setting != nullptr && *setting == "local";
    const auto wait = [&](auto condition) {
        auto lock = mesh.lock();
        const bool there = mesh.wait(lock, [&] { return condition() || mesh.first_lost() >= 0; });
        if (!there) throw Failure{ncclInternalError, "the communicator was aborted"};
        if (!condition()) throw Failure{ncclRemoteError, "connection closed by remote peer"};
    };
    wait([&] { return comm.executed >= comm.launched; });
    mesh.say_bye();
    if (!local) wait([&] { return mesh.all_said_bye(); });
    wait([&] { return mesh.all_sent(); });
    comm.finalized = true;
    mesh.end_quietly();
}

/// What both destroy and abort end with.
ncclResult_t reclaim(ncclComm& comm, bool aborted) {
    if (aborted) {
        interrupt(comm); // what became ready in the meantime
        if (comm.ready) {
            auto lock = comm.mesh->lock();
            comm.mesh->wait_always(lock, [&] { return !comm.executing; });
        }
    } else if (comm.revoked) {
        comm.mesh->say_bye();
        auto lock = comm.mesh->lock();
        (void)comm.mesh->wait(lock, [&] { return comm.mesh->all_sent(); });
        lock.unlock();
        comm.mesh->end_quietly();
    } else if (!comm.finalized) {
        try {
            finalize(comm);
        } catch (const Failure& failure) {
            set_last_error(failure.text);
            interrupt(comm);
        }
    }
    comm.alive = false;
    return ncclSuccess;
}

ncclResult_t end_group(ncclResult_t result) {
    auto& group = Group::mine();
    group.failed(result);
    const auto ended = group.end();
    return ended != ncclSuccess && ended != ncclInProgress ? ended : result;
}

void check_leftovers(const ncclComm& comm, const std::string& by) {
    if (!comm.ops.empty()) broken_rule(by + " leaked " + std::to_string(comm.ops.size()) + " reduction operators");
    if (!comm.registrations.empty())
        broken_rule(by + " leaked " + std::to_string(comm.registrations.size()) + " registrations");
    if (!comm.windows.empty()) broken_rule(by + " leaked " + std::to_string(comm.windows.size()) + " windows");
}

ncclResult_t add(Comm comm, bool ends, std::function<ncclResult_t()> run) {
    Job job;
    job.cancel = [comm] { interrupt(*comm); };
    job.comm = std::move(comm);
    job.ends_comm = ends;
    job.run = std::move(run);
    return Group::mine().add(std::move(job));
}

} // namespace
} // namespace standin

ncclResult_t ncclCommFinalize(ncclComm_t handle) {
    const standin::Use use(handle, STANDIN_FUNCTION("ncclCommFinalize", 21403));
    if (use.action().what == standin::Do::error) return standin::scripted_error(use.action());
    const auto& comm = use.comm();
    if (handle == nullptr) return ncclSuccess;
    auto& group = standin::Group::mine();
    group.start();
    auto result = use.ready();
    if (result == ncclSuccess && comm->finalize_called) result = ncclInvalidArgument;
    if (result == ncclSuccess) {
        comm->finalize_called = true;
        result = standin::add(comm, false, [comm, action = use.action()] {
            standin::obey(action, comm->cancel);
            standin::finalize(*comm);
            return ncclSuccess;
        });
    }
    if (result != ncclSuccess && comm && !comm->blocking) comm->async = result;
    result = standin::end_group(result);
    return comm && !comm->blocking ? standin::told(use.action(), standin::state_of(*comm)) : result;
}

ncclResult_t ncclCommDestroy(ncclComm_t handle) {
    const standin::Use use(handle, STANDIN_FUNCTION("ncclCommDestroy", 0));
    if (use.action().what == standin::Do::error) return standin::scripted_error(use.action());
    if (handle == nullptr) return ncclSuccess;
    standin::Group::mine().start();
    if (!use.comm()) return ncclInvalidArgument; // the group stays open here and below, as the real one's
    if (const auto state = standin::state_of(*use.comm()); state != ncclSuccess && state != ncclInProgress) {
        standin::broken_rule(use.by() + " was called on a communicator that failed with " + std::to_string(state));
    }
    if (const auto state = use.ready(); state != ncclSuccess) return state;
    const auto& comm = use.comm();
    standin::check_name(*comm, use.by());
    standin::check_leftovers(*comm, use.by());
    if (comm->job) comm->job->wait();
    return standin::end_group(standin::add(comm, true, [comm, action = use.action()] {
        standin::obey(action, comm->cancel);
        return standin::reclaim(*comm, false);
    }));
}

ncclResult_t ncclCommAbort(ncclComm_t handle) {
    const standin::Use use(handle, STANDIN_FUNCTION("ncclCommAbort", 0), true);
    if (use.action().what == standin::Do::error) return standin::scripted_error(use.action());
    const auto& comm = use.comm();
    if (!comm) return handle == nullptr ? ncclSuccess : ncclInvalidArgument;
    auto& group = standin::Group::mine();
    group.start();
    standin::interrupt(*comm);
    standin::check_name(*comm, use.by());
    if (use.action().what == standin::Do::progress) standin::Cancel().sleep(use.action().value);
    if (comm->job) comm->job->abort();
    return standin::end_group(standin::add(comm, true, [comm] { return standin::reclaim(*comm, true); }));
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 7)
ncclResult_t ncclCommRevoke(ncclComm_t handle, int flags) {
    const standin::Use use(handle, STANDIN_FUNCTION("ncclCommRevoke", 22807));
    if (use.action().what == standin::Do::error) return standin::scripted_error(use.action());
    const auto& comm = use.comm();
    if (!comm) return handle == nullptr ? ncclSuccess : ncclInvalidArgument;
    if (flags != NCCL_REVOKE_DEFAULT || comm->finalize_called || comm->revoked) return ncclInvalidArgument;
    if (const auto state = use.ready(); state == ncclInvalidArgument) return state;
    standin::Group::mine().start();
    comm->revoked = true;
    comm->finalize_called = true;
    const auto added = standin::add(comm, false, [comm, action = use.action()] {
        standin::obey(action, comm->cancel);
        standin::drop_operations(*comm);
        return ncclSuccess;
    });
    const auto result = standin::end_group(added);
    return comm->blocking ? result : standin::state_of(*comm);
}
#endif
