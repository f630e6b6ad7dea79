// SPDX-License-Identifier: Apache-2.0
#include <muster/store/wire.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

using namespace std::string_literals;
using muster::detail::get_int;
using muster::detail::Opcode;
using muster::detail::put_int;
using muster::detail::RequestWriter;

TEST_CASE("integers are little-endian") {
    std::string out;
    put_int(out, std::uint32_t{0x3C85F7CE});
    put_int(out, std::int64_t{-2});
    put_int(out, std::uint8_t{7});
    CHECK(out == "\xCE\xF7\x85\x3C\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x07"s);
    CHECK(get_int<std::uint32_t>(out.data()) == 0x3C85F7CEu);
    CHECK(get_int<std::int64_t>(out.data() + 4) == -2);
    CHECK(get_int<std::uint64_t>(out.data() + 4) == std::numeric_limits<std::uint64_t>::max() - 1);
    CHECK(get_int<std::uint8_t>(out.data() + 12) == 7);
}

TEST_CASE("requests have the layout of c10d") {
    CHECK(RequestWriter(Opcode::validate).number(muster::detail::wire_magic).bytes() == "\x00\xCE\xF7\x85\x3C"s);
    CHECK(RequestWriter(Opcode::set).key("ab").value("xyz").bytes() ==
          "\x01\x03\0\0\0\0\0\0\0/ab\x03\0\0\0\0\0\0\0xyz"s);
    CHECK(RequestWriter(Opcode::add).key("").number(std::int64_t{1}).bytes() ==
          "\x04\x01\0\0\0\0\0\0\0/\x01\0\0\0\0\0\0\0"s);
    CHECK(RequestWriter(Opcode::wait).count(2).key("a").key("b").bytes() ==
          "\x06\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0/a\x02\0\0\0\0\0\0\0/b"s);
    CHECK(RequestWriter(Opcode::cancel_wait).bytes() == "\x0C"s);
    CHECK(RequestWriter(Opcode::ping).number(std::uint32_t{0xFFFFFFFF}).bytes() == "\x0D\xFF\xFF\xFF\xFF"s);
}
