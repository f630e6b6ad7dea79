// SPDX-License-Identifier: Apache-2.0
#include "socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "failure.hpp"

namespace standin {
namespace {

[[noreturn]] void fail(ncclResult_t code, const std::string& what) {
    throw Failure{code, what + ": " + std::strerror(errno)};
}

/// The address of the first interface that the list names: prefixes, or whole names after '='.
bool find_interface(std::string wanted, in_addr& address) {
    const bool exact = !wanted.empty() && wanted[0] == '=';
    if (exact) wanted.erase(0, 1);
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return false;
    bool found = false;
    for (auto* one = all; one != nullptr && !found; one = one->ifa_next) {
        if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
        const std::string name = one->ifa_name;
        for (std::size_t at = 0; at < wanted.size() && !found;) {
            const auto end = std::min(wanted.find(',', at), wanted.size());
            const auto item = wanted.substr(at, end - at);
            found = exact ? name == item : name.compare(0, item.size(), item) == 0;
            at = end + 1;
        }
        if (found) address = reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr;
    }
    ::freeifaddrs(all);
    return found;
}

void set_up(int fd) {
    const int on = 1;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

} // namespace

void Fd::reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

Cancel::Cancel() : event_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!event_) fail(ncclSystemError, "eventfd");
}

void Cancel::set() {
    set_.store(true, std::memory_order_release);
    const std::uint64_t one = 1;
    (void)!::write(event_.get(), &one, sizeof(one));
}

void Cancel::check() const {
    if (is_set()) throw Failure{ncclInternalError, "the communicator was aborted"};
}

short Cancel::wait(int fd, short events, int timeout_ms) const {
    pollfd fds[2] = {{event_.get(), POLLIN, 0}, {fd, events, 0}};
    const int n = ::poll(fds, 2, timeout_ms);
    check();
    return n > 0 ? fds[1].revents : short{0};
}

void Cancel::sleep(int ms) const { (void)wait(-1, 0, ms); }

std::pair<Fd, sockaddr_in> listen_socket() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (const char* wanted = std::getenv("NCCL_SOCKET_IFNAME"); wanted != nullptr && *wanted != '\0') {
        if (!find_interface(wanted, address.sin_addr)) {
            throw Failure{ncclSystemError, std::string("no interface is called ") + wanted};
        }
    }
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (!fd || ::bind(fd.get(), generic, size) != 0 || ::listen(fd.get(), SOMAXCONN) != 0 ||
        ::getsockname(fd.get(), generic, &size) != 0) {
        fail(ncclSystemError, "listening");
    }
    set_up(fd.get());
    return {std::move(fd), address};
}

Fd connect_socket(const sockaddr_in& address, const Cancel& cancel) {
    constexpr int tries = 34;
    for (int tried = 1;; ++tried) {
        Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!fd) fail(ncclSystemError, "socket");
        set_up(fd.get());
        int error = 0;
        if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) error = errno;
        if (error == EINPROGRESS) {
            while (cancel.wait(fd.get(), POLLOUT, -1) == 0) continue;
            socklen_t size = sizeof(error);
            (void)::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        }
        if (error == 0) return fd;
        errno = error;
        if (error != ECONNREFUSED || tried == tries) fail(ncclRemoteError, "connecting");
        cancel.sleep(100 * tried);
    }
}

Fd accept_socket(const Fd& listener, const Cancel& cancel) {
    for (;;) {
        while (cancel.wait(listener.get(), POLLIN, -1) == 0) continue;
        Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!fd) continue;
        set_up(fd.get());
        return fd;
    }
}

void send_all(const Fd& fd, const void* data, std::size_t size, const Cancel& cancel) {
    const auto* at = static_cast<const char*>(data);
    while (size > 0) {
        const auto n = ::send(fd.get(), at, size, MSG_NOSIGNAL);
        if (n > 0) {
            at += n;
            size -= static_cast<std::size_t>(n);
        } else if (errno == EAGAIN || errno == EINTR) {
            (void)cancel.wait(fd.get(), POLLOUT, -1);
        } else {
            fail(ncclRemoteError, "sending");
        }
    }
}

void receive_all(const Fd& fd, void* data, std::size_t size, const Cancel& cancel) {
    auto* at = static_cast<char*>(data);
    while (size > 0) {
        const auto n = ::recv(fd.get(), at, size, 0);
        if (n > 0) {
            at += n;
            size -= static_cast<std::size_t>(n);
        } else if (n == 0) {
            throw Failure{ncclRemoteError, "connection closed by remote peer"};
        } else if (errno == EAGAIN || errno == EINTR) {
            (void)cancel.wait(fd.get(), POLLIN, -1);
        } else {
            fail(ncclRemoteError, "receiving");
        }
    }
}

} // namespace standin
