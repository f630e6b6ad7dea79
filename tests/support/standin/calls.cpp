// SPDX-License-Identifier: Apache-2.0
#include "calls.hpp"

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>

#include "rules.hpp"
#include "standin.hpp"

namespace standin {
namespace {

constexpr int death = 13;

struct Functions {
    std::mutex mutex;
    Function* first = nullptr;
};

Functions& functions() {
    static auto& state = *new Functions;
    return state;
}

template <class Fn>
void for_each_function(Fn fn) {
    auto& state = functions();
    const std::lock_guard lock(state.mutex);
    for (auto* function = state.first; function != nullptr; function = function->next) fn(*function);
}

} // namespace

Function::Function(const char* text, int from) : name(text), since(from) {
    auto& state = functions();
    const std::lock_guard lock(state.mutex);
    next = state.first;
    state.first = this;
}

Action Function::called(int rank) {
    calls.fetch_add(1, std::memory_order_relaxed);
    const int nth = by_rank_[rank_slot(rank)].fetch_add(1, std::memory_order_relaxed) + 1;
    const auto& now = script();
    if (since != 0) {
        const int version = now.number("version", rank, since);
        if (version < since) {
            broken_rule(std::string(name) + " was called, which NCCL " + std::to_string(version) +
                        " does not have, by rank " + std::to_string(rank));
        }
    }
    for (const auto& fault : now.faults) {
        if (fault.function != name || (fault.rank != -1 && fault.rank != rank) ||
            (fault.nth != 0 && fault.nth != nth)) {
            continue;
        }
        switch (fault.action.what) {
            case Do::hang:
                for (;;) ::pause();
            case Do::die: ::_exit(death);
            case Do::dies:
                std::thread([ms = fault.action.value] {
                    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
                    ::_exit(death);
                }).detach();
                continue; // another item may say what the call does until then
            default: return fault.action;
        }
    }
    return {};
}

void Function::forget() {
    calls = 0;
    for (auto& count : by_rank_) count = 0;
}

void forget_calls() {
    for_each_function([](Function& function) { function.forget(); });
}

} // namespace standin

void standin_reset() {
    standin::forget_calls();
    standin::forget_broken_rules();
}

int standin_calls(const char* name) {
    int calls = 0;
    standin::for_each_function([&](const standin::Function& function) {
        if (std::strcmp(function.name, name) == 0) calls += function.calls;
    });
    return calls;
}
