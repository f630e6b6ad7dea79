// SPDX-License-Identifier: Apache-2.0
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/memory.hpp>

#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <type_traits>
#include <utility>

using muster::AnyStore;
using muster::Deadline;
using muster::MemoryStore;

static_assert(!std::is_copy_constructible_v<AnyStore> && !std::is_copy_assignable_v<AnyStore>);
static_assert(std::is_nothrow_move_constructible_v<AnyStore> && std::is_nothrow_move_assignable_v<AnyStore>);
static_assert(std::is_constructible_v<AnyStore, MemoryStore>);
static_assert(!std::is_constructible_v<AnyStore, int>);

namespace {

// Knows when it is destroyed.
struct Tracked : MemoryStore {
    std::shared_ptr<int> alive = std::make_shared<int>();
};

} // namespace

TEST_CASE("an AnyStore owns the store") {
    Tracked tracked;
    const std::weak_ptr<int> alive = tracked.alive;
    AnyStore store(std::move(tracked));
    AnyStore moved = std::move(store);
    CHECK_FALSE(alive.expired());
    moved = AnyStore();
    CHECK(alive.expired());
}

TEST_CASE("an AnyStore without a store is closed") {
    AnyStore store;
    try {
        store.set("key", "value", Deadline::never());
        FAIL("it did not throw");
    } catch (const muster::Error& error) {
        CHECK(error.code() == muster::errc::closed);
    }
    store = AnyStore(MemoryStore());
    store.set("key", "value", Deadline::never());
    CHECK(store.num_keys(Deadline::never()) == 1);
}
