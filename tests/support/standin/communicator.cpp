// SPDX-License-Identifier: Apache-2.0
#include "communicator.hpp"

#include <unordered_map>
#include <utility>

#include "device.hpp"
#include "ending.hpp"
#include "rules.hpp"

namespace standin {
namespace {

struct Communicators {
    std::mutex mutex;
    std::unordered_map<ncclComm*, Comm> all;
};

Communicators& communicators() {
    static auto& state = *new Communicators;
    return state;
}

Comm find(ncclComm_t handle) {
    auto& state = communicators();
    const std::lock_guard lock(state.mutex);
    const auto found = state.all.find(handle);
    return found == state.all.end() ? nullptr : found->second;
}

} // namespace

void enlist(const Comm& comm) {
    auto& state = communicators();
    const std::lock_guard lock(state.mutex);
    state.all[comm.get()] = comm;
}

int living_communicators() {
    auto& state = communicators();
    const std::lock_guard lock(state.mutex);
    int n = 0;
    for (const auto& [handle, comm] : state.all) n += comm->alive ? 1 : 0;
    return n;
}

Use::Use(ncclComm_t handle, Function& counter, bool aborts) : function_(counter.name), comm_(find(handle)) {
    if (comm_ && !comm_->alive) {
        broken_rule(by() + " was called with a communicator that was destroyed or aborted");
        comm_ = nullptr;
    } else if (!comm_ && handle != nullptr) {
        broken_rule(by() + " was called with what is no communicator");
    }
    if (comm_ && comm_->users.fetch_add(1, std::memory_order_acq_rel) > 0) {
        broken_rule(by() + " was called while another thread was in a call on the same communicator");
    }
    // A call that hangs keeps no lock: an abort beside it is a broken rule, and is done.
    action_ = counter.called(comm_ ? comm_->world_rank : caller_rank());
    if (comm_ && aborts && action_.what != Do::error) interrupt(*comm_);
    if (comm_) lock_ = std::unique_lock(comm_->calls);
}

Use::~Use() {
    if (!comm_) return;
    lock_.unlock();
    comm_->users.fetch_sub(1, std::memory_order_acq_rel);
}

std::string Use::by() const {
    return std::string(function_) + " by rank " + std::to_string(comm_ ? comm_->world_rank : caller_rank());
}

ncclResult_t Use::ready() const {
    if (!comm_) {
        set_last_error(std::string(function_) + " : comm argument is NULL");
        return ncclInvalidArgument;
    }
    const auto state = state_of(*comm_);
    if (state == ncclInProgress) {
        broken_rule(by() + " was called on a communicator that is in progress");
        set_last_error("Attempt to use communicator before the previous operation returned ncclSuccess");
        return ncclInvalidArgument;
    }
    if (state != ncclSuccess) return state;
    if (comm_->cancel.is_set()) {
        broken_rule(by() + " was called on a communicator that is being aborted");
        return ncclInvalidUsage;
    }
    if (!comm_->ready) {
        broken_rule(by() + " was called on a communicator whose making failed, or has not begun");
        return ncclInternalError;
    }
    return ncclSuccess;
}

void Use::check_device() const {
    if (current_device() == comm_->device) return;
    broken_rule(by() + " was called with device " + std::to_string(current_device()) +
                " current, and the communicator is on device " + std::to_string(comm_->device));
}

ncclResult_t state_of(const ncclComm& comm) {
    const int state = comm.async.load(std::memory_order_acquire);
    return static_cast<ncclResult_t>(state != ncclSuccess ? state : comm.remote.load(std::memory_order_acquire));
}

void check_name(const ncclComm& comm, const std::string& by) {
    if (comm.name != nullptr && comm.name_then != comm.name) {
        broken_rule(by + " was called, and commName of the communicator is no longer what it was");
    }
}

} // namespace standin
