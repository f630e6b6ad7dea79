// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// The environment variables of a process, read once: everything after works on this value. Tests and programs that
/// know better hand in their own.
class Environment {
public:
    Environment() = default;
    /// The variables given, and no others: `Environment{{"RANK", "0"}, {"WORLD_SIZE", "2"}}`.
    Environment(std::initializer_list<std::pair<const std::string, std::string>> variables) : variables_(variables) {}

    /// What this process was started with.
    [[nodiscard]] static Environment current() {
        Environment result;
        if (environ == nullptr) return result;
        for (char** entry = environ; *entry != nullptr; ++entry) {
            const std::string_view text(*entry);
            const auto equals = text.find('=');
            if (equals == std::string_view::npos) continue;
            result.variables_.emplace(text.substr(0, equals), text.substr(equals + 1));
        }
        return result;
    }

    /// The value of a variable. An empty value counts as unset, as it does in torch.distributed's env:// method.
    [[nodiscard]] std::optional<std::string> get(std::string_view name) const {
        const auto found = variables_.find(name);
        if (found == variables_.end() || found->second.empty()) return std::nullopt;
        return found->second;
    }

    /// Whether get has a value.
    [[nodiscard]] bool has(std::string_view name) const { return get(name).has_value(); }

    /// Whether the variable is there at all, if only empty.
    [[nodiscard]] bool defines(std::string_view name) const { return variables_.find(name) != variables_.end(); }

    /// The variables whose names begin so and that are not empty, in the order of their names.
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> starting_with(std::string_view prefix) const {
        std::vector<std::pair<std::string, std::string>> found;
        for (auto each = variables_.lower_bound(prefix); each != variables_.end() && each->first.starts_with(prefix);
             ++each)
            if (!each->second.empty()) found.emplace_back(*each);
        return found;
    }

    /// Set or replace a variable of this value; the process's own environment stays as it is.
    void set(std::string name, std::string value) { variables_.insert_or_assign(std::move(name), std::move(value)); }

private:
    std::map<std::string, std::string, std::less<>> variables_;
};

} // namespace muster::inline v0_1
