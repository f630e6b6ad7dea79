// SPDX-License-Identifier: Apache-2.0
#include "memory.hpp"

#include <cstdlib>
#include <map>
#include <mutex>

namespace standin {
namespace {

struct Allocations {
    std::mutex mutex;
    std::map<const char*, Allocation> all;
};

Allocations& state() {
    static auto& allocations = *new Allocations;
    return allocations;
}

} // namespace

void* allocate(std::size_t size, int device, Memory kind) {
    constexpr std::size_t alignment = 4096;
    void* pointer = nullptr;
    if (::posix_memalign(&pointer, alignment, size) != 0) return nullptr;
    auto& allocations = state();
    const std::lock_guard lock(allocations.mutex);
    const auto* begin = static_cast<const char*>(pointer);
    allocations.all[begin] = {begin, size, device, kind};
    return pointer;
}

bool release(void* pointer, Memory kind) {
    auto& allocations = state();
    const std::lock_guard lock(allocations.mutex);
    const auto found = allocations.all.find(static_cast<const char*>(pointer));
    if (found == allocations.all.end() || found->second.kind != kind) return false;
    allocations.all.erase(found);
    std::free(pointer);
    return true;
}

std::optional<Allocation> allocation_of(const void* pointer) {
    const auto* at = static_cast<const char*>(pointer);
    auto& allocations = state();
    const std::lock_guard lock(allocations.mutex);
    auto next = allocations.all.upper_bound(at);
    if (next == allocations.all.begin()) return std::nullopt;
    const auto& found = (--next)->second;
    if (at >= found.begin + found.size) return std::nullopt;
    return found;
}

std::string fault_of_range(const void* pointer, std::size_t bytes, int device) {
    if (bytes == 0) return {};
    const auto found = allocation_of(pointer);
    if (!found) return "is not memory of a device";
    const auto left = static_cast<std::size_t>(found->begin + found->size - static_cast<const char*>(pointer));
    if (bytes > left)
        return "has " + std::to_string(left) + " bytes left of the " + std::to_string(bytes) + " it needs";
    if (found->kind != Memory::host && found->device != device) {
        return "is memory of device " + std::to_string(found->device) + ", not " + std::to_string(device);
    }
    return {};
}

std::size_t allocations(Memory kind) {
    auto& allocations = state();
    const std::lock_guard lock(allocations.mutex);
    std::size_t n = 0;
    for (const auto& [begin, allocation] : allocations.all) n += allocation.kind == kind ? 1u : 0u;
    return n;
}

} // namespace standin
