// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <deque>
#include <mutex>
#include <string>

#include "communicator.hpp"
#include "group.hpp"
#include "scripted.hpp"

namespace standin {
namespace {

/// Texts live for ever: who asked for one may still read it.
struct LastError {
    std::mutex mutex;
    std::deque<std::string> texts;
    std::atomic<const char*> current = "";
};

LastError& last_error() {
    static auto& state = *new LastError;
    return state;
}

ncclResult_t ask(const Use& use, int* value, int ncclComm::*member) {
    if (use.action().what == Do::error) return scripted_error(use.action());
    if (const auto state = use.ready(); state != ncclSuccess) return state;
    if (value == nullptr) return ncclInvalidArgument;
    *value = (*use.comm()).*member;
    return ncclSuccess;
}

} // namespace

void set_last_error(const std::string& text) {
    constexpr std::size_t most = 1023; // as much as the real one keeps
    auto& state = last_error();
    const std::lock_guard lock(state.mutex);
    state.texts.push_back(text.substr(0, most));
    state.current.store(state.texts.back().c_str(), std::memory_order_release);
}

} // namespace standin

using standin::Do;

ncclResult_t ncclGetVersion(int* version) {
    const auto action = STANDIN_CALLED("ncclGetVersion", standin::caller_rank());
    if (action.what == Do::error) return standin::scripted_error(action);
    if (version == nullptr) return ncclInvalidArgument;
    *version = standin::script().number("version", standin::caller_rank(), NCCL_VERSION_CODE);
    return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
    static constexpr std::array texts = {
        "no error",
        "unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
        "unhandled system error (run with NCCL_DEBUG=INFO for details)",
        "internal error - please report this issue to the NCCL developers",
        "invalid argument (run with NCCL_DEBUG=WARN for details)",
        "invalid usage (run with NCCL_DEBUG=WARN for details)",
        "remote process exited or there was a network error",
        "NCCL operation in progress",
    };
    const auto code = static_cast<std::size_t>(result);
    return code < texts.size() ? texts.at(code) : "unknown result code";
}

const char* ncclGetLastError(ncclComm_t) { return standin::last_error().current.load(std::memory_order_acquire); }

ncclResult_t ncclCommGetAsyncError(ncclComm_t handle, ncclResult_t* state) {
    const standin::Use use(handle, STANDIN_FUNCTION("ncclCommGetAsyncError", 0));
    if (use.action().what == Do::error) return standin::scripted_error(use.action());
    if (!use.comm()) standin::set_last_error("ncclGetAsyncError : comm argument is NULL");
    if (!use.comm() || state == nullptr) return ncclInvalidArgument;
    const auto& comm = use.comm();
    if (use.action().what == Do::async) comm->remote = use.action().value;
    *state = standin::state_of(*comm);
    if (*state == ncclSuccess && comm->job) {
        comm->job->wait();
        comm->job = nullptr;
    }
    return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t handle, int* count) {
    const standin::Use use(handle, STANDIN_FUNCTION("ncclCommCount", 0));
    return standin::ask(use, count, &ncclComm::size);
}

ncclResult_t ncclCommUserRank(const ncclComm_t handle, int* rank) {
    const standin::Use use(handle, STANDIN_FUNCTION("ncclCommUserRank", 0));
    return standin::ask(use, rank, &ncclComm::rank);
}

ncclResult_t ncclCommCuDevice(const ncclComm_t handle, int* device) {
    const standin::Use use(handle, STANDIN_FUNCTION("ncclCommCuDevice", 0));
    if (use.action().what == Do::error) return standin::scripted_error(use.action());
    if (const auto state = use.ready(); state != ncclSuccess) return state;
    if (device == nullptr) return ncclInvalidArgument;
    *device = use.comm()->device;
    return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
    const auto action = STANDIN_CALLED("ncclGroupStart", standin::caller_rank());
    if (action.what == Do::error) return standin::scripted_error(action);
    standin::Group::mine().start();
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
    const auto action = STANDIN_CALLED("ncclGroupEnd", standin::caller_rank());
    if (action.what == Do::error) return standin::scripted_error(action);
    return standin::Group::mine().end();
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 22, 3)
ncclResult_t ncclGroupSimulateEnd(ncclSimInfo_t* info) {
    const auto action = STANDIN_CALLED_SINCE("ncclGroupSimulateEnd", 22203, standin::caller_rank());
    if (action.what == Do::error) return standin::scripted_error(action);
    if (info != nullptr) info->estimatedTime = 0;
    return standin::Group::mine().end(true);
}
#endif
