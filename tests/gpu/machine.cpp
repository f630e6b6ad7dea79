// SPDX-License-Identifier: Apache-2.0
// What this machine has, for the figures. Exits with 77 when there is no GPU that works.
#include <muster/nccl/device.hpp>
#include <muster/nccl/version.hpp>

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>

#include <cstddef>

#include "support.hpp"

int main() {
    int count = 0;
    if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess || count == 0) {
        fmt::print("cudaGetDeviceCount: {}\n", error == cudaSuccess ? "0 devices" : cudaGetErrorString(error));
        return 77;
    }
    return gpu::run([&] {
        int runtime = 0;
        int driver = 0;
        std::size_t free = 0;
        std::size_t total = 0;
        gpu::check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
        gpu::check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
        gpu::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
        const auto cuda = [](int code) { return fmt::format("{}.{}", code / 1000, code % 1000 / 10); };
        gpu::Figures figures;
        figures.add("gpu", muster::detail::identify_device(0, 0).name);
        figures.add("gpus", count);
        figures.add("gpu_memory_bytes", total);
        figures.add("cuda_runtime", cuda(runtime));
        figures.add("cuda_of_driver", cuda(driver));
        figures.add("nccl_header", muster::detail::nccl_version_text(NCCL_VERSION_CODE));
        figures.add("nccl_library", muster::detail::nccl_version_text(muster::detail::nccl_library_version()));
        figures.add("nccl_path", muster::detail::nccl_library_path());
        figures.print();
    });
}
