// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>
#include <muster/roll_call/open_files.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/resource.h>

#include <limits>
#include <string>

#include "../../support/child.hpp"

using Catch::Matchers::ContainsSubstring;
using muster::detail::make_room_for_files;

TEST_CASE("the soft limit on open files is raised as far as the world needs, and no further") {
    rlimit old{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
    REQUIRE(old.rlim_max >= 200);
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
    // A hard limit is lowered for good: in a process of its own.
    support::Child child([](const auto&) {
        const rlimit hard{50, 50};
        if (::setrlimit(RLIMIT_NOFILE, &hard) != 0) return std::string("no limit");
        if (make_room_for_files(43)) return std::string("one that just fits is refused");
        const auto failure = make_room_for_files(44);
        if (!failure || failure->code != muster::errc::invalid_launch)
            return std::string("one too many is let through");
        const auto largest = make_room_for_files(std::numeric_limits<int>::max());
        return failure->text + (largest ? largest->text : "");
    });
    const std::string text = child.text();
    CHECK_THAT(text, ContainsSubstring("needed: 2147483654 at least"));
    CHECK_THAT(text, ContainsSubstring("a hard limit of 50; needed: 51 at least"));
    CHECK_THAT(text, ContainsSubstring("ulimit -n 108"));
}
