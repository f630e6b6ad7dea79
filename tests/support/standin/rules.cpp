// SPDX-License-Identifier: Apache-2.0
#include "rules.hpp"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>

#include "script.hpp"
#include "standin.hpp"

namespace standin {
namespace {

struct Broken {
    std::mutex mutex;
    std::deque<std::string> lines;
    std::size_t forgotten = 0; // lines before the last reset, kept for who still has a pointer
};

// Never destroyed: threads of the stand-in outlive main().
Broken& broken() {
    static auto& state = *new Broken;
    return state;
}

} // namespace

void broken_rule(const std::string& what) {
    auto& state = broken();
    const std::lock_guard lock(state.mutex);
    if (!script().counts_rules) {
        std::fprintf(stderr, "standin: broken rule: %s\n", what.c_str());
        std::fflush(nullptr);
        std::_Exit(86);
    }
    state.lines.push_back(what);
}

void forget_broken_rules() {
    auto& state = broken();
    const std::lock_guard lock(state.mutex);
    state.forgotten = state.lines.size();
}

} // namespace standin

int standin_broken_rules() {
    auto& state = standin::broken();
    const std::lock_guard lock(state.mutex);
    return static_cast<int>(state.lines.size() - state.forgotten);
}

const char* standin_broken_rule(int i) {
    auto& state = standin::broken();
    const std::lock_guard lock(state.mutex);
    const auto at = state.forgotten + static_cast<std::size_t>(i);
    return i >= 0 && at < state.lines.size() ? state.lines[at].c_str() : "";
}
