// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>
#include <muster/roll_call/open_files.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/resource.h>

#include <limits>
#include <string>

using Catch::Matchers::ContainsSubstring;
using muster::detail::make_room_for_files;

TEST_CASE("the soft limit on open files is raised as far as the world needs, and no further") {
    rlimit old{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
    if (old.rlim_max < 200) SKIP("the hard limit on open files is below 200");
    rlimit low = old;
    low.rlim_cur = 100;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
    const bool enough_before = !make_room_for_files(30);
    rlimit same{}, raised{};
    ::getrlimit(RLIMIT_NOFILE, &same);
    const bool enough_after = !make_room_for_files(100);
    ::getrlimit(RLIMIT_NOFILE, &raised);
    ::setrlimit(RLIMIT_NOFILE, &old);
    CHECK(enough_before);
    CHECK(same.rlim_cur == 100);
    CHECK(enough_after);
    CHECK(raised.rlim_cur == 164);
}

TEST_CASE("a world with more ranks than any process may have files is told the limit and the need") {
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max > std::numeric_limits<int>::max()) SKIP("there is no hard limit on open files");
    const auto failure = make_room_for_files(std::numeric_limits<int>::max());
    REQUIRE(failure);
    CHECK(failure->code == muster::errc::invalid_launch);
    CHECK_THAT(failure->text, ContainsSubstring("a hard limit of " + std::to_string(limit.rlim_max)));
    CHECK_THAT(failure->text, ContainsSubstring("needed: 2147483654 at least"));
    CHECK_THAT(failure->text, ContainsSubstring("ulimit -n 2147483711"));
}
