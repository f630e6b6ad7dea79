// SPDX-License-Identifier: Apache-2.0
#include <muster/store/request_parser.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace std::string_literals;
using namespace muster::detail;
using Progress = RequestParser::Progress;

namespace {

struct Seen {
    Opcode code;
    std::vector<std::string> texts;
    std::uint64_t number;
    bool operator==(const Seen&) const = default;
};

const std::string hello = RequestWriter(Opcode::validate).number(wire_magic).bytes();

/// One of each request, some of them large.
std::string conversation() {
    std::string all = hello;
    const auto add = [&](const RequestWriter& request) { all += request.bytes(); };
    add(RequestWriter(Opcode::set).key("key").value("value"));
    add(RequestWriter(Opcode::compare_set).key("k").value("").value("w"));
    add(RequestWriter(Opcode::get).key(""));
    add(RequestWriter(Opcode::add).key("n").number(std::int64_t{-5}));
    add(RequestWriter(Opcode::check).count(0));
    add(RequestWriter(Opcode::num_keys));
    add(RequestWriter(Opcode::wait).count(3).key("a").key("b").key(std::string(8000, 'c')));
    add(RequestWriter(Opcode::cancel_wait));
    add(RequestWriter(Opcode::delete_key).key("k"));
    add(RequestWriter(Opcode::append).key("k").value(std::string(70000, 'v')));
    add(RequestWriter(Opcode::multi_get).count(1).key("only"));
    add(RequestWriter(Opcode::multi_set).count(0));
    add(RequestWriter(Opcode::multi_set).count(2).key("a").value("1").key("b").value("2"));
    add(RequestWriter(Opcode::ping).number(std::uint32_t{0xFFFFFFFF}));
    return all;
}

std::vector<Seen> parse(std::string_view bytes, std::size_t piece) {
    RequestParser parser;
    std::vector<Seen> seen;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        parser.feed(bytes.substr(at, piece));
        Progress progress;
        while ((progress = parser.next()) == Progress::complete)
            seen.push_back({parser.code(), {parser.texts().begin(), parser.texts().end()}, parser.number()});
        REQUIRE(progress == Progress::incomplete);
    }
    CHECK_FALSE(parser.mid_request());
    return seen;
}

Progress parse_one(std::string_view request) {
    RequestParser parser;
    parser.feed(hello);
    CHECK(parser.next() == Progress::complete);
    parser.feed(request);
    return parser.next();
}

} // namespace

TEST_CASE("requests are the same however the stream is cut") {
    const std::string bytes = conversation();
    const std::vector<Seen> whole = parse(bytes, bytes.size());
    REQUIRE(whole.size() == 15);
    CHECK(whole[0] == Seen{Opcode::validate, {}, wire_magic});
    CHECK(whole[1].texts == std::vector<std::string>{"/key", "value"});
    CHECK(whole[2].texts == std::vector<std::string>{"/k", "", "w"});
    CHECK(whole[4].number == static_cast<std::uint64_t>(-5));
    CHECK(whole[5].texts.empty());
    CHECK(whole[7].texts == std::vector<std::string>{"/a", "/b", "/" + std::string(8000, 'c')});
    CHECK(whole[10].texts[1].size() == 70000);
    CHECK(whole[12].texts.empty());
    CHECK(whole[13].texts == std::vector<std::string>{"/a", "1", "/b", "2"});
    CHECK(whole[14].number == 0xFFFFFFFF);
    for (const std::size_t piece : {1u, 2u, 3u, 5u, 7u, 11u, 64u, 4000u, 65536u}) CHECK(parse(bytes, piece) == whole);
}

TEST_CASE("the first request, and only the first, is VALIDATE") {
    RequestParser parser;
    parser.feed(RequestWriter(Opcode::ping).number(std::uint32_t{1}).bytes());
    CHECK(parser.next() == Progress::invalid);
    CHECK(parser.next() == Progress::invalid);
    CHECK(parse_one(hello) == Progress::invalid);
    CHECK(parse_one("\x0E") == Progress::invalid);
    CHECK(parse_one("\xFF") == Progress::invalid);
}

TEST_CASE("lengths and counts are refused as soon as they have come") {
    const auto head = [](Opcode code, std::uint64_t n) { return RequestWriter(code).number(n).bytes(); };
    CHECK(parse_one(head(Opcode::get, wire_max_key_bytes)) == Progress::incomplete);
    CHECK(parse_one(head(Opcode::get, wire_max_key_bytes + 1)) == Progress::invalid);
    CHECK(parse_one(head(Opcode::get, std::numeric_limits<std::uint64_t>::max())) == Progress::invalid);
    CHECK(parse_one(head(Opcode::wait, wire_max_keys)) == Progress::incomplete);
    CHECK(parse_one(head(Opcode::wait, wire_max_keys + 1)) == Progress::invalid);
    CHECK(parse_one(head(Opcode::multi_set, static_cast<std::uint64_t>(-1))) == Progress::invalid);
    const std::string key = RequestWriter(Opcode::set).key("k").bytes();
    const auto value = [&](std::uint64_t n) {
        std::string bytes = key;
        put_int(bytes, n);
        return bytes;
    };
    CHECK(parse_one(value(wire_max_value_bytes)) == Progress::incomplete);
    CHECK(parse_one(value(wire_max_value_bytes + 1)) == Progress::invalid);
    CHECK(parse_one(value(std::numeric_limits<std::uint64_t>::max() - 7)) == Progress::invalid);
}

TEST_CASE("a request is refused when it is too large as a whole") {
    RequestParser parser;
    parser.feed(hello);
    CHECK(parser.next() == Progress::complete);
    parser.feed(RequestWriter(Opcode::multi_set).count(1000).bytes());
    std::string pair;
    put_bytes(pair, "/k");
    put_bytes(pair, std::string(wire_max_value_bytes, 'v'));
    std::size_t fed = 0;
    while (parser.next() == Progress::incomplete && fed <= 2 * max_message_bytes) {
        parser.feed(pair);
        fed += pair.size();
    }
    CHECK(parser.next() == Progress::invalid);
    CHECK(fed <= max_message_bytes + pair.size());
}

TEST_CASE("an announced length takes no memory, and a large request leaves none") {
    RequestParser parser;
    parser.feed(hello);
    CHECK(parser.next() == Progress::complete);
    std::string request = RequestWriter(Opcode::set).key("k").bytes();
    put_int(request, std::uint64_t{wire_max_value_bytes});
    parser.feed(request);
    CHECK(parser.next() == Progress::incomplete);
    CHECK(parser.bytes() < 4096);
    parser.feed(std::string(wire_max_value_bytes, 'v'));
    CHECK(parser.next() == Progress::complete);
    CHECK(parser.bytes() >= wire_max_value_bytes);
    CHECK(parser.next() == Progress::incomplete);
    CHECK(parser.bytes() < 4096);
}

TEST_CASE("random bytes never get further than their bounds") {
    std::mt19937 random(20240607);
    std::uniform_int_distribution<int> byte(0, 255);
    std::uniform_int_distribution<std::size_t> length(1, 40);
    const std::string good = conversation();
    std::size_t invalid = 0;
    for (int round = 0; round < 3000; ++round) {
        RequestParser parser;
        // Garbage from the start, after the magic, or in the middle of what was right.
        std::string bytes;
        if (round % 3 == 1) bytes = hello;
        if (round % 3 == 2) {
            bytes = good.substr(0, 120);
            for (int i = 0; i < 3; ++i)
                bytes[std::uniform_int_distribution<std::size_t>(5, bytes.size() - 1)(random)] =
                    static_cast<char>(byte(random));
        }
        for (int i = 0; i < 100; ++i) {
            const int b = byte(random);
            bytes += static_cast<char>(i % 3 == 0 ? b % 20 : i % 3 == 1 ? 0 : b);
        }
        bool refused = false;
        for (std::string_view rest = bytes; !rest.empty() && !refused;) {
            const std::size_t n = std::min(length(random), rest.size());
            parser.feed(rest.substr(0, n));
            rest.remove_prefix(n);
            Progress progress;
            while ((progress = parser.next()) == Progress::complete) {
                std::size_t total = 0;
                for (const std::string_view text : parser.texts())
                    for (const char c : text) total += static_cast<unsigned char>(c) + 1u; // touches each byte
                CHECK(total <= bytes.size() * 256);
            }
            refused = progress == Progress::invalid;
        }
        invalid += refused;
        CHECK(parser.bytes() < 64 * bytes.size());
    }
    CHECK(invalid > 1000);
}
