// SPDX-License-Identifier: Apache-2.0
#include <muster/core/deadline.hpp>
#include <muster/store/memory.hpp>
#include <muster/store/prefix.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

using muster::Deadline;
using muster::MemoryStore;
using muster::PrefixStore;

TEST_CASE("a prefix stands before every key") {
    using Keys = std::vector<std::string>;
    const Deadline never = Deadline::never();
    MemoryStore whole;
    PrefixStore<MemoryStore> part(whole, "a");
    PrefixStore<PrefixStore<MemoryStore>> inner(part, "b");
    part.set("key", "1", never);
    inner.set("key", "2", never);
    CHECK(whole.get("a/key", never) == "1");
    CHECK(whole.get("a/b/key", never) == "2");
    part.append("log", "x", never);
    part.add("n", 3, never);
    CHECK(part.compare_set("c", "", "y", never) == "y");
    part.multi_set(Keys{"p", "q"}, Keys{"4", "5"}, never);
    CHECK(whole.multi_get(Keys{"a/log", "a/n", "a/c", "a/p", "a/q"}, never) == Keys{"x", "3", "y", "4", "5"});
    CHECK(part.multi_get(Keys{"p", "q"}, never) == Keys{"4", "5"});
    CHECK(part.wait(Keys{"p"}, never));
    CHECK(part.check(Keys{"b/key"}, never));
    CHECK_FALSE(part.check(Keys{"a/key"}, never));
    CHECK(part.remove("key", never));
    CHECK_FALSE(whole.check(Keys{"a/key"}, never));
    CHECK(part.num_keys(never) == whole.num_keys(never));
}
