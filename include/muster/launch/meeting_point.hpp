// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/launch/parse.hpp>
#include <muster/launch/variables.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace muster::inline v0_1 {

/// What is asked of the launcher.
enum class Wanted {
    endpoint, ///< who this process is, and where the ranks meet
    identity, ///< who this process is; the ranks meet at a place that the program itself knows
};

namespace detail {

/// MASTER_ADDR and MASTER_PORT, each if set. Throws when a port is no port.
struct Master {
    std::optional<std::string> address;
    std::optional<int> port;
};

[[nodiscard]] inline Master master(const Environment& environment) {
    return {environment.get("MASTER_ADDR"), parse_int(environment, "MASTER_PORT", 1, 65535)};
}

/// A port that all processes of a job derive alike. It lies above Linux's default ephemeral range (32768 to 60999),
/// where outgoing connections do not take it; two jobs on one host differ unless their names collide in 12 bits.
[[nodiscard]] constexpr std::uint16_t port_of_job(std::string_view job) noexcept {
    std::uint32_t hash = 2166136261U; // FNV-1a
    for (const char c : job) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    return static_cast<std::uint16_t>(61440U + (hash ^ (hash >> 12U) ^ (hash >> 24U)) % 4096U);
}

/// What a launcher itself tells about where its ranks can meet.
struct Hints {
    std::optional<Found> address; ///< of rank 0's host
    std::optional<Found> job;     ///< the same on all ranks, another one for each job
    std::string_view port = {};   ///< the variable with a port, where the launcher has one
};

/// MASTER_ADDR and MASTER_PORT win, each for itself. Otherwise the address is loopback where all ranks share the host,
/// else the launcher's; the port is derived from the job.
/// Throws: Error(errc::invalid_launch) where the endpoint is wanted and more than one rank has none.
inline void find_endpoint(Launch& launch, const Variables& names, Hints hints, Wanted wanted) {
    auto [address, port] = master(launch.environment);
    std::string address_from = "MASTER_ADDR";
    std::string port_from = "MASTER_PORT";
    if (hints.job) launch.job = hints.job->value;
    if (!address && launch.node_count == 1) {
        address = "127.0.0.1";
        address_from = "one host by " + launch.from.node_count;
    } else if (!address && hints.address) {
        address = std::move(hints.address->value);
        address_from = std::move(hints.address->from);
    }
    if (!port && !hints.port.empty()) {
        port = parse_int(launch.environment, hints.port, 1, 65535);
        port_from = hints.port;
    }
    if (!port && hints.job) {
        port = port_of_job(hints.job->value);
        port_from = std::move(hints.job->from);
    }
    if (wanted == Wanted::endpoint && launch.world_size > 1 && !address)
        missing_variable(launch.environment, "MASTER_ADDR", names, names.rank_0);
    if (wanted == Wanted::endpoint && launch.world_size > 1 && !port)
        missing_variable(launch.environment, "MASTER_PORT", names, "a free port of rank 0's host");
    if (!address || !port) return;
    launch.endpoint = Endpoint{std::move(*address), static_cast<std::uint16_t>(*port)};
    launch.from.endpoint = format("{}, {}", {address_from, port_from});
}

} // namespace detail

} // namespace muster::inline v0_1
