// SPDX-License-Identifier: Apache-2.0
#include "script.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <mutex>

#include "rules.hpp"
#include "standin.hpp"

namespace standin {
namespace {

[[noreturn]] void unreadable(std::string_view item) {
    throw std::invalid_argument("unreadable script item '" + std::string(item) + "'");
}

int to_int(std::string_view text, std::string_view item) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 0) unreadable(item);
    return value;
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\n')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\n')) text.remove_suffix(1);
    return text;
}

/// Cuts what follows the mark off the text; false when the mark is not there.
bool cut(std::string_view& text, char mark, std::string_view& rest) {
    const auto at = text.find(mark);
    if (at == std::string_view::npos) return false;
    rest = text.substr(at + 1);
    text = text.substr(0, at);
    return true;
}

Action to_action(std::string_view text, std::string_view item) {
    std::string_view value;
    const bool valued = cut(text, '=', value);
    struct Name {
        std::string_view text;
        Do what;
        bool valued;
    };
    for (const auto& name :
         {Name{"progress", Do::progress, true}, Name{"stay", Do::stay, false}, Name{"error", Do::error, true},
          Name{"async", Do::async, true}, Name{"hang", Do::hang, false}, Name{"die", Do::die, false},
          Name{"dies", Do::dies, true}}) {
        if (name.text == text && name.valued == valued) return {name.what, valued ? to_int(value, item) : 0};
    }
    unreadable(item);
}

void check_setting(const Setting& setting, std::string_view item) {
    const auto one_of = [&](std::initializer_list<std::string_view> values) {
        if (std::find(values.begin(), values.end(), setting.value) == values.end()) unreadable(item);
    };
    if (setting.name == "version" || setting.name == "devices")
        (void)to_int(setting.value, item);
    else if (setting.name == "no-driver" || setting.name == "same-uuid" || setting.name == "mig")
        one_of({""});
    else if (setting.name == "rules")
        one_of({"count"});
    else if (setting.name == "launch")
        one_of({"thread", "immediate"});
    else if (setting.name == "finalize")
        one_of({"global", "local"});
    else if (setting.name == "duplicates")
        one_of({"allowed"});
    else
        unreadable(item);
}

int environment_rank() {
    for (const char* name : {"RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "PMI_RANK"}) {
        if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return std::atoi(value);
    }
    return -1;
}

thread_local int thread_rank = -1;

/// All scripts that were ever in force: another thread may still read one.
struct Scripts {
    std::mutex mutex;
    std::vector<std::unique_ptr<const Script>> all;
    std::atomic<const Script*> current = nullptr;

    Scripts() {
        const char* text = std::getenv("MUSTER_STANDIN");
        use(text == nullptr ? "" : text);
    }

    void use(std::string_view text) {
        std::string error;
        auto next = std::make_unique<const Script>();
        try {
            next = std::make_unique<const Script>(text);
        } catch (const std::invalid_argument& unreadable) {
            error = unreadable.what();
        }
        const std::lock_guard lock(mutex);
        current.store(next.get(), std::memory_order_release);
        all.push_back(std::move(next));
        if (!error.empty()) {
            std::fprintf(stderr, "standin: broken rule: %s\n", error.c_str());
            std::_Exit(86);
        }
    }
};

Scripts& scripts() {
    static auto& state = *new Scripts;
    return state;
}

// A script that cannot be read is told at the start, not at the first call.
[[maybe_unused]] const bool read_at_start = (scripts(), true);

} // namespace

Script::Script(std::string_view text) {
    std::string_view rest;
    do {
        rest = {};
        cut(text, ';', rest);
        if (const auto item = trimmed(text); !item.empty()) read(item);
        text = rest;
    } while (!text.empty());
    const auto* rules = find("rules", environment_rank());
    counts_rules = rules != nullptr;
    for (int rank = -1; rank <= max_rank; ++rank) {
        const auto* launch = find("launch", rank);
        launches_at_once[rank_slot(rank)] = launch != nullptr && *launch == "immediate";
    }
}

void Script::read(std::string_view item) {
    auto left = item;
    std::string_view rank_text;
    std::string_view nth_text;
    std::string_view action_text;
    std::string_view value;
    if (cut(left, ':', action_text)) {
        Fault fault;
        if (cut(left, '@', rank_text)) fault.rank = to_int(rank_text, item);
        if (cut(left, '#', nth_text)) fault.nth = to_int(nth_text, item);
        fault.function = left;
        fault.action = to_action(action_text, item);
        if (left.empty()) unreadable(item);
        faults.push_back(fault);
        return;
    }
    Setting setting;
    if (cut(left, '@', rank_text)) setting.rank = to_int(rank_text, item);
    cut(left, '=', value);
    setting.name = left;
    setting.value = value;
    check_setting(setting, item);
    settings_.push_back(setting);
}

const std::string* Script::find(std::string_view name, int rank) const {
    const std::string* found = nullptr;
    for (const auto& setting : settings_) {
        if (setting.name == name && (setting.rank == -1 || setting.rank == rank)) found = &setting.value;
    }
    return found;
}

int Script::number(std::string_view name, int rank, int otherwise) const {
    const auto* value = find(name, rank);
    return value == nullptr ? otherwise : std::atoi(value->c_str());
}

const Script& script() { return *scripts().current.load(std::memory_order_acquire); }

int caller_rank() {
    static const int process_rank = environment_rank();
    return thread_rank >= 0 ? thread_rank : process_rank;
}

} // namespace standin

void standin_script(const char* text) { standin::scripts().use(text == nullptr ? "" : text); }

void standin_rank(int rank) { standin::thread_rank = rank; }
