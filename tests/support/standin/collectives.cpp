// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "device.hpp"
#include "group.hpp"
#include "memory.hpp"
#include "rules.hpp"
#include "scripted.hpp"

namespace standin {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Failure{ncclInvalidArgument, text}; }

/// How many times the count a rank reads and writes; 0: nothing.
std::pair<int, int> parts_of(const Operation& operation, int rank, int size) {
    const int root = rank == operation.root ? 1 : 0;
    switch (operation.call) {
        case Call::reduce: return {1, root};
        case Call::broadcast: return {root, 1};
        case Call::all_gather: return {1, size};
        case Call::reduce_scatter: return {size, 1};
        case Call::all_to_all: return {size, size};
        case Call::gather: return {1, root * size};
        case Call::scatter: return {root * size, 1};
        case Call::send: return {1, 0};
        case Call::recv: return {0, 1};
        default: return {1, 1};
    }
}

/// Where recv begins seen from send when an operation is in place, in counts.
int in_place(Call call, int rank) {
    if (call == Call::all_gather || call == Call::gather) return -rank;
    return call == Call::reduce_scatter || call == Call::scatter ? rank : 0;
}

void check_buffers(const Use& use, const Operation& operation) {
    const auto& comm = *operation.comm;
    const auto bytes = operation.bytes();
    const auto [reads, writes] = parts_of(operation, comm.rank, comm.size);
    const auto read = static_cast<std::size_t>(reads) * bytes;
    const auto written = static_cast<std::size_t>(writes) * bytes;
    for (const auto& [pointer, size, name] : {std::tuple{operation.send, read, "sendbuff"},
                                              {static_cast<const void*>(operation.recv), written, "recvbuff"}}) {
        if (const auto fault = fault_of_range(pointer, size, comm.device); !fault.empty()) {
            broken_rule(use.by() + " : " + name + " " + fault);
            refuse(name + std::string(" is not a valid pointer"));
        }
    }
    const auto* send = static_cast<const char*>(operation.send);
    const auto* recv = static_cast<const char*>(operation.recv);
    const bool overlap =
        read > 0 && written > 0 && std::less<>()(send, recv + written) && std::less<>()(recv, send + read);
    if (!overlap) return;
    const auto step = static_cast<std::ptrdiff_t>(bytes) * in_place(operation.call, comm.rank);
    if (operation.call == Call::all_to_all || recv - send != step)
        broken_rule(use.by() + " : the buffers overlap and are not in place");
}

void resolve_op(Operation& operation, ncclRedOp_t op) {
    const auto number = static_cast<int>(op);
    if (number < 0) refuse("invalid reduction operation " + std::to_string(number));
    switch (op) {
        case ncclSum: operation.op = Reduction::sum; return;
        case ncclProd: operation.op = Reduction::prod; return;
        case ncclMax: operation.op = Reduction::max; return;
        case ncclMin: operation.op = Reduction::min; return;
        case ncclAvg: operation.op = Reduction::avg; return;
        default: break;
    }
    const auto found = operation.comm->ops.find(number);
    if (found == operation.comm->ops.end())
        refuse("reduction operation " + std::to_string(number) + " unknown to this communicator");
    if (found->second.type != operation.type) {
        refuse("Data type supplied to user-created ncclRedOp_t does not match type given to reduction operation");
    }
    operation.op = Reduction::premultiplied;
    operation.user = found->second;
}

/// Checks the operation and fills in what it lacks. Throws what NCCL returns.
void check(const Use& use, Operation& operation, ncclRedOp_t op, cudaStream_t stream) {
    const auto& comm = use.comm();
    if (operation.root < 0 || operation.root >= comm->size) {
        refuse(std::string(name_of(operation.call)) + " : invalid root " + std::to_string(operation.root) +
               " (root should be in the 0.." + std::to_string(comm->size) + " range)");
    }
    if (size_of(operation.type) == 0)
        refuse(std::string(name_of(operation.call)) + " : invalid type " + std::to_string(operation.type));
    operation.comm = comm;
    resolve_op(operation, op);
    use.check_device();
    operation.stream = find_stream(stream);
    if (!operation.stream) {
        broken_rule(use.by() + " was called with what is no stream");
        refuse("invalid stream");
    }
    if (operation.stream->device != comm->device) broken_rule(use.by() + " was called with a stream of another device");
    check_buffers(use, operation);
}

bool at_once(const Use& use) {
    const auto& comm = *use.comm();
    return (comm.blocking || script().launches_at_once[rank_slot(comm.world_rank)]) && !Group::mine().open() &&
           use.action().what == Do::nothing;
}

ncclResult_t enqueue(const Use& use, Operation operation, cudaStream_t stream, ncclRedOp_t op = ncclSum) {
    auto& group = Group::mine();
    operation.action = use.action();
    if (use.action().what == Do::error) return scripted_error(use.action());
    if (!use.comm()) return group.failed(use.ready());
    const auto& comm = use.comm();
    if (comm->revoked) {
        set_last_error(std::string(name_of(operation.call)) + ": communicator was revoked");
        return group.failed(ncclInvalidUsage);
    }
    auto result = use.ready();
    if (result == ncclSuccess) {
        try {
            if (comm->finalize_called) broken_rule(use.by() + " was called after ncclCommFinalize");
            check(use, operation, op, stream);
        } catch (const Failure& failure) {
            result = kept(failure);
        }
    }
    const bool empty = operation.count == 0 && !operation.is_pair();
    if (result == ncclSuccess && !empty && at_once(use)) {
        std::vector<Operation> alone;
        alone.push_back(std::move(operation));
        launch(std::move(alone));
        return ncclSuccess;
    }
    group.start();
    if (result == ncclSuccess && !empty) group.add(std::move(operation));
    if (result != ncclSuccess && !comm->blocking) comm->async = result;
    group.failed(result);
    const auto ended = group.end();
    if (ended != ncclSuccess && ended != ncclInProgress) return ended;
    return comm->blocking ? result : group.open() ? state_of(*comm) : told(use.action(), state_of(*comm));
}

Operation asked(Call call, const void* send, void* recv, std::size_t count, ncclDataType_t type, int root = 0) {
    Operation operation;
    operation.call = call;
    operation.send = send;
    operation.recv = recv;
    operation.count = count;
    operation.type = type;
    operation.root = root;
    return operation;
}

} // namespace
} // namespace standin

using standin::Call;
using standin::Use;

ncclResult_t ncclAllReduce(const void* send, void* recv, std::size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
    const Use use(comm, STANDIN_FUNCTION("ncclAllReduce", 0));
    return standin::enqueue(use, standin::asked(Call::all_reduce, send, recv, count, type), stream, op);
}

ncclResult_t ncclReduce(const void* send, void* recv, std::size_t count, ncclDataType_t type, ncclRedOp_t op, int root,
                        ncclComm_t comm, cudaStream_t stream) {
    const Use use(comm, STANDIN_FUNCTION("ncclReduce", 0));
    return standin::enqueue(use, standin::asked(Call::reduce, send, recv, count, type, root), stream, op);
}

ncclResult_t ncclReduceScatter(const void* send, void* recv, std::size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t comm, cudaStream_t stream) {
    const Use use(comm, STANDIN_FUNCTION("ncclReduceScatter", 0));
    return standin::enqueue(use, standin::asked(Call::reduce_scatter, send, recv, count, type), stream, op);
}

ncclResult_t ncclBroadcast(const void* send, void* recv, std::size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
    const Use use(comm, STANDIN_FUNCTION("ncclBroadcast", 0));
    return standin::enqueue(use, standin::asked(Call::broadcast, send, recv, count, type, root), stream);
}

ncclResult_t ncclBcast(void* data, std::size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                       cudaStream_t stream) {
    const Use use(comm, STANDIN_FUNCTION("ncclBcast", 0));
    return standin::enqueue(use, standin::asked(Call::broadcast, data, data, count, type, root), stream);
}

ncclResult_t ncclAllGather(const void* send, void* recv, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
    const Use use(comm, STANDIN_FUNCTION("ncclAllGather", 0));
    return standin::enqueue(use, standin::asked(Call::all_gather, send, recv, count, type), stream);
}

ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
    const Use use(comm, STANDIN_FUNCTION("ncclSend", 20703));
    return standin::enqueue(use, standin::asked(Call::send, data, nullptr, count, type, peer), stream);
}

ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
    const Use use(comm, STANDIN_FUNCTION("ncclRecv", 20703));
    return standin::enqueue(use, standin::asked(Call::recv, nullptr, data, count, type, peer), stream);
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 3)
ncclResult_t ncclAlltoAll(const void* send, void* recv, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                          cudaStream_t stream) {
    const Use use(comm, STANDIN_FUNCTION("ncclAlltoAll", 22803));
    return standin::enqueue(use, standin::asked(Call::all_to_all, send, recv, count, type), stream);
}

ncclResult_t ncclGather(const void* send, void* recv, std::size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                        cudaStream_t stream) {
    const Use use(comm, STANDIN_FUNCTION("ncclGather", 22803));
    return standin::enqueue(use, standin::asked(Call::gather, send, recv, count, type, root), stream);
}

ncclResult_t ncclScatter(const void* send, void* recv, std::size_t count, ncclDataType_t type, int root,
                         ncclComm_t comm, cudaStream_t stream) {
    const Use use(comm, STANDIN_FUNCTION("ncclScatter", 22803));
    return standin::enqueue(use, standin::asked(Call::scatter, send, recv, count, type, root), stream);
}
#endif
