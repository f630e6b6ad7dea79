// SPDX-License-Identifier: Apache-2.0
#include <muster/report/diagram.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstddef>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

using muster::Axis;
using muster::diagram;
using muster::Dp;
using muster::Ep;
using muster::errc;
using muster::Error;
using muster::Nodes;
using muster::Pp;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

namespace {

struct DpShard {
    static constexpr std::string_view name = "dp_shard";
};

std::vector<std::string> lines(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> all;
    for (std::string line; std::getline(stream, line);) all.push_back(line);
    return all;
}

/// The cells, as "5 (1,0,1)", in their order.
std::vector<std::string> cells(const std::string& text) {
    static const std::regex cell(R"( (\d+ \([0-9,]+\)) *\|)");
    std::vector<std::string> all;
    for (std::sregex_iterator found(text.begin(), text.end(), cell), end; found != end; ++found)
        all.push_back((*found)[1]);
    return all;
}

/// Every rank once, at its coordinate, on lines that a terminal has room for.
template <class Grid>
void check_properties(const Grid& topology, const Nodes& nodes) {
    const std::string text = diagram(topology, nodes);
    INFO(text);
    for (const std::string& line : lines(text)) {
        CHECK(line.size() <= 100);
        CHECK((line.empty() || line.back() != ' '));
    }
    auto found = cells(text);
    std::vector<std::string> wanted;
    for (int rank = 0; rank < topology.size(); ++rank) {
        std::string where;
        for (const int c : topology.coordinate(rank)) where += (where.empty() ? "" : ",") + std::to_string(c);
        wanted.push_back(std::to_string(rank) + " (" + where + ')');
    }
    std::sort(found.begin(), found.end());
    std::sort(wanted.begin(), wanted.end());
    CHECK(found == wanted);
    CHECK(text == diagram(topology, nodes));
}

} // namespace

TEST_CASE("eight ranks on two nodes") {
    CHECK(diagram(Topology3D<2, 2, 2>(), Nodes::of_size(4)) ==
          "world 8 = DP 2 x TP 2 x CP 2 on 2 nodes; each cell: rank (dp,tp,cp)\n"
          "\n"
          "  node 0 | 0 (0,0,0) | 1 (0,0,1) | 2 (0,1,0) | 3 (0,1,1) |\n"
          "  node 1 | 4 (1,0,0) | 5 (1,0,1) | 6 (1,1,0) | 7 (1,1,1) |\n"
          "\n"
          "  dp  crosses nodes  4 of 4 groups, on 2 nodes each: [0 4] [1 5] [2 6] [3 7]\n"
          "  tp  inside a node  4 groups: [0 2] [1 3] [4 6] [5 7]\n"
          "  cp  inside a node  4 groups: [0 1] [2 3] [4 5] [6 7]\n");
}

TEST_CASE("unequal nodes go by their hosts, and only groups that cross are listed") {
    const std::vector<std::string> hosts{"a", "a", "gpu02", "gpu02", "gpu02", "c", "gpu02", "gpu02"};
    CHECK(diagram(Topology3D<4, 2, 1>(), Nodes::by_host(hosts)) ==
          "world 8 = DP 2 x TP 4 x CP 1 on 3 nodes; each cell: rank (dp,tp,cp)\n"
          "\n"
          "  a     | 0 (0,0,0) | 1 (0,1,0) |\n"
          "  gpu02 | 2 (0,2,0) | 3 (0,3,0) | 4 (1,0,0) | 6 (1,2,0) | 7 (1,3,0) |\n"
          "  c     | 5 (1,1,0) |\n"
          "\n"
          "  dp  crosses nodes  2 of 4 groups, on 2 nodes each: [0 4] [1 5]\n"
          "  tp  crosses nodes  2 of 2 groups, on 2 nodes each: [0 1 2 3] [4 5 6 7]\n"
          "  cp  one rank in each group\n");
}

TEST_CASE("groups on different numbers of nodes, and a single one") {
    using Pairs = Topology<Axis<Dp, 2>, Axis<Tp, 3>>;
    const auto last = [](const Nodes& nodes) { return lines(diagram(Pairs(), nodes)).back(); };
    CHECK(last(Nodes::by_rank({0, 1, 2, 3, 4, 3})) ==
          "  tp  crosses nodes  2 of 2 groups, on 2 to 3 nodes: [0 1 2] [3 4 5]");
    CHECK(last(Nodes::by_rank({0, 1, 2, 3, 3, 3})) == "  tp  crosses nodes  1 of 2 groups, on 3 nodes: [0 1 2]");
    CHECK(lines(diagram(Topology<Axis<Dp, 6>>(), Nodes::of_size(3))).back() ==
          "  dp  crosses nodes  1 of 1 group, on 2 nodes: [0 1 .. 5]");
}

TEST_CASE("a world of one") {
    CHECK(diagram(Topology3D<1, 1, 1>(), Nodes::of_size(1)) ==
          "world 1 = DP 1 x TP 1 x CP 1 on 1 node; each cell: rank (dp,tp,cp)\n"
          "\n"
          "  node 0 | 0 (0,0,0) |\n"
          "\n"
          "  dp  one rank in each group\n"
          "  tp  one rank in each group\n"
          "  cp  one rank in each group\n");
}

TEST_CASE("64 ranks on 8 nodes fit a terminal") {
    const auto all = lines(diagram(Topology3D<8, 4, 2>(), Nodes::of_size(8)));
    REQUIRE(all.size() == 2 + 16 + 1 + 6);
    CHECK(all[2] == "  node 0 |  0 (0,0,0) |  1 (0,0,1) |  2 (0,1,0) |  3 (0,1,1) |");
    CHECK(all[3] == "         |  4 (0,2,0) |  5 (0,2,1) |  6 (0,3,0) |  7 (0,3,1) |");
    CHECK(all[17] == "         | 60 (3,6,0) | 61 (3,6,1) | 62 (3,7,0) | 63 (3,7,1) |");
    CHECK(all[19] == "  dp  crosses nodes  16 of 16 groups, on 4 nodes each: [0 16 32 48] [1 17 33 49] [2 18 34 50]");
    CHECK(all[20] ==
          "                     [3 19 35 51] [4 20 36 52] [5 21 37 53] [6 22 38 54] [7 23 39 55] and 8 more");
    CHECK(all[22] == "                     [17 19 .. 31] [32 34 .. 46] [33 35 .. 47] [48 50 .. 62] [49 51 .. 63]");
}

TEST_CASE("every rank appears once, whatever the world") {
    check_properties(Topology3D<2, 2, 2>(), Nodes::of_size(4));
    check_properties(Topology3D<2, 2, 2>(), Nodes::by_rank({2, 1, 0, 2, 1, 0, 2, 2}));
    check_properties(Topology3D<8, 4, 2>(), Nodes::of_size(8));
    check_properties(Topology3D<8, 16, 1>(), Nodes::of_size(1));
    check_properties(Topology<Axis<Pp, 2>, Axis<DpShard, 12>, Axis<Ep, 2>, Axis<Tp, 8>>(), Nodes::of_size(16));
    check_properties(Topology<Axis<Dp>>::for_world(1024), Nodes::of_size(8));
    check_properties(Topology<Axis<Dp>>::for_world(101), Nodes::of_size(101));
}

TEST_CASE("a host name longer than the line still has its ranks") {
    const std::string host(120, 'h');
    const std::string text = diagram(Topology3D<2, 1, 1>(), Nodes::by_host(std::vector{host, host}));
    CHECK(cells(text) == std::vector<std::string>{"0 (0,0,0)", "1 (0,1,0)"});
}

TEST_CASE("nodes of another world are refused") {
    try {
        static_cast<void>(diagram(Topology3D<2, 2, 2>(), Nodes::of_size(3)));
        FAIL("no error");
    } catch (const Error& error) {
        CHECK(error.code() == errc::invalid_argument);
        CHECK(error.text().starts_with("world size 8 does not fill nodes of 3 ranks"));
    }
}
