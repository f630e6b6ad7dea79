// SPDX-License-Identifier: Apache-2.0
// Operators, registrations, windows and memory: what a user makes on a communicator and must take back.
#include <cstring>
#include <memory>

#include "device.hpp"
#include "ending.hpp"
#include "group.hpp"
#include "memory.hpp"
#include "rules.hpp"
#include "scripted.hpp"

namespace standin {
namespace {

/// Numbers of user operators: each is another, so that one of another communicator is known as such.
int next_operator() {
    static std::atomic<int> next = ncclNumOps;
    return next++;
}

ncclResult_t check_range(const Use& use, const void* buffer, std::size_t size) {
    use.check_device();
    const auto fault = fault_of_range(buffer, size, use.comm()->device);
    if (fault.empty() && buffer != nullptr && size > 0) return ncclSuccess;
    broken_rule(use.by() + " : the buffer " + (fault.empty() ? "is empty" : fault));
    return ncclInvalidArgument;
}

ncclResult_t take_back(const Use& use, std::set<void*>& all, void* handle) {
    if (use.action().what == Do::error) return scripted_error(use.action());
    if (const auto state = use.ready(); state != ncclSuccess) return state;
    if (all.erase(handle) == 1) {
        delete static_cast<char*>(handle);
        return ncclSuccess;
    }
    broken_rule(use.by() + " was called with a handle that is not this communicator's");
    return ncclInvalidArgument;
}

} // namespace
} // namespace standin

using standin::Do;
using standin::Use;

ncclResult_t ncclRedOpCreatePreMulSum(ncclRedOp_t* op, void* scalar, ncclDataType_t type,
                                      ncclScalarResidence_t residence, ncclComm_t handle) {
    const Use use(handle, STANDIN_FUNCTION("ncclRedOpCreatePreMulSum", 21104));
    if (use.action().what == Do::error) return standin::scripted_error(use.action());
    if (const auto state = use.ready(); state != ncclSuccess) return state;
    const auto size = standin::size_of(type);
    if (op == nullptr || scalar == nullptr || size == 0) return ncclInvalidArgument;
    standin::UserOp made;
    made.type = type;
    if (residence == ncclScalarHostImmediate) {
        std::memcpy(made.scalar.bytes.data(), scalar, size);
    } else {
        if (const auto fault = standin::fault_of_range(scalar, size, use.comm()->device); !fault.empty()) {
            standin::broken_rule(use.by() + " : the scalar " + fault);
            return ncclInvalidArgument;
        }
        made.device_scalar = scalar;
    }
    const int number = standin::next_operator();
    use.comm()->ops[number] = made;
    *op = static_cast<ncclRedOp_t>(number);
    return ncclSuccess;
}

ncclResult_t ncclRedOpDestroy(ncclRedOp_t op, ncclComm_t handle) {
    const Use use(handle, STANDIN_FUNCTION("ncclRedOpDestroy", 21104));
    if (use.action().what == Do::error) return standin::scripted_error(use.action());
    if (!use.comm()) return ncclInvalidArgument;
    if (static_cast<int>(op) < ncclNumOps) {
        standin::set_last_error("ncclRedOpDestroy : operator is a NCCL builtin.");
        return ncclInvalidArgument;
    }
    if (use.comm()->ops.erase(static_cast<int>(op)) == 1) return ncclSuccess;
    standin::broken_rule(use.by() + " was called with an operator that is unknown to the communicator");
    return ncclInvalidArgument;
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
ncclResult_t ncclMemAlloc(void** pointer, std::size_t size) {
    const auto action = STANDIN_CALLED_SINCE("ncclMemAlloc", 21901, standin::caller_rank());
    if (action.what == Do::error) return standin::scripted_error(action);
    int device = 0;
    if (pointer == nullptr || size == 0) return ncclInvalidArgument;
    if (standin::get_device(device) != cudaSuccess) return ncclUnhandledCudaError;
    *pointer = standin::allocate(size, device, standin::Memory::nccl);
    return *pointer == nullptr ? ncclUnhandledCudaError : ncclSuccess;
}

ncclResult_t ncclMemFree(void* pointer) {
    const auto action = STANDIN_CALLED_SINCE("ncclMemFree", 21901, standin::caller_rank());
    if (action.what == Do::error) return standin::scripted_error(action);
    if (pointer == nullptr) return ncclSuccess;
    if (const auto found = standin::allocation_of(pointer); found) standin::synchronize(found->device);
    if (standin::release(pointer, standin::Memory::nccl)) return ncclSuccess;
    standin::broken_rule("ncclMemFree was called with what ncclMemAlloc did not give, by rank " +
                         std::to_string(standin::caller_rank()));
    return ncclInvalidArgument;
}

ncclResult_t ncclCommRegister(const ncclComm_t comm, void* buffer, std::size_t size, void** handle) {
    const Use use(comm, STANDIN_FUNCTION("ncclCommRegister", 21901));
    if (use.action().what == Do::error) return standin::scripted_error(use.action());
    if (const auto state = use.ready(); state != ncclSuccess) return state;
    if (handle == nullptr) return ncclInvalidArgument;
    if (const auto result = standin::check_range(use, buffer, size); result != ncclSuccess) return result;
    *handle = *use.comm()->registrations.insert(new char).first;
    return ncclSuccess;
}

ncclResult_t ncclCommDeregister(const ncclComm_t comm, void* handle) {
    const Use use(comm, STANDIN_FUNCTION("ncclCommDeregister", 21901));
    if (!use.comm()) return ncclInvalidArgument;
    return standin::take_back(use, use.comm()->registrations, handle);
}
#endif

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
// Collective, and done by the group: the handle is written at its end.
ncclResult_t ncclCommWindowRegister(ncclComm_t handle, void* buffer, std::size_t size, ncclWindow_t* window, int) {
    const Use use(handle, STANDIN_FUNCTION("ncclCommWindowRegister", 22703));
    if (use.action().what == Do::error) return standin::scripted_error(use.action());
    const auto& comm = use.comm();
    auto& group = standin::Group::mine();
    group.start();
    auto result = use.ready();
    if (result == ncclSuccess && window == nullptr) result = ncclInvalidArgument;
    if (result == ncclSuccess) result = standin::check_range(use, buffer, size);
    if (result == ncclSuccess) {
        standin::Job job;
        job.comm = comm;
        job.cancel = [comm] { standin::interrupt(*comm); };
        job.run = [comm, window, action = use.action()] {
            standin::obey(action, comm->cancel);
            auto* made = *comm->windows.insert(new char).first;
            std::atomic_ref(*window).store(static_cast<ncclWindow_t>(made), std::memory_order_release);
            return ncclSuccess;
        };
        result = group.add(std::move(job));
    }
    group.failed(result);
    const auto ended = group.end();
    return ended != ncclSuccess && ended != ncclInProgress ? ended : result;
}

ncclResult_t ncclCommWindowDeregister(ncclComm_t comm, ncclWindow_t window) {
    const Use use(comm, STANDIN_FUNCTION("ncclCommWindowDeregister", 22703));
    if (!use.comm()) return ncclInvalidArgument;
    return standin::take_back(use, use.comm()->windows, window);
}
#endif
