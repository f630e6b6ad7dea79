// SPDX-License-Identifier: Apache-2.0
#include <muster/report/diagram_svg.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using muster::Axis;
using muster::diagram_svg;
using muster::Dp;
using muster::Error;
using muster::Nodes;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

namespace {

std::size_t count(const std::string& text, std::string_view word) {
    std::size_t times = 0;
    for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + word.size())) ++times;
    return times;
}

/// What is wrong with the document as XML, or nothing: elements that nest, attributes in quotes, no stray < or &. A
/// full parser reads the pictures of the documentation.
std::string not_well_formed(const std::string& text) {
    static const std::regex tag(R"(</?([a-z]+)((?: [a-z][a-zA-Z0-9-]*="[^"<]*")*)(/?)>)");
    static const std::regex entity("&(?!(amp|lt|gt|quot);)");
    std::vector<std::string> open;
    std::size_t roots = 0;
    auto at = text.cbegin();
    std::string between;
    for (std::smatch found; std::regex_search(at, text.cend(), found, tag); at = found.suffix().first) {
        between += found.prefix().str() + found[2].str();
        if (found.str().starts_with("</")) {
            if (open.empty() || open.back() != found[1]) return "unexpected " + found.str();
            open.pop_back();
        } else if (found[3].length() == 0) {
            if (open.empty()) ++roots;
            open.push_back(found[1]);
        }
    }
    between += std::string(at, text.cend());
    if (!open.empty()) return open.back() + " is not closed";
    if (roots != 1) return std::to_string(roots) + " roots";
    if (between.find('<') != std::string::npos) return "a stray <";
    if (std::regex_search(between, entity)) return "a stray &";
    for (const char c : text)
        if (c != '\n' && (c < ' ' || c > '~')) return "a byte that is no text";
    return {};
}

/// Of the whole document: with all ranks in each panel, and none beside it.
template <class Grid>
void check_properties(const Grid& topology, const Nodes& nodes, std::size_t panels) {
    const std::string svg = diagram_svg(topology, nodes);
    CHECK(not_well_formed(svg) == "");
    CHECK(svg == diagram_svg(topology, nodes));
    for (int rank = 0; rank < topology.size(); ++rank) {
        std::string where;
        for (const int c : topology.coordinate(rank)) where += (where.empty() ? "" : ",") + std::to_string(c);
        CHECK(count(svg, '>' + std::to_string(rank) + "</text>") ==
              (where == std::to_string(rank) ? 2 * panels : panels)); // of one axis the coordinate is the rank
        CHECK(count(svg, '>' + where + "</text>") >= panels);
    }
    std::smatch size;
    REQUIRE(std::regex_search(svg, size, std::regex(R"_(viewBox="0 0 (\d+) (\d+)")_")));
    CHECK(std::stoi(size[1]) <= 1400);
    CHECK(count(svg, "<script") + count(svg, "href") + count(svg, "<style") == 0);
}

} // namespace

TEST_CASE("a small document, to the letter") {
    CHECK(
        diagram_svg(Topology<Axis<Dp, 2>>(), Nodes::of_size(1)) ==
        R"svg(<svg xmlns="http://www.w3.org/2000/svg" width="681" height="276" viewBox="0 0 681 276" role="img" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="11" fill="#1f2328" stroke-width="1.5" stroke-linejoin="round">
<title>world 2 = DP 2 on 2 nodes</title>
<rect x="0.5" y="0.5" width="680" height="275" rx="8" fill="#ffffff" stroke="#d0d7de" stroke-width="1"/>
<text x="20" y="29" font-size="15" font-weight="700">world 2 = DP 2 on 2 nodes</text>
<g transform="translate(20 44)">
<g fill="#57606a"><text y="64">node 0</text><text y="140">node 1</text></g>
</g>
<g transform="translate(76 44)">
<text y="18" font-size="13" fill="#d9480f"><tspan font-weight="700">dp</tspan> crosses nodes: 1 of 1 group</text>
<g fill="#f6f8fa" stroke="#d0d7de"><rect y="30" width="68" height="62" rx="6"/><rect y="106" width="68" height="62" rx="6"/></g>
<g fill="#d6e6f7" stroke="#d9480f"><path d="M12 42h44v36h-44zM12 118h44v36h-44z"/></g>
<path fill="none" stroke="#d9480f" stroke-dasharray="5 3" d="M34 78C34 98 34 98 34 118"/>
<g text-anchor="middle"><g font-size="14" font-weight="600"><text x="34" y="58">0</text><text x="34" y="134">1</text></g>
<g fill="#57606a"><text x="34" y="72">0</text><text x="34" y="148">1</text></g></g>
</g>
<g transform="translate(20 240)">
<g transform="translate(0)"><path d="M0 2h26v16h-26z" fill="#d6e6f7" stroke="#2b6cb0"/><text x="34" y="14" fill="#57606a">rank and dp; a group has one colour</text></g>
<g transform="translate(304)"><path d="M0 10h26" stroke="#2b6cb0"/><text x="34" y="14" fill="#57606a">link inside a node</text></g>
<g transform="translate(488)"><path d="M0 10h26" stroke="#d9480f" stroke-dasharray="5 3"/><text x="34" y="14" fill="#57606a">link across nodes</text></g>
</g>
</svg>
)svg");
}

TEST_CASE("links are dashed where they cross nodes, and only there") {
    constexpr std::string_view dashed = R"(stroke-dasharray="5 3")";
    // One of them is the legend's.
    CHECK(count(diagram_svg(Topology3D<2, 2, 2>(), Nodes::of_size(8)), dashed) == 1);
    CHECK(count(diagram_svg(Topology3D<2, 2, 2>(), Nodes::of_size(4)), dashed) == 2);
    CHECK(count(diagram_svg(Topology3D<2, 2, 2>(), Nodes::of_size(2)), dashed) == 3);
    CHECK(count(diagram_svg(Topology3D<2, 2, 2>(), Nodes::of_size(1)), dashed) == 4);
}

TEST_CASE("an axis of one rank has no panel, unless there is no other") {
    const std::string pair = diagram_svg(Topology3D<2, 1, 1>(), Nodes::of_size(2));
    CHECK(count(pair, R"(<tspan font-weight="700">tp</tspan> inside a node: 1 group</text>)") == 1);
    CHECK(count(pair, "<tspan") == 1);
    const std::string one = diagram_svg(Topology3D<1, 1, 1>(), Nodes::of_size(1));
    CHECK(count(one, R"(<tspan font-weight="700">dp</tspan> one rank in each group</text>)") == 1);
    CHECK(count(one, "<tspan") == 1);
}

TEST_CASE("every rank stands once in each panel of a well-formed document") {
    check_properties(Topology3D<2, 2, 2>(), Nodes::of_size(4), 3);
    check_properties(Topology3D<2, 2, 2>(), Nodes::by_rank({2, 1, 0, 2, 1, 0, 2, 2}), 3);
    check_properties(Topology3D<8, 4, 2>(), Nodes::of_size(8), 3);
    check_properties(Topology3D<4, 5, 1>(), Nodes::of_size(20), 2);
    check_properties(Topology<Axis<Dp>>::for_world(40), Nodes::of_size(8), 1);
    check_properties(Topology3D<1, 1, 1>(), Nodes::of_size(1), 1);
}

TEST_CASE("names of hosts are text, whatever they hold") {
    const std::vector<std::string> hosts{"<b>&\"'\n\xFF", "an-ordinary-host-name-that-is-long.example.org"};
    const std::string svg = diagram_svg(Topology<Axis<Tp, 2>>(), Nodes::by_host(hosts));
    CHECK(not_well_formed(svg) == "");
    CHECK(count(svg, R"(>&lt;b&gt;&amp;&quot;'\x0a\xff</text>)") == 1);
    CHECK(count(svg, ">an-ordinary-host-..</text>") == 1);
}

TEST_CASE("the check of well-formedness finds what is not") {
    CHECK(not_well_formed("<a><b x=\"1\"/>&amp;</a>") == "");
    for (const char* text :
         {"<a>", "<a></b>", "<a/><a></a><b></b>", "<a>&</a>", "<a> < </a>", "<a x=1></a>", "<a>\x01</a>"})
        CHECK(not_well_formed(text) != "");
}

TEST_CASE("no picture of nodes of another world") {
    CHECK_THROWS_AS(diagram_svg(Topology3D<2, 2, 2>(), Nodes::of_size(3)), Error);
}
