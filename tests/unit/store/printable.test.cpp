// SPDX-License-Identifier: Apache-2.0
#include <muster/store/printable.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <string_view>
#include <vector>

using muster::detail::printable;

TEST_CASE("bytes become one line of text") {
    CHECK(printable(std::string_view("plain text")) == "'plain text'");
    CHECK(printable(std::string_view("a\n\0\x7F\xFF'\\", 7)) == R"('a\x0a\x00\x7f\xff\'\\')");
    CHECK(printable(std::string(100, 'x')) == "'" + std::string(80, 'x') + "...'");
    CHECK(printable(std::string_view("abcd"), 2) == "'ab...'");
}

TEST_CASE("many keys are cut") {
    CHECK(printable(std::vector<std::string>{"a", "b"}) == "'a', 'b'");
    CHECK(printable(std::vector<std::string>(20, "k")) == "'k', 'k', 'k', 'k', 'k', 'k', 'k', 'k', ... (20 in all)");
}
