// SPDX-License-Identifier: Apache-2.0
// What a process that ends normally must have given back.
#include <cstdlib>
#include <string>

#include "communicator.hpp"
#include "memory.hpp"
#include "rules.hpp"

namespace standin {
namespace {

void look_for_leaks() {
    const auto rank = std::to_string(caller_rank());
    if (const int n = living_communicators(); n > 0) {
        broken_rule("leaked " + std::to_string(n) + " communicators at the end of the process of rank " + rank);
    }
    if (const auto n = allocations(Memory::nccl); n > 0) {
        broken_rule("leaked " + std::to_string(n) +
                    " pieces of memory of ncclMemAlloc at the end of the process of rank " + rank);
    }
}

// Before main(), so that it runs after all that the program itself does at its end.
[[maybe_unused]] const int registered = std::atexit(look_for_leaks);

} // namespace
} // namespace standin
