// SPDX-License-Identifier: Apache-2.0
#include <muster/store/dialogue.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

using namespace std::string_literals;
using namespace muster::detail;

namespace {

struct Client final : Dialogue {
    explicit Client(KeyTable& table) : Dialogue(table) {
        CHECK_FALSE(introduced());
        CHECK(feed(RequestWriter(Opcode::validate).number(wire_magic).bytes()));
        CHECK(introduced());
    }
    bool ask(const RequestWriter& request) { return feed(request.bytes()); }
    std::string take() { return std::exchange(replies(), ""); }
};

std::string number(std::int64_t n) {
    std::string out;
    put_int(out, n);
    return out;
}

std::string bytes(std::string_view text) {
    std::string out;
    put_bytes(out, text);
    return out;
}

} // namespace

TEST_CASE("a wrong magic number is the end") {
    KeyTable table;
    Dialogue dialogue(table);
    CHECK_FALSE(dialogue.feed(RequestWriter(Opcode::validate).number(wire_magic + 1).bytes()));
    CHECK_FALSE(dialogue.introduced());
    Dialogue http(table);
    CHECK_FALSE(http.feed("GET / HTTP/1.1\r\n"));
}

TEST_CASE("every request has the reply of c10d") {
    KeyTable table;
    Client client(table);
    CHECK(client.ask(RequestWriter(Opcode::ping).number(std::uint32_t{0x01020304})));
    CHECK(client.take() == "\x04\x03\x02\x01");
    CHECK(client.ask(RequestWriter(Opcode::get).key("k")));
    CHECK(client.take() == bytes(""));
    CHECK(client.ask(RequestWriter(Opcode::set).key("k").value("v")));
    CHECK(client.take().empty());
    CHECK(client.ask(RequestWriter(Opcode::get).key("k")));
    CHECK(client.take() == bytes("v"));
    CHECK(client.ask(RequestWriter(Opcode::append).key("k").value("w")));
    CHECK(client.ask(RequestWriter(Opcode::compare_set).key("k").value("vw").value("x")));
    CHECK(client.take() == bytes("x"));
    CHECK(client.ask(RequestWriter(Opcode::compare_set).key("none").value("e").value("x")));
    CHECK(client.take() == bytes("e"));
    CHECK(client.ask(RequestWriter(Opcode::add).key("n").number(std::int64_t{-3})));
    CHECK(client.take() == number(-3));
    CHECK(client.ask(RequestWriter(Opcode::check).count(2).key("k").key("n")));
    CHECK(client.take() == "\0"s);
    CHECK(client.ask(RequestWriter(Opcode::check).count(2).key("k").key("none")));
    CHECK(client.take() == "\1"s);
    CHECK(client.ask(RequestWriter(Opcode::num_keys)));
    CHECK(client.take() == number(2));
    CHECK(client.ask(RequestWriter(Opcode::delete_key).key("k")));
    CHECK(client.ask(RequestWriter(Opcode::delete_key).key("k")));
    CHECK(client.take() == number(1) + number(0));
    CHECK(client.ask(RequestWriter(Opcode::multi_set).count(2).key("a").value("1").key("b").value("2")));
    CHECK(client.ask(RequestWriter(Opcode::multi_get).count(3).key("b").key("none").key("a")));
    CHECK(client.take() == bytes("2") + bytes("") + bytes("1"));
    CHECK(client.ask(RequestWriter(Opcode::wait).count(2).key("a").key("b")));
    CHECK(client.take() == "\0"s);
}

TEST_CASE("waiting and cancelling") {
    KeyTable table;
    Client client(table);
    Client other(table);
    CHECK(client.ask(RequestWriter(Opcode::wait).count(1).key("k")));
    CHECK(client.take().empty());
    CHECK(client.ask(RequestWriter(Opcode::ping).number(std::uint32_t{0})));
    CHECK(client.take().size() == 4);
    CHECK(client.ask(RequestWriter(Opcode::cancel_wait)));
    CHECK(client.take() == "\1"s);
    CHECK(other.ask(RequestWriter(Opcode::set).key("k").value("v")));
    CHECK(table.take_ready() == nullptr);

    CHECK(client.ask(RequestWriter(Opcode::wait).count(1).key("l")));
    CHECK(other.ask(RequestWriter(Opcode::compare_set).key("l").value("").value("v")));
    REQUIRE(table.take_ready() == &client);
    client.answer_wait();
    CHECK(client.ask(RequestWriter(Opcode::cancel_wait))); // sent before the answer arrived
    CHECK(client.take() == "\0\1"s);
}

TEST_CASE("the replies of a client that creates what it waits for keep their order") {
    KeyTable table;
    Client client(table);
    CHECK(client.feed(RequestWriter(Opcode::wait).count(1).key("k").bytes() +
                      RequestWriter(Opcode::set).key("k").value("v").bytes() +
                      RequestWriter(Opcode::get).key("k").bytes() + RequestWriter(Opcode::cancel_wait).bytes()));
    CHECK(client.take() == "\0"s + bytes("v") + "\1"s);
    CHECK(table.take_ready() == nullptr);
}

TEST_CASE("what the protocol does not allow is the end") {
    KeyTable table;
    table.set("/text", "text");
    Client adds(table), waits(table), grows(table);
    CHECK_FALSE(adds.ask(RequestWriter(Opcode::add).key("text").number(std::int64_t{1})));
    CHECK(waits.ask(RequestWriter(Opcode::wait).count(1).key("k")));
    CHECK_FALSE(waits.ask(RequestWriter(Opcode::wait).count(1).key("k")));
    const std::string part(wire_max_value_bytes, 'x');
    for (int i = 0; i < 8; ++i) CHECK(grows.ask(RequestWriter(Opcode::append).key("k").value(part)));
    CHECK_FALSE(grows.ask(RequestWriter(Opcode::append).key("k").value("x")));
}

TEST_CASE("a client that is gone is not answered") {
    KeyTable table;
    {
        Client client(table);
        CHECK(client.ask(RequestWriter(Opcode::wait).count(2).key("a").key("b")));
    }
    {
        Client client(table);
        CHECK(client.ask(RequestWriter(Opcode::wait).count(1).key("b")));
        table.set("/b", "1"); // ready, but gone before it is told
    }
    table.set("/a", "1");
    CHECK(table.take_ready() == nullptr);
}

TEST_CASE("a client that does not read may not ask for ever") {
    KeyTable table;
    table.set("/k", std::string(wire_max_value_bytes, 'x'));
    Client client(table);
    int asked = 0;
    while (asked < 100 && client.ask(RequestWriter(Opcode::get).key("k"))) ++asked;
    CHECK(asked == 2);
    CHECK(client.replies().size() < 3 * wire_max_value_bytes);

    Client greedy(table);
    RequestWriter request(Opcode::multi_get);
    request.count(1000);
    for (int i = 0; i < 1000; ++i) request.key("k");
    CHECK_FALSE(greedy.ask(request)); // 8 GB
    CHECK(greedy.replies().empty());
}

TEST_CASE("a GET behind a WAIT is answered after it") {
    KeyTable table;
    Client client(table);
    const auto ask = [&](Client& who) {
        CHECK(who.ask(RequestWriter(Opcode::wait).count(1).key("k")));
        CHECK(who.ask(RequestWriter(Opcode::get).key("k")));
    };
    ask(client);
    CHECK(client.take().empty());
    Client other(table);
    CHECK(other.ask(RequestWriter(Opcode::set).key("k").value("v")));
    REQUIRE(table.take_ready() == &client);
    client.answer_wait();
    CHECK(client.take() == "\0"s + bytes("v"));
    // One that waits for nothing is answered at once.
    ask(client);
    CHECK(client.take() == "\0"s + bytes("v"));
    // What else is asked meanwhile does not wait.
    CHECK(client.ask(RequestWriter(Opcode::wait).count(1).key("l")));
    CHECK(client.ask(RequestWriter(Opcode::get).key("l")));
    CHECK(client.ask(RequestWriter(Opcode::add).key("n").number(std::int64_t{1})));
    CHECK(client.take() == number(1));
    CHECK_FALSE(client.ask(RequestWriter(Opcode::get).key("m"))); // one GET for one WAIT
}

TEST_CASE("a cancelled WAIT takes the GET behind it along") {
    KeyTable table;
    Client client(table);
    CHECK(client.ask(RequestWriter(Opcode::wait).count(1).key("k")));
    CHECK(client.ask(RequestWriter(Opcode::get).key("k")));
    CHECK(client.ask(RequestWriter(Opcode::cancel_wait)));
    CHECK(client.take() == "\1"s);
    CHECK(client.ask(RequestWriter(Opcode::get).key("k")));
    CHECK(client.take() == bytes(""));
}

TEST_CASE("a last will is carried out at the end and not before") {
    KeyTable table;
    Client client(table);
    CHECK(client.ask(RequestWriter(Opcode::set).key("job/@will/gone").value("nonce1")));
    CHECK(client.ask(RequestWriter(Opcode::multi_set).count(2).key("@will/top").value("x").key("k").value("v")));
    CHECK(table.find("/job/gone") == nullptr);
    CHECK(table.find("/top") == nullptr);
    CHECK(table.size() == 1);
    client.execute_wills();
    REQUIRE(table.find("/job/gone") != nullptr);
    CHECK(*table.find("/job/gone") == "nonce1");
    CHECK(*table.find("/top") == "x");
    Client second(table);
    CHECK(second.ask(RequestWriter(Opcode::set).key("job/@will/gone").value("taken back")));
    CHECK(second.ask(RequestWriter(Opcode::set).key("job/@will/gone").value("nonce2"))); // the last one counts
    second.execute_wills();
    second.execute_wills(); // once
    CHECK(*table.find("/job/gone") == "nonce1nonce2");
}

TEST_CASE("a last will can be taken back") {
    KeyTable table;
    Client client(table);
    CHECK(client.ask(RequestWriter(Opcode::set).key("@will/k").value("v")));
    CHECK(client.ask(RequestWriter(Opcode::delete_key).key("@will/k")));
    CHECK(client.take() == number(1));
    CHECK(client.ask(RequestWriter(Opcode::delete_key).key("@will/k")));
    CHECK(client.take() == number(0));
    client.execute_wills();
    CHECK(table.size() == 0);
}

TEST_CASE("a client with too many wills is cut off, and they count as memory") {
    KeyTable table;
    Client client(table);
    const std::size_t before = client.bytes();
    bool goes_on = true;
    int wills = 0;
    for (; goes_on && wills < 100; ++wills)
        goes_on =
            client.ask(RequestWriter(Opcode::set).key("@will/" + std::to_string(wills)).value(std::string(1000, 'x')));
    CHECK_FALSE(goes_on);
    CHECK(wills <= 20);
    CHECK(client.bytes() > before + 10'000);
}

TEST_CASE("a mark in the middle of a name is no will") {
    KeyTable table;
    Client client(table);
    CHECK(client.ask(RequestWriter(Opcode::set).key("not@will/k").value("v")));
    CHECK(table.find("/not@will/k") != nullptr);
}
