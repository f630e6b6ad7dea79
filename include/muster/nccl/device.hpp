// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/pin.hpp>
#include <muster/nccl/device_guard.hpp>
#include <muster/nccl/error.hpp>

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string>

namespace muster::inline v0_1 {

/// A GPU as the driver names it.
struct NcclDevice {
    int ordinal = 0;         ///< among the visible ones: the number that cudaSetDevice takes
    std::string uuid;        ///< "GPU-8f3c...", "MIG-8f3c..." of a slice: the same in every process and container
    std::string pci_bus_id;  ///< "0000:41:00.0"; slices of one GPU share it
    std::string name;        ///< "NVIDIA H200"
    std::string chosen_from; ///< what decided that it is this one: "LOCAL_RANK=2"
};

namespace detail {

/// How many GPUs this process sees, at least one.
/// Throws: Error(errc::device) with what the driver said and what to do.
[[nodiscard]] inline int visible_devices(const Launch& launch) {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0) return count;
    (void)cudaGetLastError();
    const std::string mask = launch.environment.get("CUDA_VISIBLE_DEVICES").value_or("not set");
    throw Error(
        errc::device, Stage::device,
        format("this process sees no GPU\n  seen: cudaGetDeviceCount: {}; CUDA_VISIBLE_DEVICES {}\n  do: see "
               "whether nvidia-smi lists a GPU here and its driver is new enough for this CUDA runtime; start a "
               "container with its GPUs (--gpus all); without a GPU use the Gloo backend (muster/gloo.hpp)",
               {error == cudaSuccess ? std::string("0 devices") : cuda_error_text(error), mask}),
        {launch.rank, {launch.rank}, false});
}

/// "GPU-8f3c1a22-...": the form of nvidia-smi -L and CUDA_VISIBLE_DEVICES.
[[nodiscard]] inline std::string uuid_text(const cudaUUID_t& uuid, bool slice) {
    std::string text = slice ? "MIG-" : "GPU-";
    for (std::size_t i = 0; i < sizeof uuid.bytes; ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
        text += hex(static_cast<unsigned char>(uuid.bytes[i]), 2);
    }
    return text;
}

[[nodiscard]] inline NcclDevice identify_device(int ordinal, int rank) {
    NcclDevice device;
    device.ordinal = ordinal;
    cudaDeviceProp properties{};
    check_cuda("cudaGetDeviceProperties", cudaGetDeviceProperties(&properties, ordinal), Stage::device, rank);
    device.name = properties.name;
    // The runtime has no other word for a slice; its UUID is the slice's own.
    const bool slice = device.name.find("MIG") != std::string::npos;
    device.uuid = uuid_text(properties.uuid, slice);
    std::array<char, 32> bus{};
    check_cuda("cudaDeviceGetPCIBusId", cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), ordinal),
               Stage::device, rank);
    device.pci_bus_id = bus.data();
    return device;
}

/// Makes this rank's GPU current on this thread, before anything talks to NCCL, and sees that it is.
/// Throws: Error(errc::device).
[[nodiscard]] inline NcclDevice pin_device(const Launch& launch, std::optional<int> wanted) {
    const DeviceChoice choice = choose_device(launch, wanted, visible_devices(launch));
    check_cuda(format("cudaSetDevice({}), from {},", {choice.ordinal, choice.from}), cudaSetDevice(choice.ordinal),
               Stage::device, launch.rank);
    int current = -1;
    check_cuda("cudaGetDevice", cudaGetDevice(&current), Stage::device, launch.rank);
    if (current != choice.ordinal)
        throw Error(errc::device, Stage::device,
                    format("GPU {} was made current, but CUDA says {}\n  do: look for another library that calls "
                           "cudaSetDevice in this process",
                           {choice.ordinal, current}),
                    {launch.rank, {launch.rank}, false});
    NcclDevice device = identify_device(choice.ordinal, launch.rank);
    device.chosen_from = choice.from;
    return device;
}

} // namespace detail
} // namespace muster::inline v0_1
