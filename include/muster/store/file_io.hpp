// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/store/fd.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1::detail {

[[nodiscard]] inline std::string_view file_advice(int error) {
    switch (error) {
        case ENOSPC:
        case EDQUOT: return "make room on that file system, or give another folder";
        case EROFS: return "give a folder on a file system that is not mounted read-only";
        case EACCES: return "let the user of all ranks read and write there, or give another folder";
        case EPERM:
        case EOPNOTSUPP:
        case ENOSYS:
            return "give a folder on a file system that has hard links, and let the user of all ranks write there";
        case ENOENT:
        case ESTALE: return "see whether the folder exists on this host, and whether somebody removed it meanwhile";
        case ENOTDIR: return "give a folder that the store has to itself";
        default: return "see whether that file system works on this host, or give another folder";
    }
}

/// Throws: Error(errc::connection) with the path, what the system says and what to do.
[[noreturn]] inline void file_trouble(std::string_view act, const std::string& path, int error) {
    throw Error(errc::connection, Stage::store,
                format("cannot {} {}: {}\n  do: {}", {act, path, errno_text(error), file_advice(error)}));
}

/// A folder, opened anew: on NFS that asks the server what is in it now.
/// `error` is errno where it fails.
[[nodiscard]] inline Fd open_folder(int at, const std::string& name, int& error) noexcept {
    Fd fd(::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) error = errno;
    return fd;
}

/// The names in an open folder, without those that begin with a dot unless `hidden`.
[[nodiscard]] inline std::vector<std::string> names_in(const Fd& folder, const std::string& path, bool hidden = false) {
    int error = 0;
    Fd own = open_folder(folder.get(), ".", error); // a position of its own
    DIR* const opened = own ? ::fdopendir(own.get()) : nullptr;
    if (opened == nullptr) file_trouble("list the folder", path, own ? errno : error);
    struct Close {
        void operator()(DIR* stream) const noexcept { (void)::closedir(stream); }
    };
    own.release();
    const std::unique_ptr<DIR, Close> stream(opened);
    std::vector<std::string> names;
    for (;;) {
        errno = 0;
        const dirent* const entry = ::readdir(stream.get()); // NOLINT(concurrency-mt-unsafe): a stream of its own
        if (entry == nullptr && errno != 0) file_trouble("list the folder", path, errno);
        if (entry == nullptr) return names;
        const std::string_view name(entry->d_name);
        if (name != "." && name != ".." && (hidden || name.front() != '.')) names.emplace_back(name);
    }
}

/// Reads an open file from `offset` on, at most `most` bytes.
[[nodiscard]] inline std::string read_some(const Fd& fd, const std::string& path, std::size_t offset,
                                           std::size_t most) {
    std::string bytes(most, '\0');
    std::size_t done = 0;
    while (done < most) {
        const ssize_t n = ::pread(fd.get(), bytes.data() + done, most - done, static_cast<off_t>(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) file_trouble("read", path, errno);
        if (n == 0) break; // never added to a count: the file may be cut off
        done += static_cast<std::size_t>(n);
    }
    bytes.resize(done);
    return bytes;
}

[[nodiscard]] inline struct stat status_of(const Fd& fd, const std::string& path) {
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) file_trouble("look at", path, errno);
    return status;
}

/// A complete file under a name of its own, which disappears with this object; what it is to be called is linked to it.
class FreshFile {
public:
    /// Writes and syncs: on a network file system that is when a full disk shows. `folder_path` is for error texts.
    FreshFile(const Fd& folder, const std::string& folder_path, std::string name, std::string_view bytes)
        : folder_(folder.get()),
          folder_path_(folder_path),
          name_(std::move(name)),
          owner_(::getpid()) {
        Fd fd(::openat(folder_, name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
        if (!fd) file_trouble("write into", folder_path_, errno);
        int error = 0;
        while (error == 0 && !bytes.empty()) {
            const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
            if (n >= 0)
                bytes.remove_prefix(static_cast<std::size_t>(n));
            else if (errno != EINTR)
                error = errno;
        }
        if (error == 0 && ::fsync(fd.get()) != 0) error = errno;
        if (const int closed = fd.close(); error == 0) error = closed;
        if (error == 0) return;
        remove();
        file_trouble("write into", folder_path_, error);
    }

    FreshFile(const FreshFile&) = delete;
    FreshFile& operator=(const FreshFile&) = delete;
    ~FreshFile() { remove(); }

    /// Gives it one more name; false when the name is taken. Atomic between hosts, as link(2) is, on NFS too.
    [[nodiscard]] bool link(const std::string& name) const {
        if (::linkat(folder_, name_.c_str(), folder_, name.c_str(), 0) == 0) return true;
        const int error = errno;
        // A lost reply of an NFS server makes the repeated request fail: the number of names tells.
        struct stat status {};
        if (::fstatat(folder_, name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_nlink > 1) return true;
        if (error == EEXIST) return false;
        file_trouble("make a link in", folder_path_, error);
    }

private:
    void remove() const noexcept {
        if (::getpid() == owner_) (void)::unlinkat(folder_, name_.c_str(), 0); // a fork's copy is not its own
    }

    int folder_;
    const std::string& folder_path_;
    std::string name_;
    pid_t owner_;
};

} // namespace muster::inline v0_1::detail
