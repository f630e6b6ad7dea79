// SPDX-License-Identifier: Apache-2.0
#include <muster/store/batches.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <utility>
#include <vector>

using muster::detail::in_batches;
using Pieces = std::vector<std::pair<std::size_t, std::size_t>>;

namespace {

Pieces pieces(const std::vector<std::size_t>& sizes) {
    Pieces all;
    const bool done = in_batches(
        sizes.size(), [&](std::size_t i) { return sizes[i]; },
        [&](std::size_t first, std::size_t count) {
            all.emplace_back(first, count);
            return true;
        });
    CHECK(done);
    return all;
}

} // namespace

TEST_CASE("a batch is bounded in number and size") {
    CHECK(pieces({}).empty());
    CHECK(pieces({5}) == Pieces{{0, 1}});
    CHECK(pieces(std::vector<std::size_t>(2000, 1)) == Pieces{{0, 999}, {999, 999}, {1998, 2}});
    CHECK(pieces({40000, 20000, 10000, 70000, 1}) == Pieces{{0, 2}, {2, 1}, {3, 1}, {4, 1}});
}

TEST_CASE("batches end when the visitor says so") {
    int calls = 0;
    CHECK_FALSE(in_batches(
        5000, [](std::size_t) { return std::size_t{1}; }, [&](std::size_t, std::size_t) { return ++calls < 2; }));
    CHECK(calls == 2);
}
