// SPDX-License-Identifier: Apache-2.0
// Loops over the memory that the backend moves: kernels where a CUDA compiler builds this, else plain loops.
#pragma once

#include <cstddef>

#include "../backend.hpp"

#ifdef __CUDACC__
/// Stands before the body of a loop, and before what it calls.
#define EXAMPLE_DEVICE __host__ __device__
#else
#define EXAMPLE_DEVICE
#endif

#if !defined(__CUDACC__) && !defined(EXAMPLE_GLOO) && !defined(EXAMPLE_CPU_REACHES_GPU_MEMORY)
#error "compile this with nvcc: the loops run where the memory is, on the GPU"
#endif

namespace train_3d {

using Values = example::Array<float>;

#ifdef __CUDACC__

template <class Body>
__global__ void run(std::size_t count, Body body) {
    const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
    for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) body(i);
}

/// body(0) ... body(count - 1), in any order, on the default stream as the collectives are.
template <class Body>
void for_each_index(std::size_t count, Body body) {
    if (count == 0) return;
    constexpr std::size_t threads = 128, most_blocks = 4096;
    const std::size_t blocks = (count + threads - 1) / threads;
    run<<<static_cast<unsigned>(blocks < most_blocks ? blocks : most_blocks), static_cast<unsigned>(threads)>>>(count,
                                                                                                                body);
    example::check(cudaGetLastError());
}

#else

/// body(0) ... body(count - 1).
template <class Body>
void for_each_index(std::size_t count, Body body) {
#ifndef EXAMPLE_GLOO
    example::check(cudaDeviceSynchronize());
#endif
    for (std::size_t i = 0; i < count; ++i) body(i);
}

#endif

} // namespace train_3d
