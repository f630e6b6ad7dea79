// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>

#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace muster::inline v0_1::detail {

/// Owns a file descriptor.
class Fd {
public:
    Fd() noexcept = default;
    explicit Fd(int fd) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) {
            reset();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    ~Fd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

    void reset() noexcept {
        // Nothing that is worth an error is buffered in what is not closed by name.
        (void)close();
    }

    /// Closes; errno where that fails, else 0. Linux frees the number even when close reports an error.
    [[nodiscard]] int close() noexcept { return fd_ >= 0 && ::close(std::exchange(fd_, -1)) != 0 ? errno : 0; }

    /// Gives the descriptor away.
    int release() noexcept { return std::exchange(fd_, -1); }

private:
    int fd_ = -1;
};

/// What strerror says, from any thread.
[[nodiscard]] inline std::string errno_text(int error) { return std::generic_category().message(error); }

/// A file descriptor that the system has just made.
[[nodiscard]] inline Fd made(int fd, std::string_view what) {
    if (fd >= 0) return Fd(fd);
    throw Error(errc::connection, Stage::store, format("cannot make {}: {}", {what, errno_text(errno)}));
}

} // namespace muster::inline v0_1::detail
