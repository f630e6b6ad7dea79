// SPDX-License-Identifier: Apache-2.0
// floor RANKS   one message each way over bare sockets: a server on epoll reads everybody's message and, when it has
// all, sends everybody the answer. That all have come is all that a rank learns. Prints the time.
//
// With MESSAGES=2 a rank that has the answer says so, and hears when all have it: as much as the other contestants do.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "world.hpp"

#ifndef MESSAGES
#define MESSAGES 1
#endif

namespace {

using rendezvous::Message;

int checked(int result, const char* what) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), what);
    return result;
}

class Socket {
public:
    explicit Socket(int fd) : fd_(checked(fd, "a socket")) {
        const int on = 1;
        (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Socket& operator=(Socket&&) = delete;
    ~Socket() {
        if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int fd() const { return fd_; }

private:
    int fd_;
};

Socket connect_to(sockaddr_in address) {
    Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    checked(::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect");
    return socket;
}

class Server {
public:
    explicit Server(int ranks)
        : ranks_(static_cast<std::size_t>(ranks)),
          listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
          epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
        address_.sin_family = AF_INET;
        address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address_;
        checked(::bind(listener_.fd(), reinterpret_cast<const sockaddr*>(&address_), size), "bind");
        checked(::listen(listener_.fd(), SOMAXCONN), "listen");
        checked(::getsockname(listener_.fd(), reinterpret_cast<sockaddr*>(&address_), &size), "getsockname");
        watch(listener_.fd(), ranks_);
        clients_.reserve(ranks_);
    }

    [[nodiscard]] sockaddr_in address() const { return address_; }

    void run() {
        for (int i = 0; i < MESSAGES; ++i) answer_all();
    }

private:
    void answer_all() {
        Message answer{};
        std::size_t complete = 0;
        std::array<epoll_event, 256> events;
        while (complete < ranks_) {
            const int n = ::epoll_wait(epoll_.fd(), events.data(), static_cast<int>(events.size()), -1);
            for (int i = 0; i < n; ++i) {
                const auto index = events[static_cast<std::size_t>(i)].data.u64;
                if (index == ranks_) {
                    accept_all();
                } else if (clients_[index].read()) {
                    rendezvous::take_in(answer, clients_[index].message);
                    ++complete;
                }
            }
        }
        for (Client& client : clients_) {
            client.got = 0;
            if (::send(client.socket.fd(), answer.data(), answer.size(), MSG_NOSIGNAL) != std::ssize(answer))
                throw std::runtime_error("a rank does not read");
        }
    }

    struct Client {
        Socket socket;
        std::size_t got = 0;
        Message message{};

        /// True when the message is complete.
        bool read() {
            const auto n = ::recv(socket.fd(), message.data() + got, message.size() - got, 0);
            if (n == 0) throw std::runtime_error("a rank left");
            if (n > 0) got += static_cast<std::size_t>(n);
            return got == message.size();
        }
    };

    void watch(int fd, std::size_t index) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = index;
        checked(::epoll_ctl(epoll_.fd(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    }

    void accept_all() {
        for (;;) {
            const int fd = ::accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0 && errno == EAGAIN) return;
            clients_.push_back({Socket(fd)});
            watch(fd, clients_.size() - 1);
        }
    }

    std::size_t ranks_;
    Socket listener_;
    Socket epoll_;
    sockaddr_in address_{};
    std::vector<Client> clients_;
};

std::string measure(int ranks) {
    Server server(ranks);
    const sockaddr_in address = server.address();
    std::vector<Socket> first;
    first.push_back(connect_to(address));
    std::jthread thread([&] { server.run(); });

    const auto times = rendezvous::run(ranks, [&](int rank, const Message& wanted) {
        Socket socket = rank == 0 ? std::move(first[0]) : connect_to(address);
        const Message gift = rendezvous::gift_of(rank);
        for (int i = 0; i < MESSAGES; ++i) {
            if (::send(socket.fd(), gift.data(), gift.size(), MSG_NOSIGNAL) != std::ssize(gift))
                throw std::runtime_error("the server does not read");
            Message answer{};
            if (::recv(socket.fd(), answer.data(), answer.size(), MSG_WAITALL) != std::ssize(answer))
                throw std::runtime_error("the server left");
            rendezvous::require_answer(answer, wanted);
        }
        return socket;
    });
    return times.text() + "}";
}

} // namespace

int main(int argc, char** argv) { return rendezvous::program(argc, argv, measure); }
