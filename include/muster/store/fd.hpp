// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <string>
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
        // Linux frees the number even when close reports an error, and nothing here is buffered.
        if (fd_ >= 0) (void)::close(std::exchange(fd_, -1));
    }

private:
    int fd_ = -1;
};

/// What strerror says, from any thread.
[[nodiscard]] inline std::string errno_text(int error) { return std::generic_category().message(error); }

} // namespace muster::inline v0_1::detail
