// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/parse.hpp>

#include <array>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

inline constexpr int most_ranks = std::numeric_limits<int>::max();

/// Names under which one value may stand, best first; the first that is set counts.
using Names = std::array<std::string_view, 3>;

/// The names under which a launcher hands out the identity of a process.
struct Variables {
    std::string_view launcher;
    Names rank = {}, world_size = {}, local_rank = {}, local_size = {}, node_index = {}, node_count = {};
    std::string_view start = {}; ///< how to start a program so that all is set, after "or"
    std::string_view pass = {};  ///< how to set a variable for all processes, {} for its name
    std::string_view lacks = {}; ///< that the launcher itself does not tell the world size, after a semicolon
    std::string_view rank_0 = "the host name or address of rank 0"; ///< what MASTER_ADDR has to be
};

/// A text from the environment, and the variables that gave it.
struct Found {
    std::string value, from;
};

/// The first of the names that is set, else the best one.
[[nodiscard]] inline std::string_view chosen(const Environment& environment, const Names& names) {
    for (const auto name : names)
        if (!name.empty() && environment.has(name)) return name;
    return names.front();
}

[[nodiscard]] inline bool has_some(const Environment& environment, const Names& names) {
    const auto name = chosen(environment, names);
    return !name.empty() && environment.has(name);
}

/// Whether any of the values by which processes tell themselves apart is set: one is enough to expect all of them,
/// because half a launch is not a world of one.
[[nodiscard]] inline bool has_any(const Environment& environment, const Variables& names) {
    return has_some(environment, names.rank) || has_some(environment, names.world_size) ||
           has_some(environment, names.local_rank) || has_some(environment, names.local_size);
}

/// The first of the names that is set.
[[nodiscard]] inline std::optional<Found> either(const Environment& environment, const Names& names) {
    const auto name = chosen(environment, names);
    if (auto value = environment.get(name)) return Found{std::move(*value), std::string(name)};
    return std::nullopt;
}

/// The values of all the names, with dots between them; nothing unless all are set.
[[nodiscard]] inline std::optional<Found> together(const Environment& environment,
                                                   std::initializer_list<std::string_view> names) {
    std::vector<std::string> values;
    for (const auto name : names) {
        auto value = environment.get(name);
        if (!value) return std::nullopt;
        values.push_back(std::move(*value));
    }
    return Found{joined(values, "."), joined(std::vector<std::string>(names.begin(), names.end()), " and ")};
}

/// The variables of `names` that are set, as NAME=value, for error texts.
[[nodiscard]] inline std::string seen(const Environment& environment, const std::vector<std::string_view>& names) {
    std::vector<std::string> found;
    for (const auto name : names)
        if (const auto value = environment.get(name)) found.push_back(format("{}={}", {name, *value}));
    return found.empty() ? "none of them" : joined(found, ", ");
}

[[nodiscard]] inline std::string all_seen(const Environment& environment, const Variables& names) {
    std::vector<std::string_view> all;
    for (const Names& some : {names.rank, names.world_size, names.local_rank, names.local_size, names.node_index,
                              names.node_count, Names{"MASTER_ADDR", "MASTER_PORT"}})
        for (const std::string_view name : some) all.push_back(name);
    return seen(environment, all);
}

[[noreturn]] inline void missing_variable(const Environment& environment, std::string_view missing,
                                          const Variables& names, std::string_view meaning) {
    std::string advice = format("set {} to {}", {missing, meaning});
    const bool own = missing != "WORLD_SIZE" && !missing.starts_with("MASTER_"); // else it is the user's to set
    if (!own && !names.pass.empty()) {
        std::string pass(names.pass);
        if (const auto place = pass.find("{}"); place != std::string::npos) pass.replace(place, 2, missing);
        advice += format(" ({})", {pass});
    }
    // Where the program was started so, another start brings no address.
    if (!names.start.empty() && (names.pass.empty() || !missing.starts_with("MASTER_")))
        advice += format(", or {}", {names.start});
    throw Error(errc::invalid_launch, Stage::launch,
                format("{} is not set, but other variables of a launch ({}) are{}\n  seen: {}\n  do: {}",
                       {missing, names.launcher, missing == names.world_size.front() ? names.lacks : "",
                        all_seen(environment, names), advice}));
}

/// Rank, world size and all that the launcher tells beside them.
/// Throws: Error(errc::invalid_launch) where rank or world size is missing, or a value is unreadable or out of range.
[[nodiscard]] inline Launch identify(const Environment& environment, const Variables& names) {
    Launch launch;
    launch.launcher = names.launcher;
    launch.environment = environment;
    const auto read = [&](const Names& some, int low, int high, std::string& from) {
        const auto name = chosen(environment, some);
        const auto value = name.empty() ? std::nullopt : parse_int(environment, name, low, high);
        if (value) from = name;
        return value;
    };
    const auto world_size = read(names.world_size, 1, most_ranks, launch.from.world_size);
    if (!world_size) missing_variable(environment, names.world_size.front(), names, "the number of processes");
    launch.world_size = *world_size;
    const auto rank = read(names.rank, 0, launch.world_size - 1, launch.from.rank);
    if (!rank) missing_variable(environment, names.rank.front(), names, "this process's rank");
    launch.rank = *rank;
    launch.local_size = read(names.local_size, 1, launch.world_size, launch.from.local_size);
    launch.local_rank =
        read(names.local_rank, 0, launch.local_size.value_or(launch.world_size) - 1, launch.from.local_rank);
    launch.node_count = read(names.node_count, 1, launch.world_size, launch.from.node_count);
    launch.node_index = read(names.node_index, 0, launch.node_count.value_or(most_ranks) - 1, launch.from.node_index);
    return launch;
}

/// What follows where a launcher tells only one of the two: all processes on one host, or one host of processes.
inline void settle_nodes(Launch& launch) {
    auto& from = launch.from;
    if (!launch.local_size && launch.node_count == 1) {
        launch.local_size = launch.world_size;
        from.local_size = from.node_count;
    }
    if (launch.local_size != launch.world_size) return;
    if (!launch.node_count) {
        launch.node_count = 1;
        from.node_count = from.local_size;
    }
    if (!launch.node_index) {
        launch.node_index = 0;
        from.node_index = from.local_size;
    }
}

} // namespace muster::inline v0_1::detail
