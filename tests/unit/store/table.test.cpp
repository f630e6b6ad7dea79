// SPDX-License-Identifier: Apache-2.0
#include <muster/store/table.hpp>

#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

using muster::detail::KeyTable;
using muster::detail::Waiter;

namespace {

struct Sleeper final : Waiter {};
using Keys = std::vector<std::string_view>;

} // namespace

TEST_CASE("a waiter is ready once all its keys have come") {
    KeyTable table;
    Sleeper one, two, satisfied;
    table.set("here", "1");
    CHECK(table.await(satisfied, Keys{"here"}));
    CHECK_FALSE(satisfied.waiting());
    CHECK_FALSE(table.await(one, Keys{"here", "a", "b", "a"}));
    CHECK_FALSE(table.await(two, Keys{"b"}));
    CHECK(one.waiting());

    table.set("a", "1");
    CHECK(table.take_ready() == nullptr);
    table.set("a", "2"); // again: counts once
    CHECK(table.take_ready() == nullptr);
    CHECK(table.add("b", 1) == 1);
    CHECK(one.ready());
    CHECK(two.ready());
    Waiter* const first = table.take_ready();
    Waiter* const second = table.take_ready();
    CHECK(table.take_ready() == nullptr);
    CHECK(((first == &one && second == &two) || (first == &two && second == &one)));
    CHECK_FALSE(one.waiting());
}

TEST_CASE("a cancelled waiter is forgotten, missing or ready") {
    KeyTable table;
    Sleeper missing, ready, other;
    CHECK_FALSE(table.await(missing, Keys{"a", "b"}));
    CHECK_FALSE(table.await(ready, Keys{"a"}));
    CHECK_FALSE(table.await(other, Keys{"a"}));
    table.cancel(missing);
    table.cancel(missing);
    CHECK(table.append("a", "1"));
    table.cancel(ready);
    CHECK_FALSE(ready.waiting());
    CHECK(table.take_ready() == &other);
    CHECK(table.take_ready() == nullptr);
    CHECK_FALSE(table.await(missing, Keys{"b"})); // and can wait again
    table.set("b", "1");
    CHECK(table.take_ready() == &missing);
}

TEST_CASE("a key that was removed and comes again does not confuse a waiter") {
    KeyTable table;
    Sleeper sleeper;
    CHECK_FALSE(table.await(sleeper, Keys{"a", "b"}));
    table.set("a", "1");
    CHECK(table.remove("a"));
    table.set("a", "1");
    CHECK_FALSE(sleeper.ready()); // "a" counts as come, "b" does not
    table.set("b", "1");
    CHECK(table.take_ready() == &sleeper);
}

TEST_CASE("a table returns all memory that it counted") {
    KeyTable table;
    Sleeper sleeper, cancelled;
    CHECK_FALSE(table.await(sleeper, Keys{"a", "b"}));
    CHECK_FALSE(table.await(cancelled, Keys{"c"}));
    CHECK(table.bytes() > 0);
    table.cancel(cancelled);
    table.set("a", std::string(1000, 'x'));
    CHECK(table.bytes() > 1000);
    table.set("a", "short");
    CHECK(table.bytes() < 1000);
    CHECK(table.append("b", "1"));
    CHECK(table.append("b", "23"));
    CHECK(table.add("n", 7) == 7);
    CHECK(table.compare_set("n", "7", "123456") == "123456");
    CHECK(table.remove("a"));
    CHECK(table.remove("b"));
    CHECK(table.remove("n"));
    CHECK(table.bytes() == 0);
    CHECK(table.size() == 0);
}

TEST_CASE("a value does not grow without end") {
    KeyTable table;
    const std::string part(muster::max_value_bytes, 'x');
    for (std::size_t size = 0; size < muster::max_grown_value_bytes; size += part.size())
        CHECK(table.append("key", part));
    CHECK_FALSE(table.append("key", "x"));
    CHECK(table.find("key")->size() == muster::max_grown_value_bytes);
}

TEST_CASE("a thousand waiters with a thousand keys each") {
    constexpr int n = 1000;
    KeyTable table;
    std::vector<std::string> keys;
    for (int i = 0; i < n; ++i) keys.push_back("key" + std::to_string(i));
    std::vector<std::unique_ptr<Sleeper>> sleepers;
    for (int i = 0; i < n; ++i) {
        sleepers.push_back(std::make_unique<Sleeper>());
        CHECK_FALSE(table.await(*sleepers.back(), keys));
    }
    for (int i = 0; i < n / 2; ++i) table.cancel(*sleepers[static_cast<std::size_t>(i)]);
    for (const std::string& key : keys) {
        CHECK(table.take_ready() == nullptr);
        table.set(key, "1");
    }
    int ready = 0;
    while (table.take_ready() != nullptr) ++ready;
    CHECK(ready == n / 2);
}
