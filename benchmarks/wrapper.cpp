// SPDX-License-Identifier: Apache-2.0
// wrapper immediate|thread   calls every operation on muster's NCCL communicator and as the raw NCCL call, in turn, on
// one communicator of the stand-in, and prints a line "operation muster|raw looks allocations" for each call: how often
// it asked whether NCCL has launched it, and what it allocated. wrapper.py counts the instructions of those calls under
// callgrind.
#include <muster/comm/reduction.hpp>
#include <muster/nccl/communicator.hpp>
#include <muster/nccl/group.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../tests/support/nccl_ranks.hpp"

/// Allocations of the calling thread so far; null where nothing counts them.
[[gnu::weak]] std::uint64_t allocations_of_this_thread();

// The linker leads every call of ncclCommGetAsyncError here (--wrap): how long NCCL's thread takes is chance, so that
// wait is left out of the count. Whoever asks and hears that NCCL is still at it hears success the next time.
extern "C" ncclResult_t __real_ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state);
extern "C" ncclResult_t __wrap_ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state);

namespace {
thread_local constinit int looks = 0;
} // namespace

// callgrind stops counting in here.
extern "C" [[gnu::noinline]] void uncounted_wait(ncclComm_t comm);
void uncounted_wait(ncclComm_t comm) {
    ncclResult_t state = ncclInProgress;
    while (__real_ncclCommGetAsyncError(comm, &state) == ncclSuccess && state == ncclInProgress)
        std::this_thread::sleep_for(std::chrono::microseconds(100));
}

ncclResult_t __wrap_ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
    ++looks;
    const ncclResult_t result = __real_ncclCommGetAsyncError(comm, state);
    if (*state == ncclInProgress) uncounted_wait(comm);
    return result;
}

namespace {

constexpr int calls = 40; // of each contestant
constexpr int warm_ups = 4;
constexpr std::size_t elements = 1024;
constexpr int world = 2;

/// All that a call needs, in memory: no contestant gets constants.
struct Rank {
    muster::NcclCommunicator& comm;
    ncclComm_t handle;
    cudaStream_t stream;
    std::span<const float> in;   // `elements`
    std::span<float> out;        // `elements`
    std::span<const float> many; // `elements` for each rank
    std::span<float> results;    // `elements` for each rank
    int root;
    int peer;
    float factor;
};

// The raw contestant: what a careful program writes around a call on a non-blocking communicator.
[[gnu::noinline]] void settle(ncclComm_t comm, ncclResult_t result) {
    while (result == ncclInProgress) {
        if (const ncclResult_t asked = ncclCommGetAsyncError(comm, &result); asked != ncclSuccess) result = asked;
        if (result == ncclInProgress) std::this_thread::yield();
    }
    if (result != ncclSuccess) throw std::runtime_error(ncclGetErrorString(result));
}

void raw(ncclComm_t comm, ncclResult_t result) {
    if (result != ncclSuccess) [[unlikely]]
        settle(comm, result);
}

using Call = void (*)(Rank&);

struct Operation {
    const char* name;
    Call muster;
    Call raw;
    Call other; // what the other rank calls meanwhile
};

void all_reduce(Rank& r) { r.comm.all_reduce(r.in, r.out, muster::sum, r.stream); }
void raw_all_reduce(Rank& r) {
    raw(r.handle, ncclAllReduce(r.in.data(), r.out.data(), r.in.size(), ncclFloat, ncclSum, r.handle, r.stream));
}

void all_reduce_in_place(Rank& r) { r.comm.all_reduce(r.out, muster::sum, r.stream); }
void raw_all_reduce_in_place(Rank& r) {
    raw(r.handle, ncclAllReduce(r.out.data(), r.out.data(), r.out.size(), ncclFloat, ncclSum, r.handle, r.stream));
}

void all_reduce_premul(Rank& r) { r.comm.all_reduce(r.in, r.out, muster::premul_sum(r.factor), r.stream); }
void raw_all_reduce_premul(Rank& r) {
    ncclRedOp_t op = ncclSum;
    raw(r.handle, ncclRedOpCreatePreMulSum(&op, &r.factor, ncclFloat, ncclScalarHostImmediate, r.handle));
    raw(r.handle, ncclAllReduce(r.in.data(), r.out.data(), r.in.size(), ncclFloat, op, r.handle, r.stream));
    raw(r.handle, ncclRedOpDestroy(op, r.handle));
}

void reduce(Rank& r) { r.comm.reduce(r.in, r.out, muster::sum, r.root, r.stream); }
void raw_reduce(Rank& r) {
    raw(r.handle, ncclReduce(r.in.data(), r.out.data(), r.in.size(), ncclFloat, ncclSum, r.root, r.handle, r.stream));
}

void broadcast(Rank& r) { r.comm.broadcast(r.out, r.root, r.stream); }
void raw_broadcast(Rank& r) {
    raw(r.handle, ncclBroadcast(r.out.data(), r.out.data(), r.out.size(), ncclFloat, r.root, r.handle, r.stream));
}

void all_gather(Rank& r) { r.comm.all_gather(r.in, r.results, r.stream); }
void raw_all_gather(Rank& r) {
    raw(r.handle, ncclAllGather(r.in.data(), r.results.data(), r.in.size(), ncclFloat, r.handle, r.stream));
}

void reduce_scatter(Rank& r) { r.comm.reduce_scatter(r.many, r.out, muster::sum, r.stream); }
void raw_reduce_scatter(Rank& r) {
    raw(r.handle, ncclReduceScatter(r.many.data(), r.out.data(), r.out.size(), ncclFloat, ncclSum, r.handle, r.stream));
}

void all_to_all(Rank& r) { r.comm.all_to_all(r.many, r.results, r.stream); }
void gather(Rank& r) { r.comm.gather(r.in, r.results, r.root, r.stream); }
void scatter(Rank& r) { r.comm.scatter(r.many, r.out, r.root, r.stream); }
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 3)
void raw_all_to_all(Rank& r) {
    raw(r.handle, ncclAlltoAll(r.many.data(), r.results.data(), r.in.size(), ncclFloat, r.handle, r.stream));
}
void raw_gather(Rank& r) {
    raw(r.handle, ncclGather(r.in.data(), r.results.data(), r.in.size(), ncclFloat, r.root, r.handle, r.stream));
}
void raw_scatter(Rank& r) {
    raw(r.handle, ncclScatter(r.many.data(), r.out.data(), r.out.size(), ncclFloat, r.root, r.handle, r.stream));
}
#endif

void send(Rank& r) { r.comm.send(r.in, r.peer, r.stream); }
void raw_send(Rank& r) { raw(r.handle, ncclSend(r.in.data(), r.in.size(), ncclFloat, r.peer, r.handle, r.stream)); }

void recv(Rank& r) { r.comm.recv(r.out, r.peer, r.stream); }
void raw_recv(Rank& r) { raw(r.handle, ncclRecv(r.out.data(), r.out.size(), ncclFloat, r.peer, r.handle, r.stream)); }

void send_and_recv(Rank& r) {
    muster::Group group;
    r.comm.send(r.in, r.peer, r.stream);
    r.comm.recv(r.out, r.peer, r.stream);
    group.end();
}
void raw_send_and_recv(Rank& r) {
    raw(r.handle, ncclGroupStart());
    raw(r.handle, ncclSend(r.in.data(), r.in.size(), ncclFloat, r.peer, r.handle, r.stream));
    raw(r.handle, ncclRecv(r.out.data(), r.out.size(), ncclFloat, r.peer, r.handle, r.stream));
    raw(r.handle, ncclGroupEnd());
}

void nothing(Rank&) {}
void look(Rank& r) {
    ncclResult_t state = ncclSuccess;
    raw(r.handle, ncclCommGetAsyncError(r.handle, &state));
}

constexpr Operation operations[] = {
    {"nothing", nothing, nothing, nothing}, // what the counting itself costs
    {"look", look, look, nothing},
    {"all_reduce", all_reduce, raw_all_reduce, all_reduce},
    {"all_reduce in place", all_reduce_in_place, raw_all_reduce_in_place, all_reduce_in_place},
    {"all_reduce premul_sum", all_reduce_premul, raw_all_reduce_premul, all_reduce_premul},
    {"reduce", reduce, raw_reduce, reduce},
    {"broadcast", broadcast, raw_broadcast, broadcast},
    {"all_gather", all_gather, raw_all_gather, all_gather},
    {"reduce_scatter", reduce_scatter, raw_reduce_scatter, reduce_scatter},
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 3)
    {"all_to_all", all_to_all, raw_all_to_all, all_to_all},
    {"gather", gather, raw_gather, gather},
    {"scatter", scatter, raw_scatter, scatter},
#endif
    {"send", send, raw_send, recv},
    {"recv", recv, raw_recv, send},
    {"send + recv in a group", send_and_recv, raw_send_and_recv, send_and_recv},
};

/// callgrind counts in here, and writes one count for each call of it.
extern "C" [[gnu::noinline]] void measured(Call call, Rank& rank) {
    call(rank);
    asm volatile(""); // no tail call: this function ends after the call
}

std::uint64_t allocations() { return allocations_of_this_thread == nullptr ? 0 : allocations_of_this_thread(); }

/// The call of rank 0. All other threads rest, so that nobody holds a lock of the stand-in.
void call_and_print(const Operation& operation, bool is_muster, bool counts, Rank& rank) {
    const Call call = is_muster ? operation.muster : operation.raw;
    if (!counts) return call(rank);
    std::this_thread::sleep_for(std::chrono::milliseconds(2)); // threads that have done their work end
    const std::uint64_t before = allocations();
    looks = 0;
    measured(call, rank);
    const std::uint64_t allocated = allocations() - before;
    std::printf("%s\t%s\t%d\t%llu\n", operation.name, is_muster ? "muster" : "raw", looks,
                static_cast<unsigned long long>(allocated));
}

/// The other rank calls when the measured call has returned.
void run(Rank& rank, std::barrier<>& meeting) {
    const bool measures = rank.comm.rank() == 0;
    for (const Operation& operation : operations) {
        for (int i = -2 * warm_ups; i < 2 * calls; ++i) {
            // In turn, and each first as often as second: the stand-in's memory has rhythms of its own.
            const bool is_muster = i % 2 == (i / 2) % 2;
            if (measures) call_and_print(operation, is_muster, i >= 0, rank);
            meeting.arrive_and_wait();
            if (!measures) operation.other(rank);
            support::check(cudaStreamSynchronize(rank.stream));
            meeting.arrive_and_wait();
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    const std::string mode = argc == 2 ? argv[1] : "";
    if (mode != "immediate" && mode != "thread") {
        std::fputs("usage: wrapper immediate|thread\n", stderr);
        return 2;
    }
    const support::Script script(("launch=" + mode).c_str());
    std::barrier meeting(world);
    try {
        support::with_nccl(world, [&](muster::NcclCommunicator& comm) {
            const support::DeviceArray<float> in(elements);
            const support::DeviceArray<float> out(elements);
            const support::DeviceArray<float> many(elements * world);
            const support::DeviceArray<float> results(elements * world);
            cudaStream_t stream = nullptr;
            support::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
            Rank rank{
                comm, comm.native_handle(), stream, std::span(in), std::span(out), std::span(many), std::span(results),
                0,    1 - comm.rank(),      0.5F};
            run(rank, meeting);
            support::check(cudaStreamDestroy(stream));
        });
    } catch (const std::exception& error) {
        std::fprintf(stderr, "wrapper: %s\n", error.what());
        return 1;
    }
    return 0;
}
