// SPDX-License-Identifier: Apache-2.0
// NCCL with muster on four GPUs: settings for each axis, streams, one launch of several operations, NCCL called
// directly, and going on without a rank that hangs.
#include <muster/muster.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <thread>

#include "gpu.hpp"

namespace {

using namespace example; // Values, Stream, filled, expect
using namespace std::chrono_literals;
using Mesh = muster::DeviceMesh<2, 2, 1>;

muster::Options settings() {
    muster::Options options;
    options.timeout = 60s;
    options.nccl.tp.max_ctas = 16; // leaves multiprocessors to the matrix products that run beside it
    options.nccl.dp.min_ctas = 4;
    options.nccl.dp.max_ctas = 32;
    options.nccl.axes["tp+cp"].max_ctas = 8; // of mesh.flatten<Tp, Cp>()
    options.nccl.may_differ = {"NCCL_ALGO"};
    return options;
}

void reduce_on_a_stream(Mesh& mesh) {
    const Stream stream;
    Values gradients = filled(1024, static_cast<float>(mesh.coordinate<muster::Dp>()));

    mesh.dp().all_reduce(gradients, muster::avg, stream); // returns when NCCL has launched it
    mesh.dp().check();                                    // throws what NCCL found meanwhile; does not wait
    mesh.dp().wait(stream, muster::Deadline::after(30s)); // until the stream is done, or says what is not

    expect(all_are(gradients, 0.5F), "the average");
}

void reduce_with_weights(Mesh& mesh) {
    const float weight = mesh.coordinate<muster::Dp>() == 0 ? 0.75F : 0.25F;
    Values losses = filled(16, 4.0F);

    mesh.dp().all_reduce(losses, muster::premul_sum(weight)); // each rank's own weight, of the elements' type
    mesh.dp().wait();

    expect(all_are(losses, 4.0F), "the weighted sum");
}

void launch_as_one(Mesh& mesh) {
    const Stream stream;
    const auto rank = static_cast<float>(mesh.rank());
    const Values mine = filled(64, rank);
    Values theirs = filled(64, 0.0F), gradients = filled(64, rank);
    const int next = mesh.next<muster::Tp>(), previous = mesh.previous<muster::Tp>();

    muster::Group group;
    mesh.tp().send(mine, next, stream); // alone, each would wait for the other rank's receive
    mesh.tp().recv(theirs, previous, stream);
    mesh.dp().all_reduce(gradients, muster::sum, stream); // of another communicator, in the same launch
    group.end();
    mesh.dp().wait(stream);

    expect(all_are(theirs, static_cast<float>(mesh.tp().ranks()[static_cast<std::size_t>(previous)])), "the ring");
    expect(all_are(gradients, static_cast<float>(mesh.dp().ranks()[0] + mesh.dp().ranks()[1])), "the sum");
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
void register_memory(Mesh& mesh) {
    muster::NcclMemory<float> weights(4096); // of the kind that NCCL can register; not initialised
    check(cudaMemset(weights.data(), 0, weights.size() * sizeof(float)));

    const auto registration = muster::register_buffer(mesh.tp(), weights); // ends before the memory does
    mesh.tp().all_reduce(weights, muster::sum);
    mesh.tp().wait();
}
#endif

/// What the program's own calls on a communicator of muster need: they may return before NCCL has launched them.
void settle(ncclComm_t communicator, ncclResult_t result, muster::Deadline deadline) {
    while (result == ncclInProgress && !deadline.expired()) {
        std::this_thread::yield();
        if (const ncclResult_t asked = ncclCommGetAsyncError(communicator, &result); asked != ncclSuccess)
            result = asked;
    }
    if (result != ncclSuccess) throw std::runtime_error(ncclGetErrorString(result));
}

void call_nccl(Mesh& mesh) {
    Values values = filled(64, 1.0F);
    const ncclComm_t native = mesh.tp().native_handle(); // stays the mesh's to end; null in a group of one

    const ncclResult_t result = ncclAllReduce(values.begin(), values.begin(), 64, ncclFloat, ncclSum, native, nullptr);
    settle(native, result, muster::Deadline::after(10s));
    mesh.tp().wait(); // knows nothing of the call, and waits for the stream all the same

    expect(all_are(values, 2.0F), "NCCL's own call");
}

void hand_over(Mesh& mesh) {
    muster::NcclCommunicator pair = mesh.world().split(mesh.rank() / 2, mesh.rank());
    const ncclComm_t native = pair.release(); // the program's to end from here on

    auto view = muster::NcclCommunicator::from_native_handle(native); // works on it, and never ends it
    Values values = filled(64, 1.0F);
    view.all_reduce(values, muster::sum);
    view.wait();
    expect(all_are(values, 2.0F), "the view");

    settle(native, ncclCommFinalize(native), muster::Deadline::after(10s));
    expect(ncclCommDestroy(native) == ncclSuccess, "ncclCommDestroy");
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
void go_on_without_a_rank() {
    constexpr int lost = 3;
    // They outlive the communicators: cudaFree would wait for what hangs on the GPU.
    Values values = filled(64, 1.0F), again = filled(64, 1.0F);
    muster::Options options;
    options.nccl.abort_on_error = false; // only a communicator that was not aborted can be shrunk
    muster::ProcessGroup<> group(muster::EnvRendezvous{}, options);
    muster::NcclCommunicator all = group.world().split(0, group.rank());
    all.barrier();
    if (group.rank() == lost) { // stands for a rank that hangs: it does not come before the others have gone on
        group.world().barrier();
        return all.abort();
    }

    try {
        all.all_reduce(values, muster::sum);
        all.wait(nullptr, muster::Deadline::after(1s));
        throw std::runtime_error("nobody noticed that a rank is lost");
    } catch (const muster::Error& error) {
        if (group.rank() == 0) std::printf("%s\n", error.what());
    }
    muster::NcclCommunicator rest = all.shrink({lost}, true); // ends what hangs on the GPU first
    rest.barrier();                                           // all have it: the old one can go
    all.abort();

    rest.all_reduce(again, muster::sum);
    rest.wait();
    expect(all_are(again, 3.0F), "the sum of those that are left");
    group.world().barrier();
}
#endif

void run() {
    Mesh mesh(muster::EnvRendezvous{}, settings());
    reduce_on_a_stream(mesh);
    reduce_with_weights(mesh);
    launch_as_one(mesh);
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
    register_memory(mesh);
#endif
    call_nccl(mesh);
    hand_over(mesh);
    if (mesh.rank() == 0) std::puts(muster::describe(mesh).c_str());
    mesh.close(muster::Deadline::after(30s));
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
    go_on_without_a_rank();
#endif
}

} // namespace

int main() {
    try {
        run();
        return 0;
    } catch (const muster::Error& error) {
        if (!error.shared()) std::fprintf(stderr, "%s\n", error.what()); // a shared text has been logged once already
    } catch (const std::exception& error) {
        std::fprintf(stderr, "nccl: %s\n", error.what());
    }
    return 1;
}
