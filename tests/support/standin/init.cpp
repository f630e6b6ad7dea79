// SPDX-License-Identifier: Apache-2.0
#include <span>
#include <vector>

#include "bootstrap.hpp"
#include "config.hpp"
#include "device.hpp"
#include "group.hpp"
#include "scripted.hpp"

namespace standin {
namespace {

struct Wish {
    ncclComm_t* slot;
    int size;
    int rank;
    std::vector<ncclUniqueId> ids;
    const ncclConfig_t* config;
    Action action;
};

/// Makes the handle and puts the job into the group of the thread.
ncclResult_t begin(const Wish& wish, int device, Comm& made) {
    if (wish.slot == nullptr) throw Failure{ncclInvalidArgument, "CommInitRank : newcomm argument is NULL"};
    if (wish.ids.empty() || wish.ids.size() > static_cast<std::size_t>(wish.size)) {
        throw Failure{ncclInvalidArgument,
                      "improper usage of ncclCommInitRank: nId = " + std::to_string(wish.ids.size()) +
                          ", nranks=" + std::to_string(wish.size)};
    }
    if (wish.size < 1 || wish.rank < 0 || wish.rank >= wish.size) {
        throw Failure{ncclInvalidArgument,
                      "Invalid rank requested : " + std::to_string(wish.rank) + "/" + std::to_string(wish.size)};
    }
    auto comm = std::make_shared<ncclComm>(wish.rank, device);
    configure(*comm, wish.config, nullptr);
    comm->hash = hash_of(wish.ids);
    enlist(comm);
    *wish.slot = comm.get();
    made = comm;
    Job job;
    job.comm = comm;
    job.makes_comm = true;
    job.cancel = [comm] { comm->cancel.set(); };
    job.run = [comm, id = wish.ids.front(), size = wish.size, rank = wish.rank, action = wish.action] {
        obey(action, comm->cancel);
        join_by_root(*comm, id, size, rank);
        return ncclSuccess;
    };
    return Group::mine().add(std::move(job));
}

/// What ncclCommInitRankConfig and ncclCommInitRankScalable have in common.
ncclResult_t init(const Wish& wish, const Action& get_device_action) {
    if (wish.action.what == Do::error) return scripted_error(wish.action);
    auto& group = Group::mine();
    group.start();
    int device = 0;
    auto error = get_device(device);
    if (get_device_action.what == Do::error) error = static_cast<cudaError_t>(get_device_action.value);
    if (error != cudaSuccess) {
        // The real one leaves its group open here.
        set_last_error(std::string("Cuda failure '") + cudaGetErrorString(error) + "'");
        return ncclUnhandledCudaError;
    }
    Comm comm;
    auto result = ncclSuccess;
    try {
        result = begin(wish, device, comm);
    } catch (const Failure& failure) {
        result = kept(failure);
    }
    group.failed(result);
    const auto ended = group.end();
    if (ended != ncclSuccess && ended != ncclInProgress) return ended;
    if (comm && !comm->blocking) return told(wish.action, state_of(*comm));
    return result;
}

} // namespace
} // namespace standin

using standin::Wish;

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
    if (const auto action = STANDIN_CALLED("ncclGetUniqueId", standin::caller_rank());
        action.what == standin::Do::error) {
        return standin::scripted_error(action);
    }
    if (id == nullptr) return ncclInvalidArgument;
    try {
        *id = standin::make_root();
    } catch (const standin::Failure& failure) {
        return standin::kept(failure);
    }
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank, ncclConfig_t* config) {
    const auto action = STANDIN_CALLED("ncclCommInitRankConfig", rank);
    return standin::init({comm, size, rank, {id}, config, action},
                         STANDIN_CALLED("ncclCommInitRankConfig/cudaGetDevice", rank));
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 23, 4)
ncclResult_t ncclCommInitRankScalable(ncclComm_t* comm, int size, int rank, int n, ncclUniqueId* ids,
                                      ncclConfig_t* config) {
    const auto action = STANDIN_CALLED_SINCE("ncclCommInitRankScalable", 22304, rank);
    const std::span all(ids, ids == nullptr || n < 0 ? 0 : static_cast<std::size_t>(n));
    return standin::init({comm, size, rank, {all.begin(), all.end()}, config, action},
                         STANDIN_CALLED("ncclCommInitRankScalable/cudaGetDevice", rank));
}
#endif

// The one that opens no group of its own.
ncclResult_t ncclCommInitRank(ncclComm_t* slot, int size, ncclUniqueId id, int rank) {
    const auto action = STANDIN_CALLED("ncclCommInitRank", rank);
    if (action.what == standin::Do::error) return standin::scripted_error(action);
    int device = 0;
    if (standin::get_device(device) != cudaSuccess) return ncclUnhandledCudaError;
    auto& group = standin::Group::mine();
    const bool alone = !group.open();
    if (alone) group.start();
    standin::Comm comm;
    auto result = ncclSuccess;
    try {
        result = standin::begin({slot, size, rank, {id}, nullptr, action}, device, comm);
    } catch (const standin::Failure& failure) {
        result = standin::kept(failure);
    }
    group.failed(result);
    if (!alone) return result;
    const auto ended = group.end();
    return ended == ncclInProgress && comm ? comm->job->wait(), standin::state_of(*comm) : ended;
}

ncclResult_t ncclCommInitAll(ncclComm_t* comms, int n, const int* devices) {
    const auto action = STANDIN_CALLED("ncclCommInitAll", standin::caller_rank());
    if (action.what == standin::Do::error) return standin::scripted_error(action);
    if (comms == nullptr || n < 1) return ncclInvalidArgument;
    ncclUniqueId id;
    int before = 0;
    auto result = ncclGetUniqueId(&id);
    if (result != ncclSuccess) return result;
    if (standin::get_device(before) != cudaSuccess) return ncclUnhandledCudaError;
    (void)ncclGroupStart();
    for (int rank = 0; rank < n && result == ncclSuccess; ++rank) {
        if (cudaSetDevice(devices == nullptr ? rank : devices[rank]) != cudaSuccess) result = ncclUnhandledCudaError;
        if (result == ncclSuccess) result = ncclCommInitRank(comms + rank, n, id, rank);
    }
    const auto ended = ncclGroupEnd();
    (void)cudaSetDevice(before);
    return result != ncclSuccess ? result : ended;
}
