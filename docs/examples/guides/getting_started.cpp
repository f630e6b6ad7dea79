// SPDX-License-Identifier: Apache-2.0
// Forms a TP=2 mesh of an even number of GPUs, averages along dp, passes values around tp, and ends in order.
#include <muster/muster.hpp>

#include <cuda_runtime_api.h>

#include <chrono>
#include <cstdio>
#include <exception>

#include "gpu.hpp"

namespace {

using namespace example;                                              // Values, Stream, filled, expect
using Mesh = muster::DeviceMesh<muster::dynamic, muster::dynamic, 1>; // TP and DP at run time, CP=1

constexpr auto limit = std::chrono::seconds(30);

void average(Mesh& mesh, Values& gradients, cudaStream_t stream) {
    mesh.dp().all_reduce(gradients, muster::avg, stream); // launched: the host goes on, kernels on the stream follow it
    mesh.dp().wait(stream, muster::Deadline::after(limit));
}

void pass_on(Mesh& mesh, const Values& mine, Values& theirs, cudaStream_t stream) {
    muster::Group both; // alone, the send would wait for the next rank's receive, and that for its own send
    mesh.tp().send(mine, mesh.next<muster::Tp>(), stream);
    mesh.tp().recv(theirs, mesh.previous<muster::Tp>(), stream);
    both.end();
    mesh.tp().wait(stream, muster::Deadline::after(limit));
}

void run() {
    muster::Options options;
    options.timeout = std::chrono::minutes(2); // of forming the mesh, and of each wait that is given no other
    Mesh mesh(muster::Extents{.tp = 2}, muster::EnvRendezvous{}, options); // DP is what is left of the world
    if (mesh.rank() == 0) std::fputs(muster::describe(mesh).c_str(), stdout);

    const Stream stream;
    Values gradients = filled(1024, static_cast<float>(mesh.coordinate<muster::Dp>()));
    average(mesh, gradients, stream);
    expect(all_are(gradients, static_cast<float>(mesh.dp().size() - 1) / 2), "the average");

    const Values mine = filled(16, static_cast<float>(mesh.rank()));
    Values theirs = filled(16, -1.0F);
    pass_on(mesh, mine, theirs, stream);
    expect(all_are(theirs, static_cast<float>(mesh.topology().previous<muster::Tp>(mesh.rank()))), "the ring");

    mesh.close(muster::Deadline::after(limit)); // the destructor does it too, but tells nobody what went wrong
}

} // namespace

int main() {
    try {
        run();
        return 0;
    } catch (const muster::Error& error) {
        if (!error.shared()) std::fprintf(stderr, "%s\n", error.what()); // a shared text has been logged once already
        muster::write_error_file(error);                                 // for torchrun's summary
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
    }
    return 1;
}
