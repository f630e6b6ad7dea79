// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/record.hpp>

#include <unistd.h>

#include <array>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>

namespace muster::inline v0_1::detail {

/// Which process wrote a file. A number alone is given again: with the kernel's boot, the numbers' namespace and the
/// moment of its start it names one process for ever.
struct ProcessIdentity {
    std::string host;
    std::string boot_id;
    std::string pid_namespace;
    int pid = 0;
    std::string started; ///< clock ticks after the boot

    friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;

    void put(Fields& fields) const {
        fields.set("host", host);
        fields.set("boot_id", boot_id);
        fields.set("pid_namespace", pid_namespace);
        fields.set("pid", pid);
        fields.set("started", started);
    }

    [[nodiscard]] static ProcessIdentity take(const Fields& fields) {
        return {fields.get("host"), fields.get("boot_id"), fields.get("pid_namespace"), fields.number("pid", 0),
                fields.get("started")};
    }
};

/// When a process started; empty when there is none of that number, or when only its exit status is left.
/// Source: proc(5), fields 3 and 22 of /proc/PID/stat.
[[nodiscard]] inline std::string start_of(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto name_end = text.rfind(')'); // the name before it may hold anything
    if (name_end == std::string::npos) return {};
    std::istringstream words(text.substr(name_end + 1));
    std::string word;
    for (int field = 3; field <= 22 && words >> word; ++field) {
        if (field == 3 && (word == "Z" || word == "X")) return {};
        if (field == 22) return word;
    }
    return {};
}

[[nodiscard]] inline ProcessIdentity this_process() {
    std::array<char, 64> space{};
    const ssize_t size = ::readlink("/proc/self/ns/pid", space.data(), space.size());
    const int pid = static_cast<int>(::getpid());
    return {host_name(), boot_id(),
            size > 0 ? std::string(space.data(), static_cast<std::size_t>(size)) : std::string(), pid, start_of(pid)};
}

enum class Life { alive, dead, unknown };

/// Whether a process still lives; only those of this host and namespace can be told.
[[nodiscard]] inline Life life_of(const ProcessIdentity& process, const ProcessIdentity& self = this_process()) {
    const bool told = !process.boot_id.empty() && !process.pid_namespace.empty() && !process.started.empty() &&
                      process.boot_id == self.boot_id && process.pid_namespace == self.pid_namespace;
    if (!told) return Life::unknown;
    return start_of(process.pid) == process.started ? Life::alive : Life::dead;
}

} // namespace muster::inline v0_1::detail
