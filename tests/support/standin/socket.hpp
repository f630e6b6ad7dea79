// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>

#include <atomic>
#include <cstddef>
#include <utility>

namespace standin {

/// Owns a file descriptor.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Fd() { reset(); }

    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    void reset();

private:
    int fd_ = -1;
};

/// Ends waits: all functions below throw a Failure of ncclInternalError once it is set.
class Cancel {
public:
    Cancel();
    void set();
    bool is_set() const { return set_.load(std::memory_order_acquire); }
    void check() const;

    /// Waits for the events on fd, or only sleeps when it is negative; 0 when the time is over.
    short wait(int fd, short events, int timeout_ms) const;
    void sleep(int ms) const;

private:
    std::atomic<bool> set_ = false;
    Fd event_;
};

/// A listening socket on the interface of NCCL_SOCKET_IFNAME, else on loopback, and its address.
std::pair<Fd, sockaddr_in> listen_socket();

/// Tries as long as NCCL does while nobody listens; throws a Failure of ncclRemoteError then.
Fd connect_socket(const sockaddr_in& address, const Cancel& cancel);

Fd accept_socket(const Fd& listener, const Cancel& cancel);

/// Whole or a Failure of ncclRemoteError.
void send_all(const Fd& fd, const void* data, std::size_t size, const Cancel& cancel);
void receive_all(const Fd& fd, void* data, std::size_t size, const Cancel& cancel);

} // namespace standin
