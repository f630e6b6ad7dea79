// SPDX-License-Identifier: Apache-2.0
#include <muster/muster.hpp>

#include <cuda_runtime_api.h>

#include <cstdio>
#include <span>

int main() try {
    muster::DeviceMesh<2, 2, 2> mesh; // TP=2, DP=2, CP=2; rank = (dp * TP + tp) * CP + cp; its GPU is current now

    float* memory = nullptr;
    if (cudaMalloc(reinterpret_cast<void**>(&memory), 1024 * sizeof(float)) != cudaSuccess) return 1;
    const std::span<float> gradients(memory, 1024);
    mesh.dp().all_reduce(gradients, muster::avg); // the ranks that hold the same shard; a stream may follow
    mesh.dp().wait();                             // never for ever: names the operation and what NCCL said
    if (mesh.rank() == 0) std::puts(muster::describe(mesh).c_str());
    return cudaFree(memory) == cudaSuccess ? 0 : 1;
} catch (const muster::Error& error) {
    if (!error.shared()) std::fprintf(stderr, "%s\n", error.what()); // a shared text has been logged once already
    return 1;
}
