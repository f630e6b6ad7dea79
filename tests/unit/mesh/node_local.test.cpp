// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../../support/ranks.hpp"

using muster::Axis;
using muster::Dp;
using muster::Nodes;
using muster::Pp;
using muster::Record;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

namespace {

/// What rank `rank` says of a world whose ranks are on these hosts.
template <class Grid>
std::vector<std::string> warnings(const Grid& topology, const std::vector<std::string>& hosts,
                                  std::vector<std::string> node_local = muster::Options().node_local, int rank = 0) {
    muster::Session session;
    session.rank = rank;
    session.size = topology.size();
    for (const std::string& host : hosts) {
        Record record;
        record.host = host;
        session.records.push_back(record);
    }
    std::vector<std::string> lines;
    muster::Options options;
    options.node_local = std::move(node_local);
    options.log = [&](std::string_view line) { lines.emplace_back(line); };
    muster::detail::warn_of_crossing(topology, session, options);
    options.log = {};
    muster::detail::warn_of_crossing(topology, session, options); // nobody listens
    return lines;
}

const std::vector<std::string> halves{"gpu01", "gpu01", "gpu01", "gpu01", "gpu02", "gpu02", "gpu02", "gpu02"};
const std::vector<std::string> in_turn{"gpu01", "gpu02", "gpu01", "gpu02", "gpu01", "gpu02", "gpu01", "gpu02"};

} // namespace

TEST_CASE("a tensor-parallel group across nodes is a warning, another is none") {
    CHECK(warnings(Topology3D<4, 2, 1>(), halves).empty());
    CHECK(warnings(Topology3D<2, 2, 2>(), halves).empty());
    CHECK(warnings(Topology3D<1, 8, 1>(), in_turn).empty());
    CHECK(warnings(Topology3D<4, 2, 1>(), in_turn) ==
          std::vector<std::string>{
              "muster: warning: 2 of 2 TP groups cross nodes, so TP waits for the network\n"
              "  groups: [0 1 2 3] on gpu01, gpu02; [4 5 6 7] on gpu01, gpu02\n"
              "  do: let TP (4) * CP (1) = 4 divide the number of ranks on each node, and launch consecutive ranks on "
              "one node; or, if this is meant, leave 'tp' out of Options::node_local"});
    CHECK(warnings(Topology<Axis<Pp, 1>, Axis<Tp, 8>>(), in_turn) ==
          std::vector<std::string>{
              "muster: warning: 1 of 1 TP group crosses nodes, so TP waits for the network\n"
              "  groups: [0 1 .. 7] on gpu01, gpu02\n"
              "  do: let TP (8) divide the number of ranks on each node, and launch consecutive ranks on one node; "
              "or, if this is meant, leave 'tp' out of Options::node_local"});
}

TEST_CASE("many groups and hosts are cut short") {
    const std::vector<std::string> hosts{"a", "b", "c", "d", "e", "e", "e", "e", "f", "g"};
    CHECK(warnings(Topology<Axis<Dp, 2>, Axis<Tp, 5>>(), hosts)[0].starts_with(
        "muster: warning: 2 of 2 TP groups cross nodes, so TP waits for the network\n"
        "  groups: [0 1 .. 4] on a, b, c, d and 1 more; [5 6 .. 9] on e, f, g\n  do: "));
    CHECK(warnings(Topology<Axis<Dp, 5>, Axis<Tp, 2>>(), {"a", "b", "a", "b", "a", "b", "a", "b", "a", "b"})[0].find(
              "[6 7] on a, b; and 1 more\n") != std::string::npos);
}

TEST_CASE("which axes should stay in a node is an option") {
    CHECK(muster::Options().node_local == std::vector<std::string>{"tp"});
    CHECK(warnings(Topology3D<4, 2, 1>(), in_turn, {}).empty());
    CHECK(warnings(Topology3D<4, 2, 1>(), in_turn, {"cp", "nothing"}).empty());
    const auto both = warnings(Topology3D<2, 2, 2>(), in_turn, {"cp", "tp", "dp"});
    REQUIRE(both.size() == 1);
    CHECK(both[0].starts_with("muster: warning: 4 of 4 CP groups cross nodes"));
    CHECK(warnings(Topology3D<2, 2, 2>(), {"a", "b", "c", "d", "e", "f", "g", "h"}, {"cp", "tp", "dp"}).size() == 3);
}

TEST_CASE("only rank 0, which has the records, says it") {
    CHECK(warnings(Topology3D<4, 2, 1>(), in_turn, {"tp"}, 1).empty());
    CHECK(warnings(Topology3D<4, 2, 1>(), {}, {"tp"}, 1).empty());
}

TEST_CASE("a mesh on one host warns of nothing and draws itself") {
    std::mutex mutex;
    std::vector<std::string> lines, pictures;
    const muster::LocalRendezvous threads(4);
    support::run_ranks(4, [&](int rank) {
        muster::Options options;
        options.timeout = std::chrono::seconds(30);
        options.log = [&](std::string_view line) {
            const std::lock_guard lock(mutex);
            lines.emplace_back(line);
        };
        muster::DeviceMesh<2, 2, 1, muster::Gloo> mesh(threads.rank(rank), options);
        const std::vector<std::string> hosts(4, mesh.record().host);
        {
            const std::lock_guard lock(mutex); // for CHECK, too
            pictures.push_back(diagram(mesh));
            CHECK(pictures.back() == diagram(mesh.topology(), Nodes::by_host(hosts)));
            CHECK(diagram_svg(mesh) == diagram_svg(mesh.topology(), Nodes::by_host(hosts)));
        }
        mesh.close(muster::Deadline::after(std::chrono::seconds(20)));
    });
    CHECK(lines.empty());
    CHECK(pictures.size() == 4);
}
