// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include <cstring>
#include <memory>
#include <vector>

#include "cuda_call.hpp"
#include "memory.hpp"
#include "stream.hpp"

using standin::keep;
using standin::Memory;

namespace {

cudaError_t get(void** pointer, std::size_t size, Memory kind) {
    int device = 0;
    if (pointer == nullptr) return keep(cudaErrorInvalidValue);
    if (const auto error = standin::get_device(device); error != cudaSuccess) return keep(error);
    *pointer = size == 0 ? nullptr : standin::allocate(size, device, kind);
    return *pointer != nullptr || size == 0 ? cudaSuccess : keep(cudaErrorMemoryAllocation);
}

/// Freeing waits for the device, as the runtime does.
cudaError_t give_back(void* pointer, Memory kind) {
    if (pointer == nullptr) {
        int device = 0;
        return keep(standin::get_device(device));
    }
    const auto found = standin::allocation_of(pointer);
    if (!found || found->kind != kind) return keep(cudaErrorInvalidValue);
    standin::synchronize(found->device);
    return standin::release(pointer, kind) ? cudaSuccess : keep(cudaErrorInvalidValue);
}

struct Side {
    bool device = false; // memory of a device
    bool pageable = true;
};

/// False when a range that starts in an allocation does not end in it.
bool look(const void* pointer, std::size_t size, Side& side) {
    const auto found = standin::allocation_of(pointer);
    if (!found) return true;
    side.device = found->kind != Memory::host;
    side.pageable = false;
    return static_cast<const char*>(pointer) + size <= found->begin + found->size;
}

bool suits(cudaMemcpyKind kind, const Side& to, const Side& from) {
    switch (kind) {
        case cudaMemcpyHostToHost: return !to.device && !from.device;
        case cudaMemcpyHostToDevice: return to.device && !from.device;
        case cudaMemcpyDeviceToHost: return !to.device && from.device;
        case cudaMemcpyDeviceToDevice: return to.device && from.device;
        case cudaMemcpyDefault: return true;
        default: return false;
    }
}

cudaError_t copy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind, cudaStream_t handle, bool wait) {
    Side target;
    Side source;
    const auto stream = standin::find_stream(handle);
    if (!stream) return keep(cudaErrorInvalidResourceHandle);
    if (size == 0) return cudaSuccess;
    if (!look(to, size, target) || !look(from, size, source) || !suits(kind, target, source))
        return keep(cudaErrorInvalidValue);
    std::uint64_t ticket = 0;
    if (source.pageable && !wait) { // may be reused once the call returns
        auto staged = std::make_shared<std::vector<char>>(size);
        std::memcpy(staged->data(), from, size);
        ticket = standin::submit(*stream, [to, staged] { std::memcpy(to, staged->data(), staged->size()); });
    } else {
        ticket = standin::submit(*stream, [to, from, size] { std::memmove(to, from, size); });
    }
    if (wait || target.pageable) stream->wait(ticket);
    return cudaSuccess;
}

cudaError_t fill(void* to, int value, std::size_t size, cudaStream_t handle, bool wait) {
    Side target;
    const auto stream = standin::find_stream(handle);
    if (!stream) return keep(cudaErrorInvalidResourceHandle);
    if (size == 0) return cudaSuccess;
    if (!look(to, size, target) || target.pageable) return keep(cudaErrorInvalidValue);
    const auto ticket = standin::submit(*stream, [to, value, size] { std::memset(to, value, size); });
    if (wait) stream->wait(ticket);
    return cudaSuccess;
}

} // namespace

cudaError_t cudaMalloc(void** pointer, std::size_t size) {
    STANDIN_CUDA("cudaMalloc");
    return get(pointer, size, Memory::device);
}

cudaError_t cudaFree(void* pointer) {
    STANDIN_CUDA("cudaFree");
    return give_back(pointer, Memory::device);
}

cudaError_t cudaMallocHost(void** pointer, std::size_t size) {
    STANDIN_CUDA("cudaMallocHost");
    return get(pointer, size, Memory::host);
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t size, unsigned) {
    STANDIN_CUDA("cudaHostAlloc");
    return get(pointer, size, Memory::host);
}

cudaError_t cudaFreeHost(void* pointer) {
    STANDIN_CUDA("cudaFreeHost");
    return give_back(pointer, Memory::host);
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
    STANDIN_CUDA("cudaMemcpy");
    return copy(to, from, size, kind, nullptr, true);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size, cudaMemcpyKind kind, cudaStream_t stream) {
    STANDIN_CUDA("cudaMemcpyAsync");
    return copy(to, from, size, kind, stream, false);
}

cudaError_t cudaMemset(void* to, int value, std::size_t size) {
    STANDIN_CUDA("cudaMemset");
    return fill(to, value, size, nullptr, true);
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t size, cudaStream_t stream) {
    STANDIN_CUDA("cudaMemsetAsync");
    return fill(to, value, size, stream, false);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
    STANDIN_CUDA("cudaPointerGetAttributes");
    if (attributes == nullptr) return keep(cudaErrorInvalidValue);
    const auto found = standin::allocation_of(pointer);
    *attributes = {};
    if (!found) {
        attributes->type = cudaMemoryTypeUnregistered;
        attributes->device = cudaInvalidDeviceId;
        attributes->hostPointer = const_cast<void*>(pointer);
        return cudaSuccess;
    }
    const bool host = found->kind == Memory::host;
    attributes->type = host ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
    attributes->device = found->device;
    attributes->devicePointer = const_cast<void*>(pointer);
    attributes->hostPointer = host ? const_cast<void*>(pointer) : nullptr;
    return cudaSuccess;
}
