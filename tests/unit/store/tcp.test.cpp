// SPDX-License-Identifier: Apache-2.0
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/tcp.hpp>
#include <muster/store/tcp_server.hpp>

#include <catch2/catch_test_macros.hpp>

#include <signal.h>
#include <sys/time.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "sockets.hpp"

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace muster::detail;
using muster::Deadline;
using muster::errc;
using muster::Error;
using muster::TcpStore;
using muster::TcpStoreServer;
using Keys = std::vector<std::string>;

static_assert(!std::is_copy_constructible_v<TcpStore> && !std::is_copy_assignable_v<TcpStore>);
static_assert(std::is_nothrow_move_constructible_v<TcpStore> && std::is_nothrow_move_assignable_v<TcpStore>);

namespace {

Deadline soon() { return Deadline::after(30s); }

/// Answers the handshake, reads one request and sends `reply`; then waits for the client to leave, or leaves.
FakeServer::Talk replies(std::string reply, bool stay = true) {
    return [reply = std::move(reply), stay](Stream& stream) {
        char bytes[10];
        (void)shake_hands(stream);
        (void)stream.receive(bytes, 1, soon());
        (void)stream.pending();
        (void)stream.send(reply, soon());
        while (stay && stream.receive(bytes, 1, soon())) {
        }
    };
}

std::optional<Error> failure(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        return error;
    }
    return std::nullopt;
}

bool has(const std::optional<Error>& error, std::string_view text) {
    return error && error->text().find(text) != std::string_view::npos;
}

std::string number(std::uint64_t n) {
    std::string out;
    put_int(out, n);
    return out;
}

/// The store fails with this code, names the server, and is dead then.
void fails(const std::string& reply, bool stay, errc code, const std::function<void(TcpStore&)>& call) {
    FakeServer server(replies(reply, stay));
    TcpStore store("127.0.0.1", server.port(), soon());
    const auto error = failure([&] { call(store); });
    REQUIRE(error);
    CHECK(error->code() == code);
    CHECK(has(error, "127.0.0.1:" + std::to_string(server.port())));
    const auto after = failure([&] { (void)store.check(Keys{"key"}, soon()); });
    REQUIRE(after);
    CHECK(after->code() == errc::closed);
    CHECK(has(after, "127.0.0.1:" + std::to_string(server.port())));
    CHECK(failure([&] { (void)store.wait(Keys{"key"}, Deadline()); })->code() == errc::closed);
}

} // namespace

TEST_CASE("replies that the protocol does not allow") {
    fails("\x02", true, errc::protocol, [](TcpStore& store) { (void)store.check(Keys{"key"}, soon()); });
    fails("\x01", true, errc::protocol, [](TcpStore& store) { (void)store.wait(Keys{"key"}, soon()); });
    fails(number(static_cast<std::uint64_t>(-1)), true, errc::protocol,
          [](TcpStore& store) { (void)store.num_keys(soon()); });
    // Lengths that would be allocated.
    for (const std::uint64_t size : {std::uint64_t{muster::max_grown_value_bytes} + 1, ~std::uint64_t{0}})
        fails(number(size), true, errc::protocol,
              [](TcpStore& store) { (void)store.compare_set("key", "", "want", soon()); });
}

TEST_CASE("a server that hangs up in the middle") {
    fails("", false, errc::connection, [](TcpStore& store) { (void)store.num_keys(soon()); });
    fails("\1\0\0"s, false, errc::connection, [](TcpStore& store) { (void)store.num_keys(soon()); });
    fails(number(100) + "part", false, errc::connection,
          [](TcpStore& store) { (void)store.compare_set("key", "", "want", soon()); });
    fails("", false, errc::connection, [](TcpStore& store) { (void)store.wait(Keys{"key"}, soon()); });
}

TEST_CASE("a deadline in the middle of a message") {
    const auto short_time = [] { return Deadline::after(100ms); };
    fails("", true, errc::timeout, [&](TcpStore& store) { (void)store.num_keys(short_time()); });
    fails("\1\0\0"s, true, errc::timeout, [&](TcpStore& store) { (void)store.num_keys(short_time()); });
    fails(number(1 << 20) + "part", true, errc::timeout,
          [&](TcpStore& store) { (void)store.compare_set("key", "", "want", short_time()); });
}

TEST_CASE("a server that reads nothing ends a large set at the deadline") {
    std::promise<void> over;
    FakeServer server([&over](Stream& stream) {
        (void)shake_hands(stream);
        (void)over.get_future().wait_for(30s);
    });
    TcpStore store("127.0.0.1", server.port(), soon());
    const std::string value(muster::max_value_bytes, 'x');
    const Deadline deadline = Deadline::after(200ms);
    std::optional<Error> error;
    for (int i = 0; i < 20 && !error; ++i) error = failure([&] { store.set("key", value, deadline); });
    REQUIRE(error);
    CHECK(error->code() == errc::timeout);
    CHECK(failure([&] { store.set("key", "x", soon()); })->code() == errc::closed);
    over.set_value();
}

TEST_CASE("a server that does not answer a cancelled wait") {
    FakeServer server(replies(""));
    TcpStore store("127.0.0.1", server.port(), soon());
    CHECK_FALSE(store.wait(Keys{"key"}, Deadline::after(50ms)));
    CHECK_FALSE(store.wait(Keys{"key"}, Deadline::after(50ms)));
    CHECK(failure([&] { (void)store.num_keys(Deadline::after(50ms)); })->code() == errc::timeout);
}

TEST_CASE("a wait that was done as it was cancelled") {
    // 0 and 1 come late; then the reply to num_keys.
    FakeServer server([](Stream& stream) {
        char bytes[64];
        (void)shake_hands(stream);
        (void)stream.receive(bytes, 1 + 8 + 8 + 4, soon()); // WAIT "/key"
        (void)stream.receive(bytes, 1, soon());             // CANCEL_WAIT
        (void)stream.send("\0\1"s, soon());
        (void)stream.receive(bytes, 1, soon()); // GETNUMKEYS
        (void)stream.send(number(5), soon());
        (void)stream.receive(bytes, 1, soon());
    });
    TcpStore store("127.0.0.1", server.port(), soon());
    CHECK_FALSE(store.wait(Keys{"key"}, Deadline::after(20ms)));
    CHECK(store.num_keys(soon()) == 5);
}

TEST_CASE("a server that ends in the middle of a wait is named at once") {
    auto server = std::make_unique<TcpStoreServer>("127.0.0.1", 0);
    const std::string address = "127.0.0.1:" + std::to_string(server->port());
    TcpStore store("127.0.0.1", server->port(), soon());
    TcpStore other("127.0.0.1", server->port(), soon());
    CHECK(store.address() == address);
    auto waited = std::async(std::launch::async,
                             [&] { return failure([&] { (void)store.get("never set", Deadline::after(10min)); }); });
    CHECK(waited.wait_for(20ms) == std::future_status::timeout);
    server.reset();
    REQUIRE(waited.wait_for(20s) == std::future_status::ready);
    const auto error = waited.get();
    REQUIRE(error);
    CHECK(error->code() == errc::connection);
    CHECK(has(error, address));
    CHECK(has(error, "never set"));
}

TEST_CASE("a value that is removed between wait and get is waited for again") {
    // First GET finds it gone; the second has it.
    FakeServer server([](Stream& stream) {
        char bytes[64];
        (void)shake_hands(stream);
        for (const std::string& value : {""s, "here"s}) {
            (void)stream.receive(bytes, 1 + 8 + 8 + 4, soon()); // WAIT "/key"
            (void)stream.send("\0"s, soon());
            (void)stream.receive(bytes, 1 + 8 + 4, soon()); // GET "/key"
            (void)stream.send(number(value.size()) + value, soon());
        }
        (void)stream.receive(bytes, 1, soon());
    });
    TcpStore store("127.0.0.1", server.port(), soon());
    CHECK(store.get("key", soon()) == "here");
}

TEST_CASE("a refused request says so at the next reply") {
    TcpStoreServer server("127.0.0.1", 0);
    TcpStore store("127.0.0.1", server.port(), soon());
    store.set("key", "text", soon());
    const auto error = failure([&] { store.add("key", 1, soon()); });
    REQUIRE(error);
    CHECK(error->code() == errc::connection);
    CHECK(has(error, "adding to the number at 'key'"));
    CHECK(has(error, "refused the request"));
}

TEST_CASE("signals do not disturb a store") {
    TcpStoreServer server("127.0.0.1", 0);
    TcpStore store("127.0.0.1", server.port(), soon());
    struct sigaction count {};
    struct sigaction old {};
    static volatile std::sig_atomic_t signals = 0;
    count.sa_handler = [](int) { signals = signals + 1; };
    REQUIRE(::sigaction(SIGALRM, &count, &old) == 0); // without SA_RESTART
    const itimerval often{{0, 500}, {0, 500}};
    REQUIRE(::setitimer(ITIMER_REAL, &often, nullptr) == 0);
    const auto start = Deadline::Clock::now();
    CHECK_FALSE(store.wait(Keys{"key"}, Deadline::after(100ms)));
    CHECK(Deadline::Clock::now() - start >= 100ms);
    const std::string value(muster::max_value_bytes, 'x');
    for (int i = 0; i < 5; ++i) {
        store.set("key", value, soon());
        CHECK(store.get("key", soon()) == value);
        CHECK(TcpStore("localhost", server.port(), soon()).num_keys(soon()) == 1);
    }
    const itimerval never{};
    REQUIRE(::setitimer(ITIMER_REAL, &never, nullptr) == 0);
    REQUIRE(::sigaction(SIGALRM, &old, nullptr) == 0);
    CHECK(signals > 10);
}

namespace {

Notes notes() {
    Notes notes;
    notes.append("list", "a");
    notes.append("list", "b");
    notes.set("mine", "1");
    return notes;
}

} // namespace

TEST_CASE("an exchange tells, waits and gets") {
    const TcpStoreServer server("127.0.0.1", 0);
    for (const auto kind : {muster::StoreServer::any, muster::StoreServer::muster}) {
        TcpStore store("127.0.0.1", server.port(), soon(), kind);
        TcpStore other("127.0.0.1", server.port(), soon());
        (void)other.remove("list", soon());
        (void)other.remove("answer", soon());
        auto answer = std::async(std::launch::async, [&] { return store.exchange(notes(), "answer", soon()); });
        CHECK(other.get("mine", soon()) == "1");
        CHECK(other.get("list", soon()) == "ab");
        other.set("answer", "42", soon());
        CHECK(answer.get() == "42");
        CHECK(store.exchange({}, "answer", soon()) == "42");
        CHECK(store.get("answer", soon()) == "42");
    }
}

TEST_CASE("an exchange whose time is up has told, and leaves the store usable") {
    const TcpStoreServer server("127.0.0.1", 0);
    for (const auto kind : {muster::StoreServer::any, muster::StoreServer::muster}) {
        TcpStore store("127.0.0.1", server.port(), soon(), kind);
        CHECK_FALSE(store.exchange(notes(), "never", Deadline::after(50ms)));
        CHECK(store.get("mine", soon()) == "1");
        Notes last;
        last.set("last", "2");
        CHECK_FALSE(store.exchange(last, "never", Deadline())); // no time at all
        CHECK(store.get("last", soon()) == "2");
        // Done just as it was cancelled: the value that comes behind is taken, too.
        TcpStore other("127.0.0.1", server.port(), soon());
        for (int i = 0; i < 200; ++i) {
            const std::string key = "key" + std::to_string(i);
            auto setting = std::async(std::launch::async, [&] { other.set(key, "v", soon()); });
            const auto value = store.exchange({}, key, Deadline::after(1ms));
            CHECK((!value || *value == "v"));
            setting.get();
            CHECK(store.get(key, soon()) == "v");
        }
    }
}

TEST_CASE("a connection that proved nothing is made anew, and all is told again") {
    std::optional<TcpStoreServer> server;
    const std::uint16_t port = listen_on("127.0.0.1", 0).port;
    {
        // It takes the connection and ends without a word, as one whose backlog is thrown away.
        FakeServer silent([](Stream&) {});
        TcpStore store("127.0.0.1", silent.port(), Deadline::after(300ms), muster::StoreServer::muster);
        const auto error = failure([&] { (void)store.exchange(notes(), "k", Deadline::after(300ms)); });
        REQUIRE(error);
        CHECK(error->code() == errc::connection);
        CHECK(error->stage() == muster::Stage::rendezvous);
        CHECK(error->text().find("no store could be reached at 127.0.0.1:") != std::string_view::npos);
    }
    server.emplace("127.0.0.1", port);
    TcpStore store("127.0.0.1", port, soon(), muster::StoreServer::muster);
    server.reset(); // before anything was told
    server.emplace("127.0.0.1", port);
    CHECK_FALSE(store.exchange(notes(), "never", Deadline::after(100ms)));
    CHECK(store.get("list", soon()) == "ab");
}

TEST_CASE("what is told first, but not in an exchange, is told to a proven store") {
    FakeServer greeter([](Stream& stream) { (void)stream.send("HTTP/1.1 400 Bad Request\r\n", soon()); });
    TcpStore store("127.0.0.1", greeter.port(), soon(), muster::StoreServer::muster);
    const auto error = failure([&] { store.set("k", "v", soon()); });
    REQUIRE(error);
    CHECK(error->code() == errc::protocol);
    const TcpStoreServer server("127.0.0.1", 0);
    TcpStore right("127.0.0.1", server.port(), soon(), muster::StoreServer::muster);
    right.set("k", "v", soon());
    CHECK(right.get("k", soon()) == "v");
}
