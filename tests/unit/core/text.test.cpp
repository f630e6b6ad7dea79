// SPDX-License-Identifier: Apache-2.0
#include <muster/core/text.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <string>
#include <vector>

using namespace muster::detail;
using namespace std::chrono_literals;

TEST_CASE("rank lists") {
    CHECK(rank_list({3, 5}) == "3, 5");
    CHECK(rank_list({0, 1}) == "0, 1");
    CHECK(rank_list({5, 0, 1, 2, 3, 3, 9, 8}) == "0-3, 5, 8, 9");
    CHECK(rank_list({}).empty());
    CHECK(ranks_text({7}) == "rank 7");
    CHECK(ranks_text({9, 7}) == "ranks 7, 9");
}

TEST_CASE("groups along an axis") {
    CHECK(group_text({4}) == "[4]");
    CHECK(group_text({0, 4, 8, 12}) == "[0 4 8 12]");
    CHECK(group_text({0, 4, 8, 12, 16}) == "[0 4 .. 16]");
}

TEST_CASE("lists, digits and columns") {
    CHECK(joined(std::vector<std::string>{"a", "", "b"}, ", ") == "a, , b");
    CHECK(joined(std::vector<int>{3, -1}, " ") == "3 -1");
    CHECK(joined(std::vector<int>{}, " ").empty());
    CHECK(hex(0xAB, 2) == "ab");
    CHECK(hex(0xFEDCBA9876543210U, 16) == "fedcba9876543210");
    CHECK(hex(10, 8) == "0000000a");
    CHECK(padded("tp", 4) == "tp  ");
    CHECK(padded("long", 2) == "long");
}

TEST_CASE("durations") {
    CHECK(seconds_text(1234ms) == "1.2 s");
    CHECK(seconds_text(0ms) == "0.0 s");
    CHECK(seconds_text(std::chrono::duration<double>(59.96)) == "60.0 s");
    CHECK(duration_text(30s) == "30 s");
    CHECK(duration_text(1500ms) == "1.5 s");
    CHECK(duration_text(5ms) == "0.005 s");
    CHECK(duration_text(0ms) == "0 s");
}

TEST_CASE("quoted text is set deeper") { CHECK(indented("a\n  b\nc") == "a\n    b\n  c"); }

TEST_CASE("hosts and ports") {
    CHECK(host_port("gpu01", 1) == "gpu01:1");
    CHECK(host_port("::1", 29500) == "[::1]:29500");
    CHECK(host_port("[::1]", 29500) == "[::1]:29500");
    CHECK(bare_host("[::1]") == "::1");
    CHECK(bare_host("gpu01") == "gpu01");
    CHECK(bare_host("[") == "[");
    CHECK(bare_host("").empty());
}
