// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/nccl_config.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/environment.hpp>
#include <muster/store/connect.hpp>
#include <muster/store/resolve.hpp>

#include <netdb.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

// What can be seen before NCCL starts of what makes it hang or slow.
namespace muster::inline v0_1::detail {

/// A variable of NCCL as NCCL finds it: in the environment, else in a configuration file.
struct NcclVariable {
    std::string value;
    std::string from; ///< "the environment", or the file
};

/// The files that NCCL reads, the first winning. Source: param.cc of NCCL 2.28 (the home of the password entry)
/// and 2.30 (HOME); where they differ both are here.
[[nodiscard]] inline std::vector<std::string> nccl_files(const Environment& environment) {
    std::vector<std::string> files;
    if (const auto file = environment.get("NCCL_CONF_FILE")) {
        files.push_back(*file);
    } else {
        const auto add = [&](const std::string& home) {
            const std::string path = home + "/.nccl.conf";
            if (std::find(files.begin(), files.end(), path) == files.end()) files.push_back(path);
        };
        if (const auto home = environment.get("HOME")) add(*home);
        passwd entry{};
        passwd* found = nullptr;
        std::vector<char> buffer(16384);
        if (::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
            add(found->pw_dir);
    }
    files.emplace_back("/etc/nccl.conf");
    return files;
}

[[nodiscard]] inline std::optional<NcclVariable> find_nccl_variable(const Environment& environment,
                                                                    std::string_view name,
                                                                    const std::vector<std::string>& files) {
    if (const auto value = environment.get(name)) return NcclVariable{*value, "the environment"};
    if (environment.defines(name)) return std::nullopt; // empty stands for NCCL's default, against any file
    for (const std::string& path : files) {
        std::ifstream file(path);
        for (std::string line; std::getline(file, line);) {
            if (line.ends_with('\r')) line.pop_back();
            if (line.size() > name.size() && line[name.size()] == '=' && line.starts_with(name))
                return NcclVariable{line.substr(name.size() + 1), path};
        }
    }
    return std::nullopt;
}

/// Refuses NCCL_COMM_BLOCKING=1: it overrides what a program asks for, and a blocking init has no limit.
/// Throws: Error(errc::invalid_launch).
inline void refuse_blocking(const std::optional<NcclVariable>& variable, int rank) {
    if (!variable || std::strtoll(variable->value.c_str(), nullptr, 0) != 1) return;
    throw Error(errc::invalid_launch, Stage::device,
                format("NCCL_COMM_BLOCKING={} makes NCCL wait without a limit, whatever a program asks for\n  "
                       "seen: in {}\n  do: unset it",
                       {variable->value, variable->from}),
                {rank, {rank}, false});
}

/// Settings of the program that a variable of NCCL beats: who sets one does not expect that.
[[nodiscard]] inline std::vector<std::string> overridden_settings(const NcclOptions& options,
                                                                  const Environment& environment,
                                                                  const std::vector<std::string>& files) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 8> variables{{
        {"cga_cluster_size", "NCCL_CGA_CLUSTER_SIZE"},
        {"min_ctas", "NCCL_MIN_CTAS"},
        {"max_ctas", "NCCL_MAX_CTAS"},
        {"net_name", "NCCL_NET"},
        {"collnet_enable", "NCCL_COLLNET_ENABLE"},
        {"cta_policy", "NCCL_CTA_POLICY"},
        {"nvls_ctas", "NCCL_NVLS_NCHANNELS"},
        {"n_channels_per_net_peer", "NCCL_NCHANNELS_PER_NET_PEER"},
    }};
    std::set<std::string_view> set;
    visit_configs(options, [&](std::string_view, const NcclConfig& config) {
        visit_settings(config, [&](std::string_view name, const auto& value) {
            if (value) set.insert(name);
        });
    });
    std::vector<std::string> texts;
    for (const auto& [setting, name] : variables)
        if (const auto variable = find_nccl_variable(environment, name, files); variable && set.contains(setting))
            texts.push_back(
                format("{}={} in {} beats NcclConfig::{}", {name, variable->value, variable->from, setting}));
    return texts;
}

/// All that is set, as text: what the ranks must have alike.
[[nodiscard]] inline std::string settings_text(const NcclOptions& options) {
    std::string text;
    visit_configs(options, [&](std::string_view axis, const NcclConfig& config) {
        visit_settings(config, [&](std::string_view name, const auto& value) {
            if (value) text += format("{}{}.{}={}", {text.empty() ? "" : " ", axis, name, *value});
        });
    });
    return text;
}

/// What this host grants its processes.
struct HostRoom {
    std::optional<std::uint64_t> shm_free; ///< bytes in /dev/shm
    std::uint64_t files = 0;               ///< soft RLIMIT_NOFILE
    std::uint64_t locked = 0;              ///< soft RLIMIT_MEMLOCK in bytes
    bool infiniband = false;               ///< the host has an InfiniBand or RoCE device
};

[[nodiscard]] inline HostRoom measure_host() {
    HostRoom room;
    struct statvfs shm {};
    if (::statvfs("/dev/shm", &shm) == 0) room.shm_free = static_cast<std::uint64_t>(shm.f_bavail) * shm.f_frsize;
    const auto soft = [](auto resource) -> std::uint64_t {
        rlimit limit{};
        return ::getrlimit(resource, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
    };
    room.files = soft(RLIMIT_NOFILE);
    room.locked = soft(RLIMIT_MEMLOCK);
    std::error_code ignored; // no such folder: no such device
    room.infiniband =
        std::filesystem::directory_iterator("/sys/class/infiniband", ignored) != std::filesystem::directory_iterator();
    return room;
}

/// What is likely too little, each with the number and the remedy.
[[nodiscard]] inline std::vector<std::string> host_warnings(const HostRoom& room, int local_size, int world_size) {
    constexpr std::uint64_t mib = 1U << 20U;
    std::vector<std::string> warnings;
    // NCCL's buffers between two ranks of a host: some 4 MiB for each of a few channels. 64 MiB, a container's default,
    // is the classic that is too small.
    const std::uint64_t shm = mib * std::max<std::uint64_t>(128, 32 * static_cast<std::uint64_t>(local_size));
    if (local_size > 1 && room.shm_free && *room.shm_free < shm)
        warnings.push_back(
            format("/dev/shm has {} MiB free, and {} ranks of this host may need {} MiB: give a "
                   "container more (--shm-size=1g, --ipc=host)",
                   {*room.shm_free / mib, local_size, shm / mib}));
    const std::uint64_t files = 256 + 16 * static_cast<std::uint64_t>(world_size);
    if (room.files < files)
        warnings.push_back(
            format("the limit of open files is {}, and a world of {} ranks may need {}: raise it "
                   "(ulimit -n {})",
                   {room.files, world_size, files, files}));
    if (room.infiniband && room.locked < 64 * mib)
        warnings.push_back(
            format("the limit of locked memory is {} KiB, and InfiniBand needs more: raise it "
                   "(ulimit -l unlimited)",
                   {room.locked / 1024}));
    return warnings;
}

/// Why `host`:`port` cannot be reached from here, empty when it can.
[[nodiscard]] inline std::string why_unreachable(const std::string& host, int port, Deadline deadline) {
    const Resolution found = look_up(host, static_cast<std::uint16_t>(port), AI_NUMERICHOST);
    if (!found.problem.empty()) return found.problem;
    std::string problem;
    (void)connect_socket(found.addresses.front(), deadline.at_most(std::chrono::seconds(3)), problem);
    return problem;
}

/// The warning about an address in a unique id that this rank cannot reach.
[[nodiscard]] inline std::string unreachable_text(int root, const std::string& host, std::string_view problem) {
    return format(
        "NCCL will meet at {}, the address of the interface that it chose on rank {}, and this rank cannot "
        "reach that address ({}): name the right interface in NCCL_SOCKET_IFNAME, and let the firewall "
        "pass all ports between the hosts",
        {host, root, problem});
}

} // namespace muster::inline v0_1::detail
