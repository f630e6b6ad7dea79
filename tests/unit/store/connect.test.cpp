// SPDX-License-Identifier: Apache-2.0
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/connect.hpp>
#include <muster/store/handshake.hpp>
#include <muster/store/tcp_server.hpp>

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "sockets.hpp"

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace muster::detail;
using muster::Deadline;
using muster::errc;
using muster::Error;
using muster::TcpStoreServer;

namespace {

/// A port on which nobody listens: bound, so that nobody else gets it, and left to a server that asks for it.
struct DeafPort {
    Fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    std::uint16_t port = 0;
    DeafPort() {
        const Address address = look_up("127.0.0.1", 0, AI_NUMERICHOST).addresses.at(0);
        const int on = 1;
        REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
        REQUIRE(::bind(fd.get(), address.get(), address.size) == 0);
        port = bound_port(fd);
    }
};

Error failure(const std::string& host, std::uint16_t port, std::chrono::milliseconds wait) {
    try {
        (void)connect_store(host, port, Deadline::after(wait));
    } catch (const Error& error) {
        return error;
    }
    throw std::logic_error("it connected");
}

bool has(const Error& error, std::string_view text) { return error.text().find(text) != std::string_view::npos; }

/// Reads the handshake, sends `bytes`, waits for the client to leave.
void answer(Stream& stream, std::string_view bytes) {
    std::string words(handshake().size(), '\0');
    (void)stream.receive(words.data(), words.size(), RawClient::late());
    (void)stream.send(bytes, RawClient::late());
    char more;
    (void)stream.receive(&more, 1, RawClient::late());
}

void wait_for_the_end(Stream& stream) {
    char byte;
    while (stream.receive(&byte, 1, RawClient::late())) {
    }
}

/// As the server of torch 1.13 to 2.1, which knows SET (0) and GETNUMKEYS (6).
void torch_2_1(Stream& stream) {
    char bytes[8];
    while (stream.receive(bytes, 1, RawClient::late())) {
        if (bytes[0] == 6) {
            (void)stream.send("\x05\0\0\0\0\0\0\0"s, RawClient::late());
        } else if (bytes[0] == 0) {
            (void)stream.receive(bytes, 8, RawClient::late());
            if (get_int<std::uint64_t>(bytes) >> 57 != 0) return; // beyond any address space; less would be waited for
        }
    }
}

} // namespace

TEST_CASE("the handshake is nine bytes in one piece") {
    std::string seen;
    {
        FakeServer server([&](Stream& stream) {
            seen = std::string(stream.pending());
            while (seen.empty()) {
                (void)await_event(stream.fd(), POLLIN, RawClient::late());
                seen = std::string(stream.pending());
            }
            (void)stream.send(std::string(32, '\0'), RawClient::late());
        });
        CHECK(connect_store("127.0.0.1", server.port(), Deadline::after(30s)).is_open());
    }
    CHECK(seen == "\x00\xCE\xF7\x85\x3C\x07\x07\x07\x07"s);
    CHECK(handshake_before_validate() == "\x06\x06\x06\x06"s);
}

TEST_CASE("what the handshake asks for does not come in between later") {
    const std::string counts = "\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\xFF\xFF\xFF\xFF\0\0\0\0"s;
    FakeServer server([&](Stream& stream) { answer(stream, counts + "next"); });
    Stream stream = connect_store("127.0.0.1", server.port(), Deadline::after(30s));
    char next[4];
    REQUIRE(stream.receive(next, 4, RawClient::late()));
    CHECK(std::string_view(next, 4) == "next");
}

TEST_CASE("a server that is not there is named on time") {
    const DeafPort deaf;
    const auto start = Deadline::Clock::now();
    const Error error = failure("127.0.0.1", deaf.port, 300ms);
    const auto took = Deadline::Clock::now() - start;
    CHECK(took >= 290ms);
    CHECK(took < 20s);
    CHECK(error.code() == errc::connection);
    CHECK(error.stage() == muster::Stage::store);
    CHECK(has(error, "127.0.0.1:" + std::to_string(deaf.port)));
    CHECK(has(error, "Connection refused"));
    CHECK(has(error, "tries: "));
    CHECK(has(error, "do: "));
}

TEST_CASE("a name that does not resolve is named on time") {
    const Error error = failure("no-such-host.invalid", 29500, 300ms);
    CHECK(error.code() == errc::connection);
    CHECK(has(error, "no-such-host.invalid:29500"));
    CHECK(has(error, "cannot be resolved"));
    CHECK(has(error, "addresses: none"));
}

TEST_CASE("a host that swallows everything does not break the deadline") {
    // Listens, but is never accepted from: the handshake has no answer.
    const Listener silent = listen_on("127.0.0.1", 0);
    const Error error = failure("127.0.0.1", silent.port, 200ms);
    CHECK(error.code() == errc::connection);
    CHECK(has(error, "no answer in time"));
}

TEST_CASE("a server that is not c10d is named with what it sent") {
    FakeServer ssh([](Stream& stream) { answer(stream, "SSH-2.0-x\r\n"); });
    const Error error = failure("127.0.0.1", ssh.port(), 30s);
    CHECK(error.code() == errc::protocol);
    CHECK(has(error, "127.0.0.1:" + std::to_string(ssh.port())));
    CHECK(has(error, R"('SSH-2.0-x\x0d\x0a')"));

    // Says back what it hears; too many keys; says less than an answer has and leaves.
    FakeServer echo([](Stream& stream) { answer(stream, handshake() + handshake() + handshake() + handshake()); });
    CHECK(failure("127.0.0.1", echo.port(), 30s).code() == errc::protocol);
    FakeServer many([](Stream& stream) { answer(stream, "\0\0\0\0\1\0\0\0"s); });
    CHECK(has(failure("127.0.0.1", many.port(), 30s), R"('\x00\x00\x00\x00\x01\x00\x00\x00')"));
    FakeServer brief([](Stream& stream) { (void)stream.send("no\n", RawClient::late()); });
    const Error short_of_words = failure("127.0.0.1", brief.port(), 300ms);
    CHECK(short_of_words.code() == errc::connection);
    CHECK(has(short_of_words, R"(after 'no\x0a')"));
}

TEST_CASE("a server that hangs up is tried until the deadline") {
    std::atomic<int> connections = 0;
    FakeServer closes([&](Stream&) { ++connections; });
    const Error error = failure("127.0.0.1", closes.port(), 300ms);
    CHECK(error.code() == errc::connection);
    CHECK(has(error, "connected, but then"));
    CHECK(has(error, "do: see whether the process that serves it"));
    CHECK(connections >= 4);
}

TEST_CASE("the store of a torch without VALIDATE is named at once") {
    FakeServer server(torch_2_1);
    const auto start = Deadline::Clock::now();
    const Error error = failure("127.0.0.1", server.port(), 60s);
    CHECK(Deadline::Clock::now() - start < 20s);
    CHECK(error.code() == errc::protocol);
    CHECK(has(error, "what listens at 127.0.0.1:" + std::to_string(server.port()) +
                         " is the store of torch 2.1 or older, which speaks another protocol"));
    CHECK(has(error, "--rdzv-backend=c10d"));
}

TEST_CASE("a store that hangs up while it ends or starts is found when it is back") {
    // The first two connections are the handshake and the question whether it is an old store.
    int connections = 0;
    FakeServer closes([&](Stream& stream) {
        if (++connections > 4) (void)shake_hands(stream);
    });
    CHECK(connect_store("127.0.0.1", closes.port(), Deadline::after(30s)).is_open());

    // Back at once, it does not answer the words of an old one: that costs a second, not the time that is left.
    connections = 0;
    FakeServer silent([&](Stream& stream) {
        if (++connections == 2) wait_for_the_end(stream);
        if (connections > 2) (void)shake_hands(stream);
    });
    const auto start = Deadline::Clock::now();
    CHECK(connect_store("127.0.0.1", silent.port(), Deadline::after(60s)).is_open());
    CHECK(Deadline::Clock::now() - start < 20s);

    // Reset instead of closed, as where the handshake is left unread.
    connections = 0;
    FakeServer resets([&](Stream& stream) {
        if (++connections > 1) {
            (void)shake_hands(stream);
            return;
        }
        const linger at_once{1, 0};
        (void)::setsockopt(stream.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        (void)await_event(stream.fd(), POLLIN, RawClient::late());
    });
    CHECK(connect_store("127.0.0.1", resets.port(), Deadline::after(30s)).is_open());
}

TEST_CASE("a server that comes late is found") {
    const DeafPort deaf;
    std::optional<TcpStoreServer> server;
    std::thread starter([&] {
        const Deadline wait = Deadline::after(200ms);
        while (!wait.expired()) std::this_thread::yield();
        server.emplace("127.0.0.1", deaf.port);
    });
    CHECK(connect_store("127.0.0.1", deaf.port, Deadline::after(30s)).is_open());
    starter.join();
}

TEST_CASE("both families, with and without brackets") {
    TcpStoreServer v6("[::1]", 0);
    CHECK(connect_store("::1", v6.port(), Deadline::after(30s)).is_open());
    CHECK(connect_store("[::1]", v6.port(), Deadline::after(30s)).is_open());
    TcpStoreServer v4("127.0.0.1", 0);
    CHECK(connect_store("127.0.0.1", v4.port(), Deadline::after(30s)).is_open());
    CHECK(connect_store("localhost", v4.port(), Deadline::after(30s)).is_open());
    TcpStoreServer all("", 0);
    CHECK(connect_store("::1", all.port(), Deadline::after(30s)).is_open());
    CHECK(connect_store("127.0.0.1", all.port(), Deadline::after(30s)).is_open());
}

TEST_CASE("all addresses of a name are tried, and the name anew") {
    TcpStoreServer server("127.0.0.1", 0);
    FakeServer foreign([](Stream& stream) { answer(stream, "hello"); });
    const DeafPort deaf;
    const Listener silent = listen_on("127.0.0.1", 0);
    const auto address = [](std::uint16_t port) { return look_up("127.0.0.1", port, AI_NUMERICHOST).addresses.at(0); };
    int asked = 0;
    const Resolve name = [&](Deadline) -> Resolution {
        if (++asked < 3) return {{}, "not known yet"};
        return {{address(deaf.port), address(foreign.port()), address(silent.port), address(server.port())}, ""};
    };
    CHECK(connect_store("host:1", name, Deadline::after(3s)).is_open());
    CHECK(asked == 3);
}

TEST_CASE("addresses that cannot be meant") {
    CHECK(failure("", 29500, 1s).code() == errc::invalid_argument);
    CHECK(failure("127.0.0.1", 0, 1s).code() == errc::invalid_argument);
}
