// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace standin {

enum class Memory { device, host, nccl };

struct Allocation {
    const char* begin = nullptr;
    std::size_t size = 0;
    int device = 0;
    Memory kind = Memory::device;
};

/// Memory of the device, host memory in truth; null when there is none.
void* allocate(std::size_t size, int device, Memory kind);

/// False when no allocation of that kind starts there.
bool release(void* pointer, Memory kind);

/// The allocation that the address lies in.
std::optional<Allocation> allocation_of(const void* pointer);

/// What is wrong with the range as memory that a kernel of the device uses; empty when nothing is.
std::string fault_of_range(const void* pointer, std::size_t bytes, int device);

/// How many allocations of that kind live.
std::size_t allocations(Memory kind);

} // namespace standin
