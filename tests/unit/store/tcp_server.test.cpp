// SPDX-License-Identifier: Apache-2.0
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/tcp.hpp>
#include <muster/store/tcp_server.hpp>

#include <catch2/catch_test_macros.hpp>

#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "../../support/child.hpp"
#include "sockets.hpp"

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace muster::detail;
using muster::Deadline;
using muster::Error;
using muster::TcpStore;
using muster::TcpStoreServer;
using Keys = std::vector<std::string>;

static_assert(!std::is_copy_constructible_v<TcpStoreServer>);
static_assert(std::is_nothrow_move_constructible_v<TcpStoreServer> &&
              std::is_nothrow_move_assignable_v<TcpStoreServer> && std::is_nothrow_destructible_v<TcpStoreServer>);

namespace {

Deadline soon() { return Deadline::after(30s); }

TcpStore client(const TcpStoreServer& server) { return TcpStore("127.0.0.1", server.port(), soon()); }

template <class Condition>
bool eventually(Condition&& condition) {
    for (const Deadline end = soon(); !condition();) {
        if (end.expired()) return false;
        std::this_thread::yield();
    }
    return true;
}

/// Another server at the port of one that no longer listens; null when the port does not become free.
std::unique_ptr<TcpStoreServer> next_at(std::uint16_t port) {
    std::unique_ptr<TcpStoreServer> next;
    (void)eventually([&] {
        try {
            next = std::make_unique<TcpStoreServer>("127.0.0.1", port);
        } catch (const Error&) {
            return false; // not yet
        }
        return true;
    });
    return next;
}

/// The others still get what they ask for.
void works(TcpStore& store) {
    static int turn = 0;
    const std::string key = "works" + std::to_string(++turn);
    store.set(key, "yes", soon());
    CHECK(store.get(key, soon()) == "yes");
}

/// What this process has used so far.
double processor_seconds() {
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

std::string request_head(Opcode code, std::uint64_t n) { return RequestWriter(code).number(n).bytes(); }

} // namespace

TEST_CASE("a server counts its clients and waits until they have left") {
    TcpStoreServer server("127.0.0.1", 0);
    CHECK(server.connections() == 0);
    CHECK(server.drain(Deadline()));
    std::optional<TcpStore> one = client(server);
    TcpStore two = client(server);
    CHECK(server.connections() == 2);
    CHECK_FALSE(server.drain(Deadline::after(20ms)));
    one.reset();
    CHECK(eventually([&] { return server.connections() == 1; }));
    auto drained = std::async(std::launch::async, [&] { return server.drain(soon()); });
    CHECK(drained.wait_for(20ms) == std::future_status::timeout);
    { const TcpStore last = std::move(two); }
    CHECK(drained.get());
    CHECK(server.connections() == 0);
}

TEST_CASE("a last set arrives though its client leaves at once") {
    TcpStoreServer server("127.0.0.1", 0);
    TcpStore store = client(server);
    for (int i = 0; i < 50; ++i) {
        TcpStore leaving = client(server);
        (void)leaving.wait(Keys{"never"}, Deadline::after(1ms)); // an answer that it does not read
        leaving.set("last" + std::to_string(i), std::string(100000, 'x'), soon());
    }
    for (int i = 0; i < 50; ++i) CHECK(store.get("last" + std::to_string(i), soon()).size() == 100000);
}

TEST_CASE("a silent connection costs nobody anything") {
    TcpStoreServer server("127.0.0.1", 0, {.stall_timeout = 50ms});
    std::vector<RawClient> silent;
    for (int i = 0; i < 50; ++i) silent.emplace_back(server.port());
    TcpStore store = client(server);
    works(store);
    CHECK(server.connections() == 1);
    CHECK_FALSE(silent[0].is_cut_off(Deadline::after(300ms))); // it owes nothing
    { const TcpStore gone = std::move(store); }
    CHECK(server.drain(soon())); // strays do not hold it up
}

TEST_CASE("garbage costs only the one who sends it") {
    TcpStoreServer server("127.0.0.1", 0);
    TcpStore store = client(server);
    auto waiting = std::async(std::launch::async, [&] { return client(server).get("late", soon()); });
    const std::string magic = RequestWriter(Opcode::validate).number(wire_magic).bytes();
    const std::vector<std::string> bad = {
        "GET / HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01",
        RequestWriter(Opcode::validate).number(wire_magic ^ 1u).bytes(),
        RequestWriter(Opcode::set).key("key").value("not introduced").bytes(),
        magic + magic,
        magic + "\x0E",
        magic + "\xFF",
        magic + request_head(Opcode::get, wire_max_key_bytes + 1),
        magic + request_head(Opcode::get, ~std::uint64_t{0}),
        magic + request_head(Opcode::wait, wire_max_keys + 1),
        magic + request_head(Opcode::multi_set, ~std::uint64_t{0}),
        magic + RequestWriter(Opcode::set).key("key").number(std::uint64_t{wire_max_value_bytes} + 1).bytes(),
        magic + RequestWriter(Opcode::wait).count(1).key("a").bytes() +
            RequestWriter(Opcode::wait).count(1).key("a").bytes(),
    };
    for (const std::string& bytes : bad) {
        CAPTURE(bytes);
        RawClient stray(server.port());
        stray.send(bytes);
        CHECK(stray.is_cut_off());
        works(store);
    }
    std::mt19937 random(7);
    for (int i = 0; i < 50; ++i) {
        RawClient stray(server.port());
        std::string bytes = i % 2 ? magic : "";
        for (int n = 0; n < 5000; ++n) bytes += static_cast<char>(random());
        (void)stray.try_send(bytes);
    }
    works(store);
    CHECK(store.check(Keys{"key"}, soon()) == false);
    store.set("late", "1", soon());
    CHECK(waiting.get() == "1");
}

TEST_CASE("half a request is waited for, but not for ever") {
    TcpStoreServer server("127.0.0.1", 0, {.stall_timeout = 200ms});
    TcpStore store = client(server);
    RawClient half(server.port());
    RawClient nothing_but_code(server.port());
    RawClient half_magic(server.port());
    half.introduce().send(RequestWriter(Opcode::set).key("key").bytes());
    nothing_but_code.introduce().send("\x01");
    half_magic.send("\x00\xCE\xF7"s);
    works(store);
    CHECK(half.is_cut_off());
    CHECK(nothing_but_code.is_cut_off());
    CHECK(half_magic.is_cut_off());
    works(store);
    CHECK(eventually([&] { return server.connections() == 1; }));
}

TEST_CASE("a request may come in single bytes") {
    TcpStoreServer server("127.0.0.1", 0);
    RawClient slow(server.port());
    const std::string bytes = RequestWriter(Opcode::validate).number(wire_magic).bytes() +
                              RequestWriter(Opcode::add).key("n").number(std::int64_t{258}).bytes();
    for (const char c : bytes) slow.send({&c, 1});
    CHECK(slow.read(8) == "\x02\x01\0\0\0\0\0\0"s);
}

TEST_CASE("a client that never reads is dropped") {
    TcpStoreServer server("127.0.0.1", 0);
    TcpStore store = client(server);
    store.set("big", std::string(muster::max_value_bytes, 'x'), soon());
    works(store); // a set has no reply; now it is there
    RawClient deaf(server.port());
    deaf.introduce();
    const std::string get = RequestWriter(Opcode::get).key("big").bytes();
    bool dropped = false;
    for (int i = 0; i < 1000 && !dropped; ++i) {
        works(store);
        dropped = !deaf.try_send(get);
    }
    CHECK(dropped);

    TcpStoreServer impatient("127.0.0.1", 0, {.stall_timeout = 200ms});
    TcpStore other = client(impatient);
    other.set("big", std::string(muster::max_value_bytes, 'x'), soon());
    works(other); // a set has no reply; now it is there
    RawClient asks_twice(impatient.port());
    asks_twice.introduce().send(get + get); // more than the kernel's buffers hold
    CHECK(eventually([&] { return impatient.connections() == 2; }));
    CHECK(eventually([&] { return impatient.connections() == 1; }));
    works(other);
}

TEST_CASE("memory has an end, and who exceeds it is dropped") {
    TcpStoreServer server("127.0.0.1", 0, {.memory = 4 << 20});
    TcpStore store = client(server);
    store.set("key", "value", soon());
    TcpStore greedy = client(server);
    const auto fill = [&] {
        for (int i = 0; i < 100; ++i) {
            greedy.set("fill" + std::to_string(i), std::string(100000, 'x'), soon());
            (void)greedy.num_keys(soon());
        }
    };
    CHECK_THROWS_AS(fill(), Error);
    CHECK(store.get("key", soon()) == "value");
    CHECK(store.remove("fill0", soon()));
    CHECK(store.num_keys(soon()) < 60);
}

TEST_CASE("a server that ends closes its connections at once") {
    auto server = std::make_unique<TcpStoreServer>("127.0.0.1", 0);
    TcpStore store = client(*server);
    RawClient silent(server->port());
    RawClient waits(server->port());
    waits.introduce().send(RequestWriter(Opcode::wait).count(1).key("never").bytes());
    works(store);
    const auto start = Deadline::Clock::now();
    server.reset();
    CHECK(Deadline::Clock::now() - start < 10s);
    CHECK(silent.is_cut_off());
    CHECK(waits.is_cut_off());
    CHECK_THROWS_AS(store.num_keys(soon()), Error);
}

TEST_CASE("a server moves") {
    TcpStoreServer first("127.0.0.1", 0);
    const auto port = first.port();
    TcpStore store = client(first);
    TcpStoreServer second = std::move(first);
    CHECK(second.port() == port);
    works(store);
    CHECK(first.connections() == 0); // NOLINT: that is the question
    CHECK(first.drain(Deadline()));
    second = TcpStoreServer("127.0.0.1", 0);
    CHECK_THROWS_AS(store.num_keys(soon()), Error);
    TcpStore other = client(second);
    works(other);
}

TEST_CASE("without file descriptors a server neither ends nor spins") {
    TcpStoreServer server("127.0.0.1", 0);
    TcpStore store = client(server);
    rlimit old{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
    // The client's own socket takes the last number, so the server has none left for its end.
    std::vector<Fd> taken;
    rlimit low = old;
    low.rlim_cur = 64;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
    for (int fd; (fd = ::dup(0)) >= 0;) taken.emplace_back(fd);
    taken.pop_back();
    std::optional<RawClient> late(std::in_place, server.port());
    // Judged afterwards: checks may need file descriptors themselves, under a sanitizer for one.
    const double before = processor_seconds();
    store.set("key", "meanwhile", soon());
    const bool cut_off = late->introduce().is_cut_off(Deadline::after(500ms));
    const std::string value = store.get("key", soon());
    const double used = processor_seconds() - before;
    taken.clear();
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &old) == 0);
    CHECK_FALSE(cut_off);
    CHECK(value == "meanwhile");
    CHECK(used < 0.3);
    works(store);
    late->send(RequestWriter(Opcode::num_keys).bytes());
    CHECK(late->read(8).size() == 8);
}

TEST_CASE("a thousand clients wait for one key") {
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const rlimit old = limit;
    limit.rlim_cur = limit.rlim_max;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    const std::size_t n = std::min<std::size_t>(1024, (limit.rlim_cur - 100) / 2);
    TcpStoreServer server("127.0.0.1", 0);
    std::vector<RawClient> clients;
    const std::string ask = RequestWriter(Opcode::validate).number(wire_magic).bytes() +
                            RequestWriter(Opcode::wait).count(2).key("go").key("set").bytes();
    for (std::size_t i = 0; i < n; ++i) clients.emplace_back(server.port()).send(ask);
    CHECK(eventually([&] { return server.connections() == n; }));
    TcpStore store = client(server);
    store.set("go", "1", soon());
    works(store);
    store.set("set", "1", soon());
    for (RawClient& each : clients) CHECK(each.read(1) == "\0"s);
    clients.clear();
    CHECK(eventually([&] { return server.connections() == 1; }));
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &old) == 0);
}

TEST_CASE("a server sees connections end and carries out their wills, waking those who wait") {
    const TcpStoreServer server("127.0.0.1", 0);
    TcpStore watcher = client(server);
    std::optional<TcpStore> mortal(client(server));
    mortal->set("@will/gone", "mortal", soon());
    CHECK_FALSE(mortal->check(Keys{"gone"}, soon()));
    auto seen = std::async(std::launch::async, [&] { return watcher.get("gone", soon()); });
    mortal.reset();
    CHECK(seen.get() == "mortal");
}

TEST_CASE("a server that no longer listens leaves its port to another and keeps its clients") {
    auto server = std::make_unique<TcpStoreServer>("127.0.0.1", 0);
    const std::uint16_t port = server->port();
    TcpStore old = client(*server);
    old.set("k", "old", soon());
    server->stop_listening();
    const auto next = next_at(port);
    REQUIRE(next != nullptr);
    TcpStore fresh("127.0.0.1", port, soon());
    CHECK_FALSE(fresh.check(Keys{"k"}, soon()));
    CHECK(old.get("k", soon()) == "old");
    server->stop_listening(); // nothing to do the second time
    server.reset();
}

TEST_CASE("a server that leaves waits for those who left a will, and for nobody else") {
    const TcpStoreServer server("127.0.0.1", 0);
    TcpStore stranger = client(server);
    stranger.set("k", "v", soon());
    CHECK(stranger.check(Keys{"k"}, soon()));
    CHECK(server.drain_wills(soon()));
    CHECK_FALSE(server.drain(Deadline::after(50ms)));
    std::optional<TcpStore> rank(client(server));
    rank->set("@will/gone", "rank", soon());
    CHECK_FALSE(rank->check(Keys{"gone"}, soon()));
    CHECK_FALSE(server.drain_wills(Deadline::after(50ms)));
    CHECK(rank->remove("@will/gone", soon())); // it will not be missed any more
    CHECK(server.drain_wills(soon()));
    rank->set("@will/gone", "rank", soon());
    CHECK_FALSE(rank->check(Keys{"gone"}, soon()));
    auto leaving = std::async(std::launch::async, [&] { return server.drain_wills(soon()); });
    rank.reset();
    CHECK(leaving.get());
}

TEST_CASE("one who left a will and is cut off at once does not keep the server") {
    const TcpStoreServer server("127.0.0.1", 0);
    TcpStore store = client(server);
    RawClient stray(server.port());
    stray.send(RequestWriter(Opcode::validate).number(wire_magic).bytes() +
               RequestWriter(Opcode::set).key("@will/gone").value("stray").bytes() + "\xFF");
    CHECK(stray.is_cut_off());
    CHECK(store.get("gone", soon()) == "stray");
    CHECK(server.drain_wills(Deadline::after(5s)));
}

TEST_CASE("a fork that ends takes nothing from its parent's server") {
    std::optional<TcpStoreServer> server(std::in_place, "127.0.0.1", std::uint16_t{0});
    support::Child child([&](const auto&) {
        server.reset();
        return "ended";
    });
    REQUIRE(child.text() == "ended");
    TcpStore store("127.0.0.1", server->port(), Deadline::after(10s));
    store.set("key", "1", Deadline::after(10s));
    CHECK(store.get("key", Deadline::after(10s)) == "1");
}

TEST_CASE("a fork that goes on holds neither connections nor the port of its parent's server") {
    std::optional<TcpStoreServer> server(std::in_place, "127.0.0.1", std::uint16_t{0});
    const std::uint16_t port = server->port();
    RawClient stray(port);
    RawClient quiet(port);
    stray.introduce();
    quiet.introduce();
    REQUIRE(eventually([&] { return server->connections() == 2; }));
    const support::Child fork([](const auto&) {
        ::pause();
        return "";
    });
    stray.send("\xFF"); // no request
    CHECK(stray.is_cut_off());
    REQUIRE(eventually([&] { return server->connections() == 1; }));
    // Its copy of what was dropped does not keep the server busy.
    const double before = processor_seconds();
    CHECK_FALSE(quiet.is_cut_off(Deadline::after(500ms)));
    CHECK(processor_seconds() - before < 0.3);
    server->stop_listening();
    CHECK(next_at(port) != nullptr);
    server.reset();
    CHECK(quiet.is_cut_off());
}

TEST_CASE("a server that was reached may take its time to answer") {
    Listener listener = listen_on("127.0.0.1", 0);
    const Deadline connect_by = Deadline::after(50ms);
    TcpStore store("127.0.0.1", listener.port, Deadline::after(30s), muster::StoreServer::muster, connect_by);
    std::this_thread::sleep_until(connect_by.at());
    StoreService service(std::move(listener.fd), {});
    std::thread thread([&] { service.run(); });
    CHECK_NOTHROW(store.set("key", "1", Deadline::after(30s)));
    CHECK(store.get("key", Deadline::after(30s)) == "1");
    service.stop();
    thread.join();
}
