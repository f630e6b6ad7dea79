// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <exception>
#include <string>
#include <type_traits>
#include <vector>

using muster::errc;
using muster::Error;
using muster::Stage;

static_assert(std::is_nothrow_copy_constructible_v<std::runtime_error>);
static_assert(std::is_base_of_v<std::exception, Error>);

TEST_CASE("an error carries its facts") {
    const Error error(errc::missing_ranks, Stage::roll_call, "2 of 4 ranks did not arrive\n  arrived: 0, 1",
                      {.rank = 1, .ranks = {2, 3}, .shared = true});
    CHECK(error.code() == errc::missing_ranks);
    CHECK(error.stage() == Stage::roll_call);
    CHECK(error.rank() == 1);
    CHECK(error.ranks() == std::vector{2, 3});
    CHECK(error.shared());
    CHECK(std::string(error.what()) == "muster: 2 of 4 ranks did not arrive\n  arrived: 0, 1");
    CHECK(error.text() == "2 of 4 ranks did not arrive\n  arrived: 0, 1");
}

TEST_CASE("an error about nobody in particular") {
    const Error error(errc::timeout, Stage::store, "get timed out");
    CHECK(error.rank() == -1);
    CHECK(error.ranks().empty());
    CHECK_FALSE(error.shared());
}

TEST_CASE("every code and stage has a name") {
    for (int i = 0; i <= static_cast<int>(errc::closed); ++i) CHECK(to_string(static_cast<errc>(i)) != "unknown");
    for (int i = 0; i <= static_cast<int>(Stage::mesh); ++i) CHECK(to_string(static_cast<Stage>(i)) != "unknown");
}
