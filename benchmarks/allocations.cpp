// SPDX-License-Identifier: Apache-2.0
// Counts the allocations of each thread, and their bytes: operator new goes through malloc.
#include <cstddef>
#include <cstdint>

namespace {

thread_local constinit std::uint64_t count = 0;
thread_local constinit std::uint64_t bytes = 0;

void note(std::size_t size) {
    ++count;
    bytes += size;
}

} // namespace

std::uint64_t allocations_of_this_thread();
std::uint64_t allocations_of_this_thread() { return count; }
std::uint64_t bytes_allocated_by_this_thread();
std::uint64_t bytes_allocated_by_this_thread() { return bytes; }

// glibc's own names of what stands in front of it here.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t n, std::size_t size);
void* __libc_realloc(void* pointer, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) {
    note(size);
    return __libc_malloc(size);
}

void* calloc(std::size_t n, std::size_t size) {
    note(n * size);
    return __libc_calloc(n, size);
}

void* realloc(void* pointer, std::size_t size) {
    note(size);
    return __libc_realloc(pointer, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
    note(size);
    return __libc_memalign(alignment, size);
}
}
