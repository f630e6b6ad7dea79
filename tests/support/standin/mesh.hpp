// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "socket.hpp"

namespace standin {

enum class Kind : std::uint32_t { collective, pair, receipt, control, bye };
inline constexpr std::size_t kinds = 5;

/// Before each message. All fields that describe a call are zero for the messages that belong to none.
struct Header {
    std::uint64_t communicator = 0;
    Kind kind = Kind::control;
    std::uint32_t call = 0;
    std::uint64_t number = 0;      // of the call within its kind
    std::uint64_t collectives = 0; // how many the sender began before it
    std::uint64_t count = 0;
    std::int32_t type = 0;
    std::int32_t op = 0;
    std::int32_t root = 0;
    std::uint32_t unused = 0;
    std::uint64_t bytes = 0; // that follow
};

struct Message {
    Header header;
    std::vector<char> data;
};

/// One socket to each other rank of a communicator, and one thread that reads and writes them all: nobody else ever
/// waits for a full or an empty socket.
class Mesh : public std::enable_shared_from_this<Mesh> {
public:
    /// `lost` is told, in the thread of the mesh, when a rank went without a goodbye.
    Mesh(int rank, std::vector<Fd> fds, std::function<void(int)> lost);

    /// To be called once, when a shared_ptr holds it.
    void start();

    void send(int peer, Message message);

    using Lock = std::unique_lock<std::mutex>;

    /// Blocks until the condition holds or the mesh is cut off; says whether it holds. Conditions are asked under the
    /// lock of the mesh, which is held on return.
    template <class Condition>
    bool wait(Lock& lock, Condition condition) {
        changed_.wait(lock, [&] { return cut_ || condition(); });
        return !cut_ && condition();
    }

    /// The same, whether or not it is cut off.
    template <class Condition>
    void wait_always(Lock& lock, Condition condition) {
        changed_.wait(lock, condition);
    }

    Lock lock() { return Lock(mutex_); }
    void notify() { changed_.notify_all(); }

    // Under the lock.
    std::deque<Message>& inbox(int peer, Kind kind);
    bool is_lost(int peer) const { return peers_[static_cast<std::size_t>(peer)].lost; }
    bool said_bye(int peer) const { return peers_[static_cast<std::size_t>(peer)].bye; }
    int first_lost() const;
    bool all_sent() const;
    bool all_said_bye() const;

    /// Says goodbye to all: that this side closes is then no loss.
    void say_bye();

    /// Closes each socket once the other side has.
    void end_quietly();

    /// Closes all at once and ends all waits.
    void cut();

    int size() const { return static_cast<int>(peers_.size()); }
    int rank() const { return rank_; }

private:
    struct Peer {
        Fd fd;
        std::deque<Message> inbox[kinds];
        std::deque<std::vector<char>> outbox;
        std::size_t sent = 0; // of the first in the outbox
        Message incoming;
        std::size_t received = 0; // of the incoming header and data
        bool bye = false;
        bool lost = false;
        bool shut = false;
    };

    void run();
    void read(Peer& peer, int number);
    bool arrived(Peer& peer);
    void write(Peer& peer, int number);
    void close(Peer& peer, int number);
    void wake() const;

    const int rank_;
    std::vector<Peer> peers_;
    std::function<void(int)> lost_;
    std::mutex mutex_;
    std::condition_variable changed_;
    Fd wake_;
    bool cut_ = false;
    bool quiet_ = false;
};

} // namespace standin
