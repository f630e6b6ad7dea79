// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>

#include "script.hpp"

namespace standin {

/// Counts the calls of one function and finds what the script says about each.
class Function {
public:
    /// `since` is the code of the first NCCL that has it.
    explicit Function(const char* name, int since = 0);

    /// One call by the rank. Hanging and dying happen here; the caller does the rest.
    Action called(int rank);

    void forget();

    const char* name;
    const int since;
    std::atomic<int> calls = 0;
    Function* next = nullptr;

private:
    std::array<std::atomic<int>, max_rank + 2> by_rank_{};
};

void forget_calls();

} // namespace standin

/// What the script says about this call of `name` by `rank`. Each use is one function.
#define STANDIN_CALLED_SINCE(name, since, rank)           \
    ([](int caller) {                                     \
        static ::standin::Function function(name, since); \
        return function.called(caller);                   \
    }(rank))
#define STANDIN_CALLED(name, rank) STANDIN_CALLED_SINCE(name, 0, rank)
