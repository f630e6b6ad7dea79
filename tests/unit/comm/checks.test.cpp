// SPDX-License-Identifier: Apache-2.0
#include <muster/comm/checks.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

using namespace muster::detail;
using muster::errc;
using muster::Error;

static_assert(extent_of<std::array<int, 3>&> == 3);
static_assert(extent_of<const std::array<int, 3>&> == 3);
static_assert(extent_of<std::span<const int, 4>> == 4);
static_assert(extent_of<int (&)[5]> == 5);
static_assert(extent_of<std::vector<int>&> == std::dynamic_extent);
static_assert(extent_of<std::span<int>> == std::dynamic_extent);

namespace {

/// Whose rank stands in the error.
struct Self {
    [[nodiscard]] static int global_rank() { return 7; }
};
constexpr Self self;

template <class Fn>
bool refused(Fn fn) {
    try {
        fn();
    } catch (const Error& error) {
        return error.code() == errc::invalid_argument && error.stage() == muster::Stage::communicator &&
               error.rank() == 7;
    }
    return false;
}

} // namespace

TEST_CASE("a whole holds a part for every rank, without overflow") {
    constexpr auto huge = std::numeric_limits<std::size_t>::max();
    check_whole("op", "out", 6, 2, 3, self);
    check_whole("op", "out", 0, 0, 3, self);
    CHECK(refused([] { check_whole("op", "out", 7, 2, 3, self); }));
    CHECK(refused([] { check_whole("op", "out", 6, 0, 3, self); }));
    CHECK(refused([] { check_whole("op", "out", 0, 2, 3, self); }));
    CHECK(refused([] { check_whole("op", "out", huge - 1, huge / 2 + 1, 4, self); }));
}

TEST_CASE("memory may be the same or apart") {
    std::array<int, 8> data{};
    const std::span<const int> all(data);
    const auto check = [&](std::span<const int> in, std::span<const int> out, std::span<const int> allowed) {
        check_overlap<int>("op", in, out, allowed, "rule", self);
    };
    check(all.first(4), all.last(4), {});
    check(all, all, all);
    check(all.subspan(4, 4), all, all.subspan(4, 4));
    check({}, all, {});
    CHECK(refused([&] { check(all, all, {}); }));
    CHECK(refused([&] { check(all.first(5), all.last(4), {}); }));
    CHECK(refused([&] { check(all.subspan(3, 4), all, all.subspan(4, 4)); }));
    CHECK(refused([&] { check(all.first(3), all.first(4), all.first(4)); }));
}

TEST_CASE("members and divisions") {
    check_member("op", "root", 0, 1, self);
    CHECK(refused([] { check_member("op", "root", 1, 1, self); }));
    CHECK(refused([] { check_member("op", "root", -1, 1, self); }));
    check_divisible("op", 6, 3, self);
    CHECK(refused([] { check_divisible("op", 7, 3, self); }));
    check_equal("op", 3, 3, self);
    CHECK(refused([] { check_equal("op", 3, 4, self); }));
}
