// SPDX-License-Identifier: Apache-2.0
#include <muster/core/deadline.hpp>
#include <muster/store/tcp_server.hpp>
#include <muster/store/wire.hpp>

#include <catch2/catch_test_macros.hpp>

#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "sockets.hpp"

using namespace std::chrono_literals;
using namespace muster::detail;
using muster::Deadline;
using muster::TcpStoreServer;

namespace {

constexpr std::size_t connections = 10'000;
constexpr std::size_t other_files = 100;

/// What two processes tell each other: whole numbers, one after the other.
class Pipe {
public:
    Pipe() {
        int ends[2];
        if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
        out_ = Fd(ends[0]);
        in_ = Fd(ends[1]);
    }
    void put(std::uint32_t number) {
        if (::write(in_.get(), &number, sizeof number) != sizeof number) throw std::runtime_error("nobody reads");
    }
    /// Nothing when the other side has ended.
    std::optional<std::uint32_t> take() {
        std::uint32_t number = 0;
        if (::read(out_.get(), &number, sizeof number) != sizeof number) return std::nullopt;
        return number;
    }
    void only_read() { in_.reset(); }
    void only_write() { out_.reset(); }

private:
    Fd out_, in_;
};

std::string key_of(std::size_t i) { return "key " + std::to_string(i); }

/// Connects all, then talks to all: each sets a key of its own, waits for its neighbour's and gets it.
std::vector<RawClient> connect_and_ask(std::uint16_t port) {
    const std::string validate = RequestWriter(Opcode::validate).number(wire_magic).bytes();
    std::vector<RawClient> clients;
    clients.reserve(connections);
    for (std::size_t i = 0; i < connections; ++i)
        clients.emplace_back(port).send(validate + RequestWriter(Opcode::set).key(key_of(i)).value(key_of(i)).bytes());
    for (std::size_t i = 0; i < connections; ++i)
        clients[i].send(RequestWriter(Opcode::wait).count(1).key(key_of((i + 1) % connections)).bytes());
    for (std::size_t i = 0; i < connections; ++i) {
        if (clients[i].read(1).front() != wire_wait_done)
            throw std::runtime_error("client " + std::to_string(i) + " waits in vain");
        clients[i].send(RequestWriter(Opcode::get).key(key_of((i + 1) % connections)).bytes());
    }
    for (std::size_t i = 0; i < connections; ++i) {
        const std::string value = key_of((i + 1) % connections);
        if (get_int<std::uint64_t>(clients[i].read(sizeof(std::uint64_t)).data()) != value.size() ||
            clients[i].read(value.size()) != value)
            throw std::runtime_error("client " + std::to_string(i) + " got a wrong answer");
    }
    return clients;
}

} // namespace

// Two processes: one may not be allowed to have both ends of all connections.
TEST_CASE("ten thousand connections are accepted and answered") {
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < connections + other_files)
        SKIP("this process may have " << limit.rlim_max << " files (ulimit -Hn), and the test needs "
                                      << connections + other_files);
    const rlimit old = limit;
    limit.rlim_cur = limit.rlim_max;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    Pipe to_clients;
    Pipe from_clients;
    const pid_t clients = ::fork(); // before there is a thread
    REQUIRE(clients >= 0);
    if (clients == 0) {
        int status = 1;
        try {
            to_clients.only_read();
            from_clients.only_write();
            if (const auto port = to_clients.take()) {
                const auto all = connect_and_ask(static_cast<std::uint16_t>(*port));
                from_clients.put(0); // they are answered, and still there
                (void)to_clients.take();
                status = 0;
            }
        } catch (const std::exception& error) {
            std::fprintf(stderr, "the clients: %s\n", error.what());
        }
        ::_exit(status);
    }
    to_clients.only_write();
    from_clients.only_read();
    const TcpStoreServer server("127.0.0.1", 0);
    to_clients.put(server.port());
    const bool answered = from_clients.take().has_value();
    const std::size_t seen = server.connections();
    to_clients.only_read(); // ends the wait of the other process
    int status = 1;
    REQUIRE(::waitpid(clients, &status, 0) == clients);
    CHECK(status == 0);
    CHECK(answered);
    CHECK(seen == connections);
    CHECK(server.drain(Deadline::after(30s)));
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &old) == 0);
}
