// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/orders.hpp>
#include <muster/store/peer.hpp>
#include <muster/store/table.hpp>
#include <muster/store/watched.hpp>

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

namespace muster::inline v0_1 {

/// What a TcpStoreServer lets its clients take.
struct TcpStoreServerOptions {
    /// A client that sent part of a request, or has replies to read, and then does nothing for so long is dropped.
    std::chrono::milliseconds stall_timeout = std::chrono::seconds(30);
    /// Bytes of keys, values, requests and replies together. The client whose request would exceed it is dropped.
    std::size_t memory = std::size_t{1024} * 1024 * 1024;
};

namespace detail {

/// The loop of a store server: sockets, one Dialogue each, one KeyTable. One thread calls run(); the other functions
/// are for other threads.
class StoreService {
public:
    StoreService(Fd listener, TcpStoreServerOptions options)
        : options_(options),
          listener_(std::move(listener)),
          input_(std::make_unique_for_overwrite<char[]>(input_bytes)) {
        watched_.add(orders_.fd());
        watched_.add(listener_.get());
    }

    StoreService(const StoreService&) = delete;
    StoreService& operator=(const StoreService&) = delete;

    void run() noexcept {
        for (;;) {
            for (const epoll_event& event : watched_.wait(next_look())) {
                if (event.data.fd == orders_.fd()) {
                    const Order order = orders_.take();
                    if (order == Order::stop) return end_all();
                    if (order == Order::stop_listening) close_listener();
                } else if (event.data.fd == listener_.get()) {
                    accept_some();
                } else {
                    serve(event.data.fd, event.events);
                }
            }
            if (accept_again_ && accept_again_->expired()) listen_again();
            if (sweep_at_ && sweep_at_->expired()) sweep();
        }
    }

    void stop() noexcept { orders_.give(Order::stop); }

    /// Takes no more connections; the port is free for another server from soon after on.
    void stop_listening() noexcept { orders_.give(Order::stop_listening); }

    [[nodiscard]] std::size_t connections() const {
        const std::lock_guard lock(mutex_);
        return introduced_;
    }

    [[nodiscard]] bool drain(Deadline deadline) const {
        std::unique_lock lock(mutex_);
        return left_.wait_until(lock, deadline.at(), [this] { return introduced_ == 0; });
    }

    [[nodiscard]] bool drain_wills(Deadline deadline) const {
        std::unique_lock lock(mutex_);
        return left_.wait_until(lock, deadline.at(), [this] { return missed_ == 0; });
    }

private:
    static constexpr std::size_t input_bytes = std::size_t{64} * 1024;

    struct Client final : Peer {
        using Peer::Peer;
        std::size_t counted = 0;         ///< what it has in held_
        bool writing = false;            ///< waits for room to send
        bool counted_in = false;         ///< in introduced_
        bool missed = false;             ///< counted in missed_
        std::optional<Deadline> stalled; ///< when it is dropped unless it goes on
    };

    using Order = ServiceOrders::Order;

    [[nodiscard]] Deadline next_look() const noexcept {
        Deadline next = Deadline::never();
        if (accept_again_) next = std::min(next, *accept_again_);
        if (sweep_at_) next = std::min(next, *sweep_at_);
        return next;
    }

    void accept_some() noexcept {
        // In portions, so that a storm of connections does not keep the others waiting.
        for (int i = 0; i < 64; ++i) {
            Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!fd) {
                if (errno == EAGAIN || errno == EWOULDBLOCK) return;
                if (errno == EINTR || errno == ECONNABORTED) continue;
                return rest();
            }
            const int number = fd.get();
            try {
                clients_.emplace(number, std::make_unique<Client>(std::move(fd), table_));
                watched_.add(number);
            } catch (...) {
                clients_.erase(number);
                return rest();
            }
        }
    }

    /// Out of file descriptors or memory: leaves new connections in the queue for a while, for the listener would
    /// report them without end.
    void rest() noexcept {
        if (watched_.change(listener_.get(), 0)) accept_again_ = Deadline::after(std::chrono::milliseconds(100));
    }

    void end_all() noexcept {
        close_listener();
        for (const auto& client : clients_) watched_.end(client.first);
    }

    void close_listener() noexcept {
        watched_.end(listener_.get());
        listener_.reset();
        accept_again_.reset();
    }

    void listen_again() noexcept {
        accept_again_.reset();
        if (!watched_.change(listener_.get(), EPOLLIN)) rest();
    }

    void serve(int fd, std::uint32_t events) noexcept {
        const auto found = clients_.find(fd);
        if (found == clients_.end()) return; // dropped earlier in this round
        Client& client = *found->second;
        const std::size_t before = held_ + table_.bytes();
        bool keep = false;
        try {
            keep = (events & ~static_cast<std::uint32_t>(EPOLLOUT)) == 0 || read(client);
        } catch (...) {
            // Out of memory: costs the client that asked, nobody else.
        }
        // Also when it is dropped now, for what it did until then counts. It may be among those who are answered.
        answer_ready();
        if (!clients_.contains(fd)) return;
        if (keep && flush(client)) {
            note_stall(client, true);
            const std::size_t now = count(client) + table_.bytes();
            if (now <= options_.memory || now <= before) return;
        }
        drop(fd);
        answer_ready();
    }

    bool read(Client& client) {
        const bool keep = client.receive({input_.get(), input_bytes});
        note_presence(client, client.introduced(), client.has_will());
        return keep;
    }

    /// Whom a drain waits for.
    void note_presence(Client& client, bool introduced, bool missed) noexcept {
        if (client.counted_in == introduced && client.missed == missed) return;
        const std::lock_guard lock(mutex_);
        if (client.counted_in != introduced) introduced ? ++introduced_ : --introduced_;
        if (client.missed != missed) missed ? ++missed_ : --missed_;
        client.counted_in = introduced;
        client.missed = missed;
        left_.notify_all();
    }

    /// Tells those whose keys have come.
    void answer_ready() noexcept {
        while (Waiter* const waiter = table_.take_ready()) {
            auto& client = static_cast<Client&>(*waiter);
            try {
                client.answer_wait();
                if (flush(client)) {
                    note_stall(client, false);
                    continue;
                }
            } catch (...) {
            }
            drop(client.fd());
        }
    }

    /// False when the connection is to be closed.
    bool flush(Client& client) noexcept {
        if (!client.flush()) return false;
        if (client.writing == client.unsent()) return true;
        client.writing = client.unsent();
        return watched_.change(client.fd(), client.writing ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }

    /// Starts, restarts or stops the clock of a client that owes the rest of a request or has replies to read.
    void note_stall(Client& client, bool progress) noexcept {
        if (!client.mid_request() && !client.unsent()) {
            client.stalled.reset();
        } else if (progress || !client.stalled) {
            client.stalled = Deadline::after(options_.stall_timeout);
            sweep_at_ = sweep_at_ ? std::min(*sweep_at_, *client.stalled) : *client.stalled;
        }
    }

    void sweep() noexcept {
        std::optional<Deadline> next;
        for (auto each = clients_.begin(); each != clients_.end();) {
            const auto [fd, client] = std::pair(each->first, each->second.get());
            ++each; // before drop takes it away
            if (!client->stalled) continue;
            if (client->stalled->expired())
                drop(fd);
            else
                next = next ? std::min(*next, *client->stalled) : *client->stalled;
        }
        // Not for every client anew, where many come and go.
        if (next) next = std::max(*next, Deadline::after(options_.stall_timeout / 8));
        sweep_at_ = next;
        answer_ready();
    }

    /// Brings held_ up to date with `client`; returns it.
    std::size_t count(Client& client) noexcept {
        held_ -= std::exchange(client.counted, client.bytes());
        return held_ += client.counted;
    }

    /// Closes a connection and carries out its wills. To be followed by answer_ready().
    void drop(int fd) noexcept {
        const auto found = clients_.find(fd);
        held_ -= found->second->counted;
        try {
            found->second->execute_wills();
        } catch (...) {
            // Out of memory: the others learn of it by their deadline.
        }
        note_presence(*found->second, false, false);
        watched_.end(fd);
        clients_.erase(found);
    }

    TcpStoreServerOptions options_;
    Fd listener_;
    WatchedSockets watched_;
    ServiceOrders orders_;
    std::unique_ptr<char[]> input_;
    KeyTable table_;
    std::unordered_map<int, std::unique_ptr<Client>> clients_; ///< by file descriptor; above them their table
    std::size_t held_ = 0;                                     ///< memory of all clients
    std::optional<Deadline> sweep_at_;                         ///< when to look for clients that stalled
    std::optional<Deadline> accept_again_;

    mutable std::mutex mutex_;
    mutable std::condition_variable left_;
    std::size_t introduced_ = 0; ///< clients that speak the protocol; with mutex_
    std::size_t missed_ = 0;     ///< those of them that left a will; with mutex_
};

} // namespace detail
} // namespace muster::inline v0_1
