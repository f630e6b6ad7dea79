// SPDX-License-Identifier: Apache-2.0
#include "device.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "cuda_call.hpp"
#include "script.hpp"

namespace standin {
namespace {

thread_local int thread_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

constexpr std::size_t memory_of_device = std::size_t{80} << 30u;

std::uint64_t hash(std::string_view text) {
    std::uint64_t value = 0xcbf29ce484222325u;
    for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return value;
}

std::string host_name() {
    char name[256] = {};
    (void)::gethostname(name, sizeof(name) - 1);
    return name;
}

/// The same on each call on this host, and another for each device unless the script wants them alike.
void fill_uuid(cudaUUID_t& uuid, int device) {
    const bool same = script().find("same-uuid", caller_rank()) != nullptr;
    const auto text = host_name() + "/" + std::to_string(same ? 0 : device);
    const std::uint64_t halves[2] = {hash(text), hash(text + "/2")};
    std::memcpy(uuid.bytes, halves, sizeof(uuid.bytes));
}

bool is_mig() { return script().find("mig", caller_rank()) != nullptr; }

cudaError_t check(int device) {
    int count = 0;
    if (const auto error = device_count(count); error != cudaSuccess) return error;
    return device >= 0 && device < count ? cudaSuccess : cudaErrorInvalidDevice;
}

} // namespace

int current_device() { return thread_device; }

cudaError_t device_count(int& count) {
    count = 0;
    if (script().find("no-driver", caller_rank()) != nullptr) return cudaErrorInsufficientDriver;
    count = script().number("devices", caller_rank(), 8);
    return count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t get_device(int& device) {
    int count = 0;
    if (const auto error = device_count(count); error != cudaSuccess) return error;
    device = thread_device;
    return cudaSuccess;
}

int bus_of(int device) { return is_mig() ? 1 : device + 1; }

cudaError_t keep(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

} // namespace standin

using standin::keep;

cudaError_t cudaGetDeviceCount(int* count) {
    STANDIN_CUDA("cudaGetDeviceCount");
    if (count == nullptr) return keep(cudaErrorInvalidValue);
    return keep(standin::device_count(*count));
}

cudaError_t cudaSetDevice(int device) {
    STANDIN_CUDA("cudaSetDevice");
    const auto error = standin::check(device);
    if (error == cudaSuccess) standin::thread_device = device;
    return keep(error);
}

cudaError_t cudaGetDevice(int* device) {
    STANDIN_CUDA("cudaGetDevice");
    if (device == nullptr) return keep(cudaErrorInvalidValue);
    return keep(standin::get_device(*device));
}

// The headers of CUDA 12 call it cudaGetDeviceProperties_v2 by a macro.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* prop, int device) {
    STANDIN_CUDA("cudaGetDeviceProperties");
    if (prop == nullptr) return keep(cudaErrorInvalidValue);
    if (const auto error = standin::check(device); error != cudaSuccess) return keep(error);
    std::memset(static_cast<void*>(prop), 0, sizeof(*prop));
    std::snprintf(prop->name, sizeof(prop->name), "%s",
                  standin::is_mig() ? "Stand-in GPU MIG 1g.10gb" : "Stand-in GPU");
    standin::fill_uuid(prop->uuid, device);
    prop->totalGlobalMem = standin::memory_of_device;
    prop->major = 9;
    prop->multiProcessorCount = 132;
    prop->warpSize = 32;
    prop->maxThreadsPerBlock = 1024;
    prop->unifiedAddressing = 1;
    prop->pciBusID = standin::bus_of(device);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int size, int device) {
    STANDIN_CUDA("cudaDeviceGetPCIBusId");
    constexpr int wanted = 13;
    if (text == nullptr || size < wanted) return keep(cudaErrorInvalidValue);
    if (const auto error = standin::check(device); error != cudaSuccess) return keep(error);
    std::snprintf(text, static_cast<std::size_t>(size), "0000:%02X:00.0",
                  static_cast<unsigned>(standin::bus_of(device)) & 0xffu);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* text) {
    STANDIN_CUDA("cudaDeviceGetByPCIBusId");
    unsigned bus = 0;
    if (device == nullptr || text == nullptr || std::sscanf(text, "%*x:%x", &bus) != 1)
        return keep(cudaErrorInvalidValue);
    *device = static_cast<int>(bus) - 1;
    return keep(standin::check(*device));
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    STANDIN_CUDA("cudaDeviceGetAttribute");
    if (value == nullptr) return keep(cudaErrorInvalidValue);
    if (const auto error = standin::check(device); error != cudaSuccess) return keep(error);
    switch (attribute) {
        case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
        case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
        case cudaDevAttrMultiProcessorCount: *value = 132; break;
        case cudaDevAttrWarpSize: *value = 32; break;
        case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
        case cudaDevAttrUnifiedAddressing: *value = 1; break;
        case cudaDevAttrPciBusId: *value = standin::bus_of(device); break;
        default: *value = 0; break;
    }
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
    STANDIN_CUDA("cudaDriverGetVersion");
    if (version == nullptr) return keep(cudaErrorInvalidValue);
    const bool there = standin::script().find("no-driver", standin::caller_rank()) == nullptr;
    *version = there ? CUDART_VERSION : 0;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    STANDIN_CUDA("cudaRuntimeGetVersion");
    if (version == nullptr) return keep(cudaErrorInvalidValue);
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    STANDIN_CUDA("cudaMemGetInfo");
    int device = 0;
    if (free == nullptr || total == nullptr) return keep(cudaErrorInvalidValue);
    if (const auto error = standin::get_device(device); error != cudaSuccess) return keep(error);
    *total = standin::memory_of_device;
    *free = standin::memory_of_device / 2;
    return cudaSuccess;
}

cudaError_t cudaGetLastError() { return std::exchange(standin::last_error, cudaSuccess); }

cudaError_t cudaPeekAtLastError() { return standin::last_error; }

namespace {

struct ErrorText {
    cudaError_t error;
    const char* name;
    const char* text;
};

const ErrorText& text_of(cudaError_t error) {
    static constexpr ErrorText texts[] = {
        {cudaSuccess, "cudaSuccess", "no error"},
        {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
        {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
        {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
         "CUDA driver version is insufficient for CUDA runtime version"},
        {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
        {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
        {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
        {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
        {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
        {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
        {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
    };
    static constexpr ErrorText other = {cudaErrorUnknown, "unrecognized error code", "unrecognized error code"};
    for (const auto& known : texts) {
        if (known.error == error) return known;
    }
    return other;
}

} // namespace

const char* cudaGetErrorString(cudaError_t error) { return text_of(error).text; }

const char* cudaGetErrorName(cudaError_t error) { return text_of(error).name; }
