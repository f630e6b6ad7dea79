// SPDX-License-Identifier: Apache-2.0
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/memory.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

using namespace std::chrono_literals;
using muster::Deadline;
using muster::MemoryStore;

static_assert(std::is_copy_constructible_v<MemoryStore> && std::is_copy_assignable_v<MemoryStore>);

TEST_CASE("copies of a memory store share its keys, others do not") {
    MemoryStore store;
    MemoryStore copy = store;
    MemoryStore other;
    copy.set("key", "value", Deadline::after(1s));
    CHECK(store.get("key", Deadline::after(1s)) == "value");
    CHECK(other.num_keys(Deadline::after(1s)) == 0);
    store = other;
    CHECK(store.num_keys(Deadline::after(1s)) == 0);
    CHECK(copy.num_keys(Deadline::after(1s)) == 1);
}

TEST_CASE("a memory store outlives the handle that made it") {
    auto first = std::make_unique<MemoryStore>();
    MemoryStore second = *first;
    first->set("key", "value", Deadline::never());
    first.reset();
    CHECK(second.get("key", Deadline::never()) == "value");
}

TEST_CASE("a memory store says why it cannot add or append") {
    MemoryStore store;
    store.set("key", "text", Deadline::never());
    try {
        store.add("key", 3, Deadline::never());
        FAIL("it did not throw");
    } catch (const muster::Error& error) {
        CHECK(error.code() == muster::errc::invalid_argument);
        CHECK(error.text().find("cannot add 3 to key 'key': its value is 'text'") != std::string_view::npos);
    }
    const std::string part(muster::max_value_bytes, 'x');
    for (int i = 0; i < 8; ++i) store.append("big", part, Deadline::never());
    CHECK_THROWS_AS(store.append("big", "x", Deadline::never()), muster::Error);
    CHECK(store.get("big", Deadline::never()).size() == muster::max_grown_value_bytes);
}
