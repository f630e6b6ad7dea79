// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>
#include <muster/roll_call/fields.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <random>
#include <string>

using muster::Error;
using muster::detail::Fields;

TEST_CASE("fields come back as they were") {
    Fields fields;
    fields.set("text", std::string("a\0b\n", 4));
    fields.set("empty", "");
    fields.set("number", -7);
    fields.set("number", 42);
    const Fields read = Fields::decode(fields.encode());
    CHECK(read.get("text") == std::string("a\0b\n", 4));
    CHECK(read.get("empty").empty());
    CHECK(read.number("number", 0) == 42);
    CHECK(read.get("absent").empty());
    CHECK(read.number("absent", 5) == 5);
    CHECK(read.number("text", 5) == 5);
    CHECK(Fields::decode(read.encode()).encode() == fields.encode());
    Fields more = read; // goes on where the reader stopped
    more.set("more", "1");
    CHECK(Fields::decode(more.encode()).get("more") == "1");
    CHECK_FALSE(read.has("absent"));
    CHECK_FALSE(Fields::decode(Fields().encode()).has(""));
}

TEST_CASE("every cut and every stray byte is refused") {
    Fields fields;
    fields.set("rank", 3);
    fields.set("host", "gpu01");
    const std::string bytes = fields.encode();
    for (std::size_t length = 0; length < bytes.size(); ++length)
        CHECK_THROWS_AS(Fields::decode(bytes.substr(0, length)), Error);
    CHECK_THROWS_AS(Fields::decode(bytes + "x"), Error);
}

TEST_CASE("garbage is refused without trusting its lengths") {
    std::mt19937 random(1);
    int refused = 0;
    for (int round = 0; round < 2000; ++round) {
        std::string bytes(random() % 64, '\0');
        for (char& c : bytes) c = static_cast<char>(random());
        try {
            (void)Fields::decode(bytes);
        } catch (const Error& error) {
            CHECK(error.code() == muster::errc::protocol);
            ++refused;
        }
    }
    CHECK(refused > 1900);
}

TEST_CASE("texts in a list that several append to") {
    std::string list;
    Fields::put_text(list, "first");
    Fields::put_text(list, "");
    Fields::put_text(list, "third");
    std::string_view rest = list;
    CHECK(Fields::take_text(rest) == "first");
    CHECK(Fields::take_text(rest).empty());
    CHECK(Fields::take_text(rest) == "third");
    CHECK(rest.empty());
    CHECK_THROWS_AS(Fields::take_text(rest), Error);
}
