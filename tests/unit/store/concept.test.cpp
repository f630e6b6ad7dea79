// SPDX-License-Identifier: Apache-2.0
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/concept.hpp>
#include <muster/store/file.hpp>
#include <muster/store/limits.hpp>
#include <muster/store/memory.hpp>
#include <muster/store/prefix.hpp>
#include <muster/store/tcp.hpp>
#include <muster/store/tcp_server.hpp>

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "../../support/folder.hpp"

using namespace std::chrono_literals;
using muster::AnyStore;
using muster::Deadline;
using muster::errc;
using muster::Error;
using muster::FileStore;
using muster::MemoryStore;
using muster::PrefixStore;
using muster::TcpStore;
using muster::TcpStoreServer;

namespace {

// One that has all that the concept asks for, and ones that lack or change one thing each.
struct Archetype {
    using Keys = std::span<const std::string>;
    void set(std::string_view, std::string_view, Deadline) {}
    std::string get(std::string_view, Deadline) { return {}; }
    bool wait(Keys, Deadline) { return true; }
    bool check(Keys, Deadline) { return true; }
    std::int64_t add(std::string_view, std::int64_t, Deadline) { return 0; }
    std::string compare_set(std::string_view, std::string_view, std::string_view, Deadline) { return {}; }
    void append(std::string_view, std::string_view, Deadline) {}
    std::vector<std::string> multi_get(Keys, Deadline) { return {}; }
    void multi_set(Keys, Keys, Deadline) {}
    bool remove(std::string_view, Deadline) { return true; }
    std::int64_t num_keys(Deadline) { return 0; }
};
struct NoSet : Archetype {
    void set() = delete;
};
struct NoGet : Archetype {
    void get() = delete;
};
struct NoWait : Archetype {
    void wait() = delete;
};
struct NoCheck : Archetype {
    void check() = delete;
};
struct NoAdd : Archetype {
    void add() = delete;
};
struct NoCompareSet : Archetype {
    void compare_set() = delete;
};
struct NoAppend : Archetype {
    void append() = delete;
};
struct NoMultiGet : Archetype {
    void multi_get() = delete;
};
struct NoMultiSet : Archetype {
    void multi_set() = delete;
};
struct NoRemove : Archetype {
    void remove() = delete;
};
struct NoNumKeys : Archetype {
    void num_keys() = delete;
};
struct WaitSaysNothing : Archetype {
    void wait(Keys, Deadline) {}
};
struct GetWithoutDeadline : Archetype {
    std::string get(std::string_view) { return {}; }
};
struct NarrowCounter : Archetype {
    int add(std::string_view, std::int64_t, Deadline) { return 0; }
};
struct Immovable : Archetype {
    Immovable(Immovable&&) = delete;
};

static_assert(muster::Store<Archetype>);
static_assert(!muster::Store<NoSet>);
static_assert(!muster::Store<NoGet>);
static_assert(!muster::Store<NoWait>);
static_assert(!muster::Store<NoCheck>);
static_assert(!muster::Store<NoAdd>);
static_assert(!muster::Store<NoCompareSet>);
static_assert(!muster::Store<NoAppend>);
static_assert(!muster::Store<NoMultiGet>);
static_assert(!muster::Store<NoMultiSet>);
static_assert(!muster::Store<NoRemove>);
static_assert(!muster::Store<NoNumKeys>);
static_assert(!muster::Store<WaitSaysNothing>);
static_assert(!muster::Store<GetWithoutDeadline>);
static_assert(!muster::Store<NarrowCounter>);
static_assert(!muster::Store<Immovable>);
static_assert(!muster::Store<const Archetype>);
static_assert(!muster::Store<int>);

static_assert(muster::Store<MemoryStore>);
static_assert(muster::Store<FileStore>);
static_assert(muster::Store<TcpStore>);
static_assert(muster::Store<AnyStore>);
static_assert(muster::Store<PrefixStore<AnyStore>>);
static_assert(muster::Store<PrefixStore<PrefixStore<MemoryStore>>>);

// What each hub gives out is one more user of the same store.
struct Hub {
    const char* name = "";
    virtual ~Hub() = default;
    virtual AnyStore store() = 0;
};
struct MemoryHub : Hub {
    MemoryStore shared;
    AnyStore store() override { return AnyStore(shared); }
};
struct TcpHub : Hub {
    TcpStoreServer server{"127.0.0.1", 0};
    AnyStore store() override { return AnyStore(TcpStore("127.0.0.1", server.port(), Deadline::after(30s))); }
};
struct FileHub : Hub {
    support::Folder folder{support::fast_place()};
    AnyStore store() override { return AnyStore(FileStore(folder.path())); }
};
template <class Of>
struct PrefixHub : Of {
    AnyStore store() override { return AnyStore(PrefixStore<AnyStore>(Of::store(), "a/b")); }
};
struct PrefixMemoryHub : MemoryHub {
    AnyStore store() override { return AnyStore(PrefixStore<MemoryStore>(shared, "job")); }
};

template <class Of>
std::unique_ptr<Hub> make() {
    return std::make_unique<Of>();
}

// The test runs for each.
std::unique_ptr<Hub> each_hub() {
    const auto [name, made] = GENERATE(table<const char*, std::unique_ptr<Hub> (*)()>({
        {"memory", make<MemoryHub>},
        {"TCP", make<TcpHub>},
        {"file", make<FileHub>},
        {"prefix of any memory", make<PrefixHub<MemoryHub>>},
        {"prefix of memory", make<PrefixMemoryHub>},
        {"prefix of TCP", make<PrefixHub<TcpHub>>},
        {"prefix of file", make<PrefixHub<FileHub>>},
    }));
    auto hub = made();
    hub->name = name;
    return hub;
}

Deadline soon() { return Deadline::after(30s); }

template <class Call>
errc code_of(Call&& call) {
    try {
        call();
    } catch (const Error& error) {
        CHECK(error.stage() == muster::Stage::store);
        CHECK(error.text().size() > 20);
        return error.code();
    }
    FAIL("it did not throw");
    return errc::backend;
}

using Keys = std::vector<std::string>;

} // namespace

TEST_CASE("a store keeps what was set", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    auto other = hub->store();
    store.set("key", "one", soon());
    CHECK(store.get("key", soon()) == "one");
    CHECK(other.get("key", soon()) == "one");
    store.set("key", "two", soon());
    CHECK(store.get("key", soon()) == "two");
    store.set("", "of the empty key", soon());
    CHECK(store.get("", soon()) == "of the empty key");
    const std::string bytes("a\0\xFF/b\n", 6);
    store.set(bytes, bytes + bytes, soon());
    CHECK(store.get(bytes, soon()) == bytes + bytes);
    CHECK(store.get("key", soon()) == "two");
}

TEST_CASE("get waits for the key", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    auto other = hub->store();
    auto got = std::async(std::launch::async, [&] { return store.get("late", soon()); });
    CHECK(got.wait_for(20ms) == std::future_status::timeout);
    other.set("late", "here", soon());
    CHECK(got.get() == "here");
}

TEST_CASE("a missing key ends at the deadline and the store goes on", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    store.set("there", "1", soon());
    CHECK_FALSE(store.wait(Keys{"there", "missing"}, Deadline::after(20ms)));
    CHECK(store.get("there", soon()) == "1");
    CHECK(code_of([&] { (void)store.get("missing", Deadline::after(20ms)); }) == errc::timeout);
    CHECK(code_of([&] { (void)store.multi_get(Keys{"there", "missing"}, Deadline::after(20ms)); }) == errc::timeout);
    CHECK(store.add("n", 1, soon()) == 1);
    store.set("missing", "2", soon());
    CHECK(store.wait(Keys{"there", "missing"}, soon()));
    CHECK(store.multi_get(Keys{"there", "missing"}, soon()) == Keys{"1", "2"});
    try {
        (void)store.get("nobody sets this", Deadline::after(1ms));
        FAIL("it did not throw");
    } catch (const Error& error) {
        CHECK(error.text().find("nobody sets this") != std::string_view::npos);
    }
}

TEST_CASE("a deadline that has passed", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    const Deadline past;
    store.set("key", "1", soon());
    CHECK_FALSE(store.wait(Keys{"key"}, past));
    CHECK(code_of([&] { store.set("key", "2", past); }) == errc::timeout);
    CHECK(code_of([&] { (void)store.get("key", past); }) == errc::timeout);
    CHECK(code_of([&] { (void)store.check(Keys{"key"}, past); }) == errc::timeout);
    CHECK(code_of([&] { store.add("key", 1, past); }) == errc::timeout);
    CHECK(code_of([&] { store.compare_set("key", "1", "2", past); }) == errc::timeout);
    CHECK(code_of([&] { store.append("key", "2", past); }) == errc::timeout);
    CHECK(code_of([&] { (void)store.multi_get(Keys{"key"}, past); }) == errc::timeout);
    CHECK(code_of([&] { store.multi_set(Keys{"key"}, Keys{"2"}, past); }) == errc::timeout);
    CHECK(code_of([&] { store.remove("key", past); }) == errc::timeout);
    CHECK(code_of([&] { (void)store.num_keys(past); }) == errc::timeout);
    CHECK(store.get("key", soon()) == "1");
}

TEST_CASE("wait and check", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    auto other = hub->store();
    CHECK(store.wait(Keys{}, soon()));
    CHECK(store.check(Keys{}, soon()));
    CHECK_FALSE(store.check(Keys{"a"}, soon()));
    store.set("a", "1", soon());
    CHECK(store.check(Keys{"a"}, soon()));
    CHECK_FALSE(store.check(Keys{"a", "b"}, soon()));

    auto waited = std::async(std::launch::async, [&] { return other.wait(Keys{"a", "b", "c", "b", "d"}, soon()); });
    store.append("b", "1", soon());
    store.add("c", 1, soon());
    CHECK(waited.wait_for(20ms) == std::future_status::timeout);
    store.multi_set(Keys{"d"}, Keys{"1"}, soon());
    CHECK(waited.get());

    waited = std::async(std::launch::async, [&] { return other.wait(Keys{"e"}, soon()); });
    CHECK(store.compare_set("e", "", "1", soon()) == "1");
    CHECK(waited.get());
}

TEST_CASE("a wait that is over as its key comes leaves no trace", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    auto other = hub->store();
    constexpr int rounds = 200;
    std::thread setter([&] {
        for (int i = 0; i < rounds; ++i) other.set("key" + std::to_string(i), "value" + std::to_string(i), soon());
    });
    for (int i = 0; i < rounds; ++i) {
        const Keys key{"key" + std::to_string(i)};
        while (!store.wait(key, Deadline::after(1ms))) {
        }
        CHECK(store.get(key[0], soon()) == "value" + std::to_string(i));
        CHECK_FALSE(store.wait(Keys{"never"}, Deadline::after(i % 10 == 0 ? 1ms : 0ms)));
    }
    setter.join();
    CHECK(store.num_keys(soon()) == rounds);
}

TEST_CASE("add counts in decimal", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    CHECK(store.add("n", 5, soon()) == 5);
    CHECK(store.add("n", -7, soon()) == -2);
    CHECK(store.get("n", soon()) == "-2");
    CHECK(store.add("n", 0, soon()) == -2);
    store.set("n", "41", soon());
    CHECK(store.add("n", 1, soon()) == 42);
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    CHECK(store.add("big", most, soon()) == most);
    CHECK(store.add("small", std::numeric_limits<std::int64_t>::min(), soon()) ==
          std::numeric_limits<std::int64_t>::min());
}

TEST_CASE("add refuses what it cannot add to", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    for (const char* value : {"text", "1x", " 1", "9223372036854775807", "9223372036854775808"}) {
        auto store = hub->store(); // a server closes the connection
        store.set("n", value, soon());
        CHECK_THROWS_AS(store.add("n", 1, soon()), Error);
        CHECK(hub->store().get("n", soon()) == value);
    }
}

TEST_CASE("compare_set", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    CHECK(store.compare_set("key", "something", "want", soon()) == "something");
    CHECK_FALSE(store.check(Keys{"key"}, soon()));
    CHECK(store.compare_set("key", "", "first", soon()) == "first");
    CHECK(store.compare_set("key", "", "second", soon()) == "first");
    CHECK(store.compare_set("key", "other", "second", soon()) == "first");
    CHECK(store.compare_set("key", "first", "second", soon()) == "second");
    CHECK(store.get("key", soon()) == "second");
}

TEST_CASE("append", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    store.append("key", "ab", soon());
    store.append("key", "cd", soon());
    hub->store().append("other", "x", soon());
    CHECK(store.get("key", soon()) == "abcd");
}

TEST_CASE("many keys at once", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    Keys keys, values;
    for (int i = 0; i < 2500; ++i) {
        keys.push_back("key" + std::to_string(i));
        values.push_back(std::string(static_cast<std::size_t>(1 + i % 300), static_cast<char>('a' + i % 26)));
    }
    auto other = hub->store();
    auto got = std::async(std::launch::async, [&] { return other.multi_get(keys, soon()); });
    store.multi_set(keys, values, soon());
    CHECK(got.get() == values);
    CHECK(store.check(keys, soon()));
    CHECK(store.wait(keys, soon()));
    CHECK(store.num_keys(soon()) == 2500);
    store.remove(keys[2499], soon());
    CHECK_FALSE(store.check(keys, soon()));
    CHECK(store.multi_get(Keys{}, soon()).empty());
    store.multi_set(Keys{}, Keys{}, soon());
    CHECK(store.multi_get(Keys{"key2", "key1", "key2"}, soon()) == Keys{values[2], values[1], values[2]});
}

TEST_CASE("remove and num_keys", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    CHECK(store.num_keys(soon()) == 0);
    CHECK_FALSE(store.remove("key", soon()));
    store.set("key", "1", soon());
    store.set("another", "1", soon());
    CHECK(store.num_keys(soon()) == 2);
    CHECK(store.remove("key", soon()));
    CHECK_FALSE(store.check(Keys{"key"}, soon()));
    CHECK(store.num_keys(soon()) == 1);
    CHECK_FALSE(store.wait(Keys{"key"}, Deadline::after(1ms)));
}

TEST_CASE("the largest keys and values", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    const std::string key(8000, 'k');
    std::string value(muster::max_value_bytes, 'v');
    for (std::size_t i = 0; i < value.size(); i += 997) value[i] = static_cast<char>(i);
    store.set(key, value, soon());
    CHECK(store.get(key, soon()) == value);
    store.multi_set(Keys{"x", "y", "z"}, Keys{value, value, value}, soon());
    CHECK(store.multi_get(Keys{"x", "y", "z"}, soon()) == Keys{value, value, value});
    CHECK(store.compare_set("x", value, "small", soon()) == "small");
    store.append("y", "more", soon());
    CHECK(store.get("y", soon()) == value + "more");
}

TEST_CASE("arguments that break the contract", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    auto store = hub->store();
    const std::string long_key(muster::max_key_bytes + 1, 'k');
    const std::string long_value(muster::max_value_bytes + 1, 'v');
    CHECK(code_of([&] { store.set("key", "", soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { store.append("key", "", soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { store.compare_set("key", "", "", soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { store.multi_set(Keys{"a", "b"}, Keys{"1", ""}, soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { store.multi_set(Keys{"a", "b"}, Keys{"1"}, soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { store.set("key", long_value, soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { store.compare_set("key", long_value, "x", soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { store.set(long_key, "1", soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { (void)store.get(long_key, soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { (void)store.wait(Keys{long_key}, soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { (void)store.check(Keys{long_key}, soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { store.add(long_key, 1, soon()); }) == errc::invalid_argument);
    CHECK(code_of([&] { store.remove(long_key, soon()); }) == errc::invalid_argument);
    CHECK(store.num_keys(soon()) == 0);
}

TEST_CASE("two threads race", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    constexpr int rounds = 300;
    const auto work = [&] {
        auto store = hub->store();
        std::string seen;
        for (int i = 0; i < rounds; ++i) {
            store.add("sum", 1, soon());
            for (;;) {
                const std::string want = std::to_string((seen.empty() ? 0 : std::stoi(seen)) + 1);
                // Only the one who stored it may count it, so the value says who that was.
                const std::string mark =
                    want + " " + std::to_string(std::hash<std::thread::id>()(std::this_thread::get_id()));
                const std::string now = store.compare_set("turn", seen, mark, soon());
                seen = now;
                if (now == mark) break;
            }
            store.append("log", "x", soon());
        }
    };
    std::thread one(work), two(work);
    one.join();
    two.join();
    auto store = hub->store();
    CHECK(store.get("sum", soon()) == std::to_string(2 * rounds));
    CHECK(std::stoi(store.get("turn", soon())) == 2 * rounds);
    CHECK(store.get("log", soon()) == std::string(2 * rounds, 'x'));
}

TEST_CASE("many wait for one", "[store]") {
    const auto hub = each_hub();
    INFO(hub->name);
    std::vector<std::future<bool>> waits;
    for (int i = 0; i < 16; ++i)
        waits.push_back(std::async(std::launch::async, [&hub, i] {
            auto store = hub->store();
            store.set("here" + std::to_string(i), "1", soon());
            return store.wait(Keys{"go", "here" + std::to_string((i + 1) % 16)}, soon());
        }));
    auto store = hub->store();
    Keys all;
    for (int i = 0; i < 16; ++i) all.push_back("here" + std::to_string(i));
    CHECK(store.wait(all, soon()));
    store.set("go", "1", soon());
    for (auto& wait : waits) CHECK(wait.get());
}

TEST_CASE("a store moves", "[store]") {
    const auto moves = []<class Store>(Store first) {
        static_assert(std::is_nothrow_move_constructible_v<Store> && std::is_nothrow_move_assignable_v<Store>);
        first.set("key", "1", soon());
        auto second = std::move(first);
        CHECK(second.get("key", soon()) == "1");
        CHECK(code_of([&] { (void)first.get("key", soon()); }) == errc::closed); // NOLINT: that is the question
        CHECK(code_of([&] { (void)first.wait(Keys{"key"}, soon()); }) == errc::closed);
        first = std::move(second);
        CHECK(first.get("key", soon()) == "1");
    };
    moves(MemoryStore());
    moves(AnyStore(MemoryStore()));
    moves(PrefixStore<MemoryStore>(MemoryStore(), "a"));
    moves(PrefixStore<AnyStore>(AnyStore(MemoryStore()), "a"));
    TcpStoreServer server("127.0.0.1", 0);
    moves(TcpStore("127.0.0.1", server.port(), soon()));
    support::Folder folder(support::fast_place());
    moves(FileStore(folder.path()));
}
