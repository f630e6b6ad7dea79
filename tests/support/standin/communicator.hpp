// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nccl.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "arithmetic.hpp"
#include "calls.hpp"
#include "failure.hpp"
#include "mesh.hpp"

namespace standin {

class GroupJob;

/// A reduction that the user made.
struct UserOp {
    ncclDataType_t type = ncclFloat32;
    Scalar scalar;
    const void* device_scalar = nullptr; // read when the operation runs
};

} // namespace standin

/// What an ncclComm_t points to. It is never freed, so that a handle that is used too long is known.
struct ncclComm : std::enable_shared_from_this<ncclComm> {
    ncclComm(int of_world, int at_device) : world_rank(of_world), device(at_device) {}

    const int world_rank; // in the oldest ancestor
    const int device;
    int rank = -1;
    int size = 0;
    std::uint64_t hash = 0;
    bool blocking = true;
    const char* name = nullptr; // the caller's, as NCCL keeps it
    std::string name_then;

    std::atomic<int> async = ncclSuccess;  // what the last job said
    std::atomic<int> remote = ncclSuccess; // what the sockets said
    std::atomic<bool> ready = false;       // has a mesh
    std::atomic<bool> alive = true;        // neither destroyed nor aborted
    std::atomic<bool> finalized = false;
    std::atomic<bool> revoked = false;
    bool finalize_called = false;

    standin::Cancel cancel; // set by abort

    // Calls of one communicator do not overlap; `calls` keeps the stand-in itself right when they do.
    std::atomic<int> users = 0;
    std::mutex calls;
    std::shared_ptr<standin::GroupJob> job;
    std::shared_ptr<ncclComm> child; // being made: aborted with the parent
    std::uint64_t splits = 0;
    std::map<int, standin::UserOp> ops;
    std::set<void*> registrations;
    std::set<void*> windows;

    // Under the lock of the mesh.
    std::shared_ptr<standin::Mesh> mesh;
    bool operations_cut = false; // by abort, revoke or shrink: what runs stops, what waits is dropped
    bool executing = false;
    std::uint64_t cut_below = 0; // launches with lower tickets are dropped
    std::uint64_t launched = 0;
    std::uint64_t executed = 0;
    std::uint64_t collectives = 0;
};

namespace standin {

using Comm = std::shared_ptr<ncclComm>;

/// Makes the handle known.
void enlist(const Comm& comm);

/// All that live, for the end.
int living_communicators();

/// One call of a function on a communicator, from its first line to its return: finds the communicator, counts the
/// call, and sees that calls do not overlap.
class Use {
public:
    /// An abort ends the waits of what it finds in progress.
    Use(ncclComm_t handle, Function& counter, bool aborts = false);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

    /// Null when there is no such communicator.
    const Comm& comm() const { return comm_; }
    const Action& action() const { return action_; }

    /// ncclSuccess when the communicator may be used; else the error of NCCL, after a complaint when it broke a rule.
    ncclResult_t ready() const;

    /// Complains when the current device is not the communicator's.
    void check_device() const;

    std::string by() const;

private:
    const char* function_;
    Comm comm_;
    Action action_;
    std::unique_lock<std::mutex> lock_;
};

/// What ncclCommGetAsyncError says.
ncclResult_t state_of(const ncclComm& comm);

/// Complains when the name that NCCL keeps a pointer to is not what it was.
void check_name(const ncclComm& comm, const std::string& by);

} // namespace standin

/// The function of a call, to be named once.
#define STANDIN_FUNCTION(name, since)                     \
    ([]() -> ::standin::Function& {                       \
        static ::standin::Function function(name, since); \
        return function;                                  \
    }())
