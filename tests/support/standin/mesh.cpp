// SPDX-License-Identifier: Apache-2.0
#include "mesh.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

namespace standin {

Mesh::Mesh(int rank, std::vector<Fd> fds, std::function<void(int)> lost)
    : rank_(rank),
      peers_(fds.size()),
      lost_(std::move(lost)),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    for (std::size_t peer = 0; peer < fds.size(); ++peer) peers_[peer].fd = std::move(fds[peer]);
    peers_[static_cast<std::size_t>(rank)].bye = true;
}

void Mesh::start() {
    if (size() > 1) std::thread([self = shared_from_this()] { self->run(); }).detach();
}

std::deque<Message>& Mesh::inbox(int peer, Kind kind) {
    return peers_[static_cast<std::size_t>(peer)].inbox[static_cast<std::size_t>(kind)];
}

int Mesh::first_lost() const {
    const auto found = std::find_if(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.lost; });
    return found == peers_.end() ? -1 : static_cast<int>(found - peers_.begin());
}

bool Mesh::all_sent() const {
    return std::all_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.outbox.empty() || !peer.fd; });
}

bool Mesh::all_said_bye() const {
    return std::all_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.bye; });
}

void Mesh::send(int to, Message message) {
    const Lock held(mutex_);
    message.header.bytes = message.data.size();
    auto& peer = peers_[static_cast<std::size_t>(to)];
    if (to == rank_) {
        peer.inbox[static_cast<std::size_t>(message.header.kind)].push_back(std::move(message));
        changed_.notify_all();
        return;
    }
    if (!peer.fd) return; // who waits for that rank hears of the loss
    std::vector<char> bytes(sizeof(Header) + message.data.size());
    std::memcpy(bytes.data(), &message.header, sizeof(Header));
    if (!message.data.empty()) std::memcpy(bytes.data() + sizeof(Header), message.data.data(), message.data.size());
    peer.outbox.push_back(std::move(bytes));
    wake();
}

void Mesh::say_bye() {
    for (int peer = 0; peer < size(); ++peer) {
        if (peer != rank_) send(peer, {Header{.kind = Kind::bye}, {}});
    }
}

void Mesh::end_quietly() {
    const Lock held(mutex_);
    quiet_ = true;
    wake();
}

void Mesh::cut() {
    const Lock held(mutex_);
    cut_ = true;
    for (auto& peer : peers_) {
        // The thread of the mesh may poll it: it is only shut here, and closed there.
        if (peer.fd) (void)::shutdown(peer.fd.get(), SHUT_RDWR);
    }
    changed_.notify_all();
    wake();
}

void Mesh::wake() const {
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof(one));
}

void Mesh::close(Peer& peer, int number) {
    peer.fd.reset();
    peer.outbox.clear();
    if (!peer.bye && !cut_) {
        peer.lost = true;
        lost_(number);
    }
    changed_.notify_all();
}

/// Files what came whole and makes room for the next.
bool Mesh::arrived(Peer& peer) {
    if (peer.received < sizeof(Header)) return false;
    peer.incoming.data.resize(peer.incoming.header.bytes);
    if (peer.received < sizeof(Header) + peer.incoming.data.size()) return false;
    const auto kind = static_cast<std::size_t>(peer.incoming.header.kind);
    if (peer.incoming.header.kind == Kind::bye) peer.bye = true;
    peer.inbox[std::min(kind, kinds - 1)].push_back(std::move(peer.incoming));
    peer.incoming = {};
    peer.received = 0;
    changed_.notify_all();
    return true;
}

void Mesh::read(Peer& peer, int number) {
    for (;;) {
        char* to = nullptr;
        std::size_t left = 0;
        if (peer.received < sizeof(Header)) {
            to = reinterpret_cast<char*>(&peer.incoming.header) + peer.received;
            left = sizeof(Header) - peer.received;
        } else {
            const auto at = peer.received - sizeof(Header);
            to = peer.incoming.data.data() + at;
            left = peer.incoming.data.size() - at;
        }
        const auto n = ::recv(peer.fd.get(), to, left, 0);
        if (n > 0) {
            peer.received += static_cast<std::size_t>(n);
            arrived(peer);
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else {
            close(peer, number);
            return;
        }
    }
}

void Mesh::write(Peer& peer, int number) {
    while (peer.fd && !peer.outbox.empty()) {
        const auto& bytes = peer.outbox.front();
        const auto n = ::send(peer.fd.get(), bytes.data() + peer.sent, bytes.size() - peer.sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) {
            read(peer, number); // what came before the end still counts
            if (peer.fd) close(peer, number);
            return;
        }
        peer.sent += static_cast<std::size_t>(n);
        if (peer.sent < bytes.size()) continue;
        peer.outbox.pop_front();
        peer.sent = 0;
        changed_.notify_all();
    }
}

void Mesh::run() {
    std::vector<pollfd> fds;
    std::vector<int> numbers;
    for (;;) {
        fds.assign(1, {wake_.get(), POLLIN, 0});
        numbers.assign(1, -1);
        {
            const Lock held(mutex_);
            for (int number = 0; number < size(); ++number) {
                auto& peer = peers_[static_cast<std::size_t>(number)];
                if (!peer.fd) continue;
                if (cut_) {
                    peer.fd.reset();
                    continue;
                }
                if (quiet_ && peer.outbox.empty() && !peer.shut) {
                    peer.shut = true;
                    (void)::shutdown(peer.fd.get(), SHUT_WR);
                }
                const int events = peer.outbox.empty() ? POLLIN : POLLIN | POLLOUT;
                fds.push_back({peer.fd.get(), static_cast<short>(events), 0});
                numbers.push_back(number);
            }
            if (cut_ || fds.size() == 1) return;
        }
        (void)::poll(fds.data(), fds.size(), -1);
        std::uint64_t ignored = 0;
        if (fds[0].revents != 0) (void)!::read(wake_.get(), &ignored, sizeof(ignored));
        const Lock held(mutex_);
        for (std::size_t i = 1; i < fds.size() && !cut_; ++i) {
            auto& peer = peers_[static_cast<std::size_t>(numbers[i])];
            if ((fds[i].revents & POLLOUT) != 0) write(peer, numbers[i]);
            if (peer.fd && (fds[i].revents & ~POLLOUT) != 0) read(peer, numbers[i]);
        }
    }
}

} // namespace standin
