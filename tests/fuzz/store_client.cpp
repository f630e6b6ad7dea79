// SPDX-License-Identifier: Apache-2.0
// A server that answers anything to a TcpStore. connect(2) leads to a pair of sockets in this process, and the replies
// lie there before the client reads. Where it waits for more, a clock of this program's goes on instead: nothing takes
// time, and the same bytes do the same each time.
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/exchange.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/handshake.hpp>
#include <muster/store/tcp.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz.hpp"

using fuzz::require;
using muster::Deadline;
using muster::TcpStore;

// The linker leads the client's calls to __wrap_ (--wrap).
extern "C" {
ssize_t __real_send(int fd, const void* bytes, std::size_t size, int flags);
int __real_poll(pollfd* entries, nfds_t count, int timeout);
}

namespace {

/// What the other end of the connection does.
class Server {
public:
    explicit Server(bool greets) : greets_(greets) {}

    /// What is to be said when the client has sent something, `skip` messages later.
    void reply(std::string_view bytes, unsigned skip) {
        due_ += bytes;
        skip_ = skip;
    }

    /// Nothing follows any more.
    void end() noexcept { last_ = true; }

    /// Whether the next connection begins with a handshake.
    void expect_handshake(bool expected) noexcept { handshake_ = expected; }

    [[nodiscard]] int connect(int fd) {
        std::array<int, 2> pair{};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) != 0) return -1;
        const muster::detail::Fd client(pair[0]);
        peer_ = muster::detail::Fd(pair[1]);
        if (::dup2(client.get(), fd) < 0) return -1;
        if (handshake_ && greets_) say(std::string(muster::detail::handshake_questions * sizeof(std::int64_t), '\0'));
        handshake_ = true; // only the first can be without
        return 0;
    }

    /// The client has sent something.
    void heard() {
        std::array<char, 4096> bytes;
        while (::read(peer_.get(), bytes.data(), bytes.size()) > 0) {
        }
        if (skip_ > 0) {
            --skip_;
            return;
        }
        say(due_);
        due_.clear();
        if (last_) (void)::shutdown(peer_.get(), SHUT_WR);
    }

private:
    void say(std::string_view bytes) const {
        // Fits into the buffer; the client may have closed its end.
        if (!bytes.empty()) (void)__real_send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }

    muster::detail::Fd peer_;
    std::string due_;
    unsigned skip_ = 0;
    bool greets_;
    bool handshake_ = true;
    bool last_ = false;
};

Server* server = nullptr; // of the present run
std::int64_t now = 1;     // nanoseconds

} // namespace

extern "C" {
int __wrap_connect(int fd, const sockaddr* address, socklen_t size);
ssize_t __wrap_send(int fd, const void* bytes, std::size_t size, int flags);
int __wrap_poll(pollfd* entries, nfds_t count, int timeout);
int __wrap_nanosleep(const timespec* wanted, timespec* left);
std::int64_t __wrap__ZNSt6chrono3_V212steady_clock3nowEv() noexcept; // as libstdc++ returns a time_point

int __wrap_connect(int fd, const sockaddr* /*address*/, socklen_t /*size*/) { return server->connect(fd); }

ssize_t __wrap_send(int fd, const void* bytes, std::size_t size, int flags) {
    const ssize_t n = __real_send(fd, bytes, size, flags);
    server->heard();
    return n;
}

int __wrap_poll(pollfd* entries, nfds_t count, int timeout) {
    const int n = __real_poll(entries, count, 0);
    require(n > 0 || timeout >= 0, "nobody waits for ever");
    if (n == 0) now += std::int64_t{timeout} * 1'000'000;
    return n;
}

int __wrap_nanosleep(const timespec* wanted, timespec* /*left*/) {
    now += wanted->tv_sec * 1'000'000'000 + wanted->tv_nsec;
    return 0;
}

// Goes on with each look, so that no loop looks at it for ever.
std::int64_t __wrap__ZNSt6chrono3_V212steady_clock3nowEv() noexcept { return now += 100; }
}

namespace {

Deadline soon() { return Deadline::after(std::chrono::seconds(2)); }

void operate(TcpStore& store, unsigned operation) {
    const std::vector<std::string> keys{"k", "another"};
    switch (operation % 12) {
        case 0: store.set("k", "v", soon()); break;
        case 1: require(!store.get("k", soon()).empty(), "a value is not empty"); break;
        case 2: (void)store.wait(keys, soon()); break;
        case 3: (void)store.check(keys, soon()); break;
        case 4: (void)store.add("k", 1, soon()); break;
        case 5: (void)store.compare_set("k", "", "v", soon()); break;
        case 6: store.append("k", "v", soon()); break;
        case 7: require(store.multi_get(keys, soon()).size() == keys.size(), "each key has a value"); break;
        case 8: store.multi_set(keys, keys, soon()); break;
        case 9: (void)store.remove("k", soon()); break;
        case 10: require(store.num_keys(soon()) >= 0, "a number of keys is not negative"); break;
        default: {
            muster::detail::Notes notes;
            notes.append("list", "entry");
            notes.set("k", "v");
            const auto value = store.exchange(notes, "answer", soon());
            require(!value || !value->empty(), "an answer is not empty");
        }
    }
}

void run(fuzz::Input& input) {
    const std::uint8_t how = input.byte();
    const bool proven = (how & 1U) == 0;
    Server other_end((how & 2U) == 0);
    other_end.expect_handshake(proven);
    server = &other_end;
    if ((how & 2U) != 0) other_end.reply(input.text(), 0); // instead of the greeting
    if (input.empty()) other_end.end();
    TcpStore store("127.0.0.1", 29500, soon(), proven ? muster::StoreServer::any : muster::StoreServer::muster);
    for (int i = 0; i < 16 && !input.empty(); ++i) {
        const std::uint8_t operation = input.byte();
        other_end.reply(input.text(), operation >> 7U);
        if (input.empty()) other_end.end();
        try {
            operate(store, operation);
        } catch (const muster::Error& error) {
            if (error.code() == muster::errc::closed) return;
        }
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    try {
        run(input);
    } catch (const muster::Error& error) {
        require(error.text().find("127.0.0.1:29500") != std::string_view::npos, "the text names the server");
    }
    return 0;
}
