// SPDX-License-Identifier: Apache-2.0
// The store for the tests that talk to torch's.
//   store_tool serve [HOST]                  serves; prints the port; ends when its input does and all clients have
//   left store_tool client HOST PORT              every operation of TcpStore, against any c10d server; leaves keys
//   behind store_tool race HOST PORT ROUNDS         adds to "sum" and takes turns at "turn", against others who do the
//   same
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/limits.hpp>
#include <muster/store/tcp.hpp>
#include <muster/store/tcp_server.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;
using muster::Deadline;
using muster::Error;
using muster::TcpStore;
using Keys = std::vector<std::string>;

Deadline soon() { return Deadline::after(30s); }

void require(bool good, std::string_view what) {
    if (!good) throw std::runtime_error(fmt::format("wrong: {}", what));
}

bool times_out(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.code() == muster::errc::timeout;
    }
    return false;
}

void serve(const std::string& host) {
    muster::TcpStoreServer server(host, 0);
    fmt::print("{}\n", server.port());
    require(std::fflush(stdout) == 0, "print the port");
    for (char byte; ::read(STDIN_FILENO, &byte, 1) > 0;) {
    }
    require(server.drain(Deadline::after(10s)), "all clients leave");
}

void client(const std::string& host, std::uint16_t port) {
    TcpStore store(host, port, soon());
    TcpStore other(host, port, soon());
    const std::int64_t before = store.num_keys(soon());

    store.set("cpp/key", "one", soon());
    require(store.get("cpp/key", soon()) == "one", "set, get");
    store.set("cpp/key", "two", soon());
    require(store.get("cpp/key", soon()) == "two", "set again");
    const std::string binary("\0\xFF\n/", 4);
    store.set("cpp/" + binary, binary, soon());
    require(store.get("cpp/" + binary, soon()) == binary, "bytes");

    require(store.add("cpp/n", 5, soon()) == 5 && store.add("cpp/n", -7, soon()) == -2, "add");
    require(store.get("cpp/n", soon()) == "-2", "a counter is text");

    require(store.check(Keys{"cpp/key", "cpp/n"}, soon()), "check");
    require(!store.check(Keys{"cpp/key", "cpp/none"}, soon()), "check a missing key");
    require(store.wait(Keys{"cpp/key", "cpp/n"}, soon()), "wait");

    for (int i = 0; i < 20; ++i) {
        require(!store.wait(Keys{"cpp/key", "cpp/none"}, Deadline::after(std::chrono::milliseconds(i))),
                "wait for a missing key");
        require(store.add("cpp/after", 1, soon()) == i + 1, "use after a wait that timed out");
    }
    require(times_out([&] { (void)store.get("cpp/none", Deadline::after(50ms)); }), "get a missing key");
    auto waiting = std::async(std::launch::async, [&] { return store.get("cpp/late", soon()); });
    require(waiting.wait_for(50ms) == std::future_status::timeout, "get waits");
    other.set("cpp/late", "here", soon());
    require(waiting.get() == "here", "get wakes up");
    for (int i = 0; i < 200; ++i) { // waits that end as their key comes
        const Keys key{fmt::format("cpp/race{}", i)};
        auto setting = std::async(std::launch::async, [&] { other.set(key[0], key[0], soon()); });
        while (!store.wait(key, Deadline::after(1ms))) {
        }
        setting.get();
        require(store.get(key[0], soon()) == key[0], "the stream stays in step");
        require(store.remove(key[0], soon()), "remove what was waited for");
    }

    require(store.compare_set("cpp/turn", "x", "y", soon()) == "x", "compare_set, absent");
    require(!store.check(Keys{"cpp/turn"}, soon()), "compare_set leaves it absent");
    require(store.compare_set("cpp/turn", "", "1", soon()) == "1", "compare_set creates");
    require(store.compare_set("cpp/turn", "0", "2", soon()) == "1", "compare_set refuses");
    require(store.compare_set("cpp/turn", "1", "2", soon()) == "2", "compare_set replaces");

    store.append("cpp/log", "ab", soon());
    store.append("cpp/log", "cd", soon());
    require(store.get("cpp/log", soon()) == "abcd", "append");

    require(store.remove("cpp/turn", soon()) && !store.remove("cpp/turn", soon()), "remove");

    Keys keys, values;
    for (int i = 0; i < 2500; ++i) {
        keys.push_back(fmt::format("cpp/many/{}", i));
        values.push_back(fmt::format("value {}", i));
    }
    store.multi_set(keys, values, soon());
    require(store.multi_get(keys, soon()) == values, "multi_set, multi_get");
    require(other.wait(keys, soon()) && other.check(keys, soon()), "wait and check for many");
    require(times_out([&] {
                (void)store.multi_get(Keys{"cpp/key", "cpp/none"}, Deadline::after(50ms));
            }),
            "multi_get a missing key");

    std::string value(muster::max_value_bytes, 'v');
    for (std::size_t i = 0; i < value.size(); i += 1009) value[i] = static_cast<char>(i);
    store.set("cpp/large", value, soon());
    require(store.get("cpp/large", soon()) == value, "a value of 8 MiB");
    store.multi_set(Keys{"cpp/large2"}, Keys{value}, soon());
    require(store.multi_get(Keys{"cpp/large", "cpp/large2"}, soon()) == Keys{value, value}, "two of them");
    store.append("cpp/large", "more", soon());
    require(store.get("cpp/large", soon()) == value + "more", "a value that grew beyond 8 MiB");
    const std::string long_key(muster::max_key_bytes, 'c');
    store.set(long_key, "long", soon());
    require(store.get(long_key, soon()) == "long", "the longest key");

    // key, bytes, n, after, late, log, 2500, large, large2, the longest
    require(store.num_keys(soon()) == before + 2509, "num_keys");
}

void race(const std::string& host, std::uint16_t port, int rounds) {
    TcpStore store(host, port, soon());
    std::string seen;
    for (int i = 0; i < rounds; ++i) {
        store.add("sum", 1, soon());
        for (;;) {
            const std::string want =
                fmt::format("{} of {}", (seen.empty() ? 0 : std::stoi(seen)) + 1, static_cast<int>(::getpid()));
            seen = store.compare_set("turn", seen, want, soon());
            if (seen == want) break;
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    try {
        const Keys args(argv + 1, argv + argc);
        const std::string mode = args.empty() ? "" : args[0];
        const auto port = [&] { return static_cast<std::uint16_t>(std::stoi(args.at(2))); };
        if (mode == "serve")
            serve(args.size() > 1 ? args[1] : "");
        else if (mode == "client")
            client(args.at(1), port());
        else if (mode == "race")
            race(args.at(1), port(), std::stoi(args.at(3)));
        else
            throw std::runtime_error("usage: store_tool serve [HOST] | client HOST PORT | race HOST PORT ROUNDS");
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        return EXIT_FAILURE;
    }
}
