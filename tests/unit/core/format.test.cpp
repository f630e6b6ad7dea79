// SPDX-License-Identifier: Apache-2.0
#include <muster/core/format.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

using muster::detail::format;

TEST_CASE("strings and whole numbers in their places") {
    const std::string owned = "gpu01";
    CHECK(format("rank {} of {} on {}", {3, std::size_t{8}, owned}) == "rank 3 of 8 on gpu01");
    CHECK(format("{}{}{}{}", {"a", std::string_view("bc").substr(1), 'd', std::string(40, 'e')}) ==
          "acd" + std::string(40, 'e'));
    CHECK(format("{}", {""}).empty());
    CHECK(format("{} {}", {std::string_view("nul\0inside", 10), 1}) == std::string("nul\0inside 1", 12));
}

TEST_CASE("the ends of every integer's range") {
    CHECK(format("{} {}", {std::numeric_limits<int>::min(), std::numeric_limits<unsigned>::max()}) ==
          "-2147483648 4294967295");
    CHECK(format("{} {}", {std::numeric_limits<long>::min(), std::numeric_limits<std::uint64_t>::max()}) ==
          "-9223372036854775808 18446744073709551615");
    CHECK(format("{} {}", {std::uint16_t{65535}, std::int64_t{-1}}) == "65535 -1");
}

TEST_CASE("braces that are text") {
    CHECK(format("{{\"rank\": {}}}", {5}) == "{\"rank\": 5}");
    CHECK(format("{}", {"{} {0} {{"}) == "{} {0} {{");
}
