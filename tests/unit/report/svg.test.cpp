// SPDX-License-Identifier: Apache-2.0
#include <muster/report/svg.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>

using namespace std::string_literals;
using muster::detail::svg_cut;
using muster::detail::svg_text_width;
using muster::detail::xml_escaped;

TEST_CASE("any bytes become text of a document") {
    CHECK(xml_escaped("gpu01") == "gpu01");
    CHECK(xml_escaped("<a & \"b\">") == "&lt;a &amp; &quot;b&quot;&gt;");
    CHECK(xml_escaped("\n\x01\xC3\xA4\0"s) == "\\x0a\\x01\\xc3\\xa4\\x00");
}

TEST_CASE("a text that is too wide is cut") {
    CHECK(svg_text_width(10, 11) == 70);
    CHECK(svg_cut("0123456789", 11, 70) == "0123456..");
    CHECK(svg_cut("0123456789", 11, 71) == "0123456789");
}
