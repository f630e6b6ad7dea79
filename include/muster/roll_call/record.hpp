// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/core/version.hpp>
#include <muster/launch/launch.hpp>
#include <muster/roll_call/fields.hpp>

#include <unistd.h>

#include <array>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace muster::inline v0_1 {

/// What a rank tells all others about itself in the roll call.
struct Record {
    /// As the launcher says.
    int rank = 0;
    int world_size = 1;
    int local_rank = -1;                        ///< -1: the launcher does not tell
    int local_size = -1;                        ///< -1: the launcher does not tell
    std::string nonce;                          ///< drawn anew by each process for each roll call
    std::string host;                           ///< host name
    std::string boot_id;                        ///< the kernel's boot id: host names repeat in containers and images
    int pid = 0;                                ///< in the process's own namespace
    std::string launcher;                       ///< its name
    std::string launch_sources;                 ///< the variables that rank and world size came from
    int protocol = protocol_version;            ///< of the roll call
    std::string library = std::string(version); ///< version of muster
    std::string backend;                        ///< its name
    std::string mesh;                           ///< axes, extents and order
    std::string device;                         ///< what the backend says of the device it runs on

    std::string exclusive; ///< a device that no two ranks may share, by a name that is the same everywhere; or empty
    std::string device_source; ///< what chose the device

    /// Further facts of the backend that must be equal on all ranks, by name.
    std::map<std::string, std::string> must_equal;

    /// Set when the rank failed before the roll call: it comes only to tell.
    struct Failure {
        /// As of the Error.
        errc code = errc::backend;
        Stage stage = Stage::device;
        std::string text;
    };
    std::optional<Failure> failure; ///< nothing: all is well so far

    /// Of one process and one roll call.
    friend bool operator==(const Record& a, const Record& b) { return a.nonce == b.nonce; }
};

/// host:pid, the way processes are named in error texts.
[[nodiscard]] inline std::string process_name(const Record& record) {
    return detail::format("{}:{}", {record.host, record.pid});
}

/// Whether both processes run on one node: host names alone repeat in containers and images.
[[nodiscard]] inline bool same_node(const Record& a, const Record& b) {
    return a.host == b.host && a.boot_id == b.boot_id;
}

namespace detail {

inline constexpr std::size_t nonce_digits = 32;

/// 128 random bits as hexadecimal digits.
[[nodiscard]] inline std::string draw_nonce() {
    std::random_device random;
    std::string nonce;
    for (int i = 0; i < 4; ++i) nonce += hex(random() & 0xFFFFFFFFU, 8);
    return nonce;
}

[[nodiscard]] inline std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string("unknown");
}

[[nodiscard]] inline std::string boot_id() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string id;
    return std::getline(file, id) ? id : std::string();
}

[[nodiscard]] inline Fields to_fields(const Record& record) {
    Fields fields;
    fields.reserve(1024);
    fields.set("rank", record.rank);
    fields.set("world_size", record.world_size);
    fields.set("local_rank", record.local_rank);
    fields.set("local_size", record.local_size);
    fields.set("nonce", record.nonce);
    fields.set("host", record.host);
    fields.set("boot_id", record.boot_id);
    fields.set("pid", record.pid);
    fields.set("launcher", record.launcher);
    fields.set("launch_sources", record.launch_sources);
    fields.set("protocol", record.protocol);
    fields.set("library", record.library);
    fields.set("backend", record.backend);
    fields.set("mesh", record.mesh);
    fields.set("device", record.device);
    fields.set("exclusive", record.exclusive);
    fields.set("device_source", record.device_source);
    for (const auto& [name, value] : record.must_equal) fields.set("=" + name, value);
    if (record.failure) {
        fields.set("failure.code", static_cast<int>(record.failure->code));
        fields.set("failure.stage", static_cast<int>(record.failure->stage));
        fields.set("failure.text", record.failure->text);
    }
    return fields;
}

/// The record that to_fields encoded.
/// Throws: Error(errc::protocol).
[[nodiscard]] inline Record to_record(std::string_view bytes) {
    Record record;
    record.rank = record.world_size = -1;
    record.protocol = 0;
    record.library.clear();
    Record::Failure failure;
    Fields::visit(bytes, [&](std::string_view name, std::string_view value) {
        const auto number = [&](int otherwise) { return Fields::to_number(value, otherwise); };
        if (name.starts_with('='))
            record.must_equal.emplace(name.substr(1), value);
        else if (name == "rank")
            record.rank = number(-1);
        else if (name == "world_size")
            record.world_size = number(-1);
        else if (name == "local_rank")
            record.local_rank = number(-1);
        else if (name == "local_size")
            record.local_size = number(-1);
        else if (name == "nonce")
            record.nonce = value;
        else if (name == "host")
            record.host = value;
        else if (name == "boot_id")
            record.boot_id = value;
        else if (name == "pid")
            record.pid = number(0);
        else if (name == "launcher")
            record.launcher = value;
        else if (name == "launch_sources")
            record.launch_sources = value;
        else if (name == "protocol")
            record.protocol = number(0);
        else if (name == "library")
            record.library = value;
        else if (name == "backend")
            record.backend = value;
        else if (name == "mesh")
            record.mesh = value;
        else if (name == "device")
            record.device = value;
        else if (name == "exclusive")
            record.exclusive = value;
        else if (name == "device_source")
            record.device_source = value;
        else if (name == "failure.code")
            failure.code = static_cast<errc>(number(0)), record.failure = failure;
        else if (name == "failure.stage")
            failure.stage = static_cast<Stage>(number(0)), record.failure = failure;
        else if (name == "failure.text")
            failure.text = value, record.failure = failure;
    });
    return record;
}

} // namespace detail

/// This process's record, as far as its launch tells it; backend, mesh and device are filled in by the caller.
[[nodiscard]] inline Record make_record(const Launch& launch) {
    Record record;
    record.rank = launch.rank;
    record.world_size = launch.world_size;
    record.local_rank = launch.local_rank.value_or(-1);
    record.local_size = launch.local_size.value_or(-1);
    record.nonce = detail::draw_nonce();
    record.host = detail::host_name();
    record.boot_id = detail::boot_id();
    record.pid = static_cast<int>(::getpid());
    record.launcher = launch.launcher;
    record.launch_sources =
        launch.from.rank.empty() ? std::string() : detail::format("{}, {}", {launch.from.rank, launch.from.world_size});
    return record;
}

} // namespace muster::inline v0_1
