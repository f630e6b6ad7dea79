// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/store/fd.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace muster::inline v0_1::detail {

/// How a transfer over a socket ended.
struct Transfer {
    enum class End { done, timeout, closed, failed };
    End end = End::done;
    int error = 0; ///< errno, when failed

    [[nodiscard]] explicit operator bool() const noexcept { return end == End::done; }
};

[[nodiscard]] inline std::string to_string(const Transfer& transfer) {
    switch (transfer.end) {
        case Transfer::End::done: return "done";
        case Transfer::End::timeout: return "no answer in time";
        case Transfer::End::closed: return "the other side closed the connection";
        case Transfer::End::failed: return errno_text(transfer.error);
    }
    return "unknown";
}

/// Waits until a poll(2) event, an error or a hang-up.
[[nodiscard]] inline Transfer await_event(int fd, short event, Deadline deadline) noexcept {
    for (;;) {
        pollfd entry{fd, event, 0};
        const int n = ::poll(&entry, 1, deadline.poll_timeout());
        if (n > 0) return {};
        if (n < 0 && errno != EINTR) return {Transfer::End::failed, errno};
        if (n == 0 && deadline.expired()) return {Transfer::End::timeout};
    }
}

/// A connected non-blocking socket with a read buffer.
class Stream {
public:
    Stream() = default;
    explicit Stream(Fd fd) : fd_(std::move(fd)), buffer_(std::make_unique_for_overwrite<char[]>(capacity)) {}

    [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(fd_); }
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    void close() noexcept { fd_.reset(); }

    [[nodiscard]] Transfer send(std::string_view bytes, Deadline deadline) noexcept {
        while (!bytes.empty()) {
            const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n >= 0) {
                bytes.remove_prefix(static_cast<std::size_t>(n));
            } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
                if (const Transfer wait = await_event(fd_.get(), POLLOUT, deadline); !wait) return wait;
            } else if (errno != EINTR) {
                return {Transfer::End::failed, errno};
            }
        }
        return {};
    }

    /// Exactly `size` bytes. Part of them may be lost unless done; a timeout before the first byte loses nothing.
    [[nodiscard]] Transfer receive(char* to, std::size_t size, Deadline deadline) noexcept {
        while (size > 0) {
            if (begin_ == end_) {
                if (size >= capacity) { // past the buffer
                    std::size_t n = 0;
                    if (const Transfer got = take(to, size, n, deadline); !got) return got;
                    to += n;
                    size -= n;
                    continue;
                }
                if (const Transfer filled = fill(deadline); !filled) return filled;
            }
            const std::size_t n = std::min(size, end_ - begin_);
            std::memcpy(to, buffer_.get() + begin_, n);
            begin_ += n;
            to += n;
            size -= n;
        }
        return {};
    }

    /// Waits for something to receive.
    [[nodiscard]] Transfer await_input(Deadline deadline) noexcept {
        return begin_ == end_ ? await_event(fd_.get(), POLLIN, deadline) : Transfer();
    }

    /// What has arrived and was not received yet.
    [[nodiscard]] std::string_view pending() noexcept {
        if (begin_ == end_) (void)fill(Deadline());
        return {buffer_.get() + begin_, end_ - begin_};
    }

private:
    static constexpr std::size_t capacity = 1024;

    Transfer fill(Deadline deadline) noexcept {
        begin_ = end_ = 0;
        return take(buffer_.get(), capacity, end_, deadline);
    }

    /// Some bytes, at least one.
    Transfer take(char* to, std::size_t size, std::size_t& taken, Deadline deadline) noexcept {
        for (;;) {
            const ssize_t n = ::recv(fd_.get(), to, size, 0);
            if (n > 0) {
                taken = static_cast<std::size_t>(n);
                return {};
            }
            if (n == 0) return {Transfer::End::closed};
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                if (const Transfer wait = await_event(fd_.get(), POLLIN, deadline); !wait) return wait;
            } else if (errno != EINTR) {
                return {Transfer::End::failed, errno};
            }
        }
    }

    Fd fd_;
    std::unique_ptr<char[]> buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

} // namespace muster::inline v0_1::detail
