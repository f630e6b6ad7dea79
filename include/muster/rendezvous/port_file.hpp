// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/process.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/file_io.hpp>
#include <muster/store/file_name.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>

namespace muster::inline v0_1::detail {

/// How rank 0 tells the other ranks on its host the port that the system gave it: a file named by the job in a folder
/// of this host that belongs to this user alone. It names the process that wrote it, and counts only while that lives.
class PortFile {
public:
    explicit PortFile(const Launch& launch) : name_(file_name(launch.job) + ".port"), job_(launch.job) {
        // The system's own place for such things first; where it is set but not there, all ranks of the host find that.
        if (const auto own = launch.environment.get("XDG_RUNTIME_DIR")) open_in(*own);
        if (!folder_) open_in("/tmp");
        if (!folder_) file_trouble("make the folder", folder_path_, error_);
        const struct stat status = status_of(folder_, folder_path_);
        if (status.st_uid != ::geteuid() || (status.st_mode & 077U) != 0)
            throw Error(errc::connection, Stage::rendezvous,
                        format("the folder {} does not belong to this user alone: a port in it is not believed\n  do: "
                               "remove it, or give a port instead of 0",
                               {folder_path_}));
    }

    [[nodiscard]] std::string path() const { return format("{}/{}", {folder_path_, name_}); }

    /// The port of a rank 0 that lives.
    [[nodiscard]] std::optional<std::uint16_t> read() const {
        const auto fields = contents();
        if (!fields || life_of(ProcessIdentity::take(*fields)) != Life::alive) return std::nullopt;
        const int port = fields->number("port", 0);
        return port > 0 && port <= 65535 ? std::optional(static_cast<std::uint16_t>(port)) : std::nullopt;
    }

    /// Throws: Error(errc::connection) when a process that lives has said another port under this name.
    void publish(std::uint16_t port) {
        Fields fields;
        this_process().put(fields);
        fields.set("port", port);
        fields.set("nonce", nonce_ = draw_nonce());
        const FreshFile fresh(folder_, folder_path_, format(".new-{}", {nonce_}), fields.encode());
        while (!fresh.link(name_)) {
            const auto other = contents();
            const ProcessIdentity owner = other ? ProcessIdentity::take(*other) : ProcessIdentity();
            if (other && life_of(owner) == Life::alive)
                throw Error(errc::connection, Stage::rendezvous,
                            format("{} is in use by process {} of this host, which lives: two jobs named '{}' "
                                   "cannot both meet at port 0\n  do: give the jobs names (TORCHELASTIC_RUN_ID) or "
                                   "ports of their own",
                                   {path(), owner.pid, job_}));
            (void)::unlinkat(folder_.get(), name_.c_str(), 0); // of an earlier run
        }
    }

    /// Removes what publish() wrote, unless it is another's by now.
    void withdraw() const noexcept {
        try {
            const auto now = contents();
            if (now && !nonce_.empty() && now->get("nonce") == nonce_)
                (void)::unlinkat(folder_.get(), name_.c_str(), 0);
        } catch (const Error&) {
            return; // it names this process, and counts no longer than that lives
        }
    }

private:
    void open_in(const std::string& parent) {
        folder_path_ = format("{}/muster-{}", {parent, ::geteuid()});
        error_ = ::mkdir(folder_path_.c_str(), 0700) == 0 || errno == EEXIST ? 0 : errno;
        if (error_ != 0) return;
        folder_ = Fd(::open(folder_path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!folder_) error_ = errno;
    }

    /// Nothing when there is no file, or none of these.
    [[nodiscard]] std::optional<Fields> contents() const {
        constexpr std::size_t most = 4096;
        const Fd file(::openat(folder_.get(), name_.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
        if (!file) return std::nullopt;
        try {
            return Fields::decode(read_some(file, path(), 0, most));
        } catch (const Error&) {
            return std::nullopt;
        }
    }

    std::string name_;
    std::string job_;
    std::string folder_path_;
    std::string nonce_;
    Fd folder_;
    int error_ = 0;
};

} // namespace muster::inline v0_1::detail
