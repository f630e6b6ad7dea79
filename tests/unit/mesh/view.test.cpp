// SPDX-License-Identifier: Apache-2.0
// Groups along several axes, other grids of the same ranks, parts of a mesh.
#include <muster/gloo.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <latch>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "threads.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace std::chrono_literals;
using muster::Axis;
using muster::Cp;
using muster::Deadline;
using muster::Dp;
using muster::dynamic;
using muster::Ep;
using muster::errc;
using muster::Error;
using muster::Gloo;
using muster::Pp;
using muster::Sharing;
using muster::Topology;
using muster::Tp;

template <int TP, int DP, int CP>
using Mesh = muster::DeviceMesh<TP, DP, CP, Gloo>;

namespace {

/// What all ranks of the group say, in its order.
std::vector<int> gathered(muster::GlooCommunicator& group, int mine) {
    std::vector<int> all(static_cast<std::size_t>(group.size()));
    const std::array own{mine};
    group.all_gather(own, all);
    return all;
}

template <class Body>
std::optional<Error> error_of(Body body) {
    try {
        body();
        return std::nullopt;
    } catch (const Error& error) {
        return error;
    }
}

/// Catch's assertions are for one thread alone.
void check(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(what);
}

} // namespace

TEST_CASE("flatten makes the group of axes that need not be adjacent, once") {
    const auto groups = on_all_ranks(8, [](Threads threads) {
        Mesh<2, 2, 2> mesh(threads, quick());
        auto& dp_cp = mesh.flatten<Dp, Cp>();
        check(&mesh.flatten<Dp, Cp>() == &dp_cp, "the second flatten is another one");
        check(gathered(dp_cp, mesh.rank()) == ranks_of(dp_cp), "data does not come from the ranks of the group");
        check(&mesh.flatten<Dp, Tp, Cp>() == &mesh.world(), "all axes are not the world");
        check(&mesh.flatten<Tp>() == &mesh.tp(), "one axis is not its own");
        check(ranks_of(mesh.flatten<Tp, Cp>()) == mesh.topology().group<Tp, Cp>(mesh.rank()), "tp and cp");
        auto result = ranks_of(dp_cp);
        mesh.close(Deadline::after(10s));
        check(!dp_cp.is_open(), "the mesh's end left the group open");
        const auto late = error_of([&] { (void)mesh.flatten<Dp, Tp>(); });
        check(late && late->code() == errc::closed, "flatten after close");
        return result;
    });
    for (const int rank : {0, 1, 4, 5}) CHECK(groups[static_cast<std::size_t>(rank)] == std::vector{0, 1, 4, 5});
    for (const int rank : {2, 3, 6, 7}) CHECK(groups[static_cast<std::size_t>(rank)] == std::vector{2, 3, 6, 7});
}

TEST_CASE("groups of the same ranks share a communicator unless one asks for its own") {
    on_all_ranks(4, [](Threads threads) {
        Mesh<2, 2, 1> mesh(threads, quick());
        check(&mesh.flatten<Dp, Cp>() == &mesh.dp(), "cp has one rank: dp x cp is dp");
        auto& own = mesh.flatten<Dp>(Sharing::none);
        check(&own != &mesh.dp(), "Sharing::none shared");
        check(&mesh.flatten<Dp>(Sharing::none) == &own, "its own one was made twice");
        check(&mesh.flatten<Dp>() == &mesh.dp(), "the shared one is another now");
        check(gathered(own, mesh.rank()) == ranks_of(mesh.dp()), "its own one has other ranks");
        mesh.abort();
        check(!own.is_open(), "abort left a group open");
        return 0;
    });
    on_all_ranks(2, [](Threads threads) {
        auto options = quick();
        options.share_communicators = false;
        Mesh<2, 1, 1> mesh(threads, options);
        check(&mesh.tp() != &mesh.world(), "nothing is to be shared");
        check(gathered(mesh.tp(), mesh.rank()) == std::vector{0, 1}, "tp");
        mesh.close(Deadline::after(10s));
        return 0;
    });
}

TEST_CASE("ranks that do not agree on sharing are told") {
    const auto texts = on_all_ranks(2, [](Threads threads) {
        auto options = quick();
        options.share_communicators = threads.rank == 0;
        const auto error = error_of([&] { const Mesh<2, 1, 1> mesh(threads, options); });
        return error ? std::string(error->text()) : std::string();
    });
    CHECK_THAT(texts[0], ContainsSubstring("Options::share_communicators"));
    CHECK(texts[0] == texts[1]);
}

TEST_CASE("a flattened group has the mesh's limit") {
    std::latch both(2);
    const auto codes = on_all_ranks(2, [&](Threads threads) {
        auto options = quick();
        options.timeout = 5s;
        Mesh<1, 2, 1> mesh(threads, options);
        auto& group = mesh.flatten<Dp, Tp>(Sharing::none);
        std::optional<Error> error;
        const Deadline end = Deadline::after(25s); // the default is minutes
        if (mesh.rank() == 0) error = error_of([&] { group.barrier(); });
        check(!end.expired(), "the limit is not the mesh's");
        both.arrive_and_wait();
        mesh.abort();
        return error ? error->code() : errc{};
    });
    CHECK(codes[0] == errc::timeout);
}

TEST_CASE("a limit that the program set stays when a group is made") {
    on_all_ranks(2, [&](Threads threads) {
        Mesh<1, 2, 1> mesh(threads, quick());
        mesh.world().set_timeout(7s);
        check(mesh.flatten<Dp, Tp>(Sharing::none).timeout() == quick().timeout, "the new group's");
        check(mesh.world().timeout() == 7s, "the world's");
        mesh.close(Deadline::after(10s));
        return 0;
    });
}

TEST_CASE("a view is another grid of the same ranks and shares what it can") {
    using Experts = Topology<Axis<Dp>, Axis<Ep, 2>>;
    on_all_ranks(8, [](Threads threads) {
        std::optional<Mesh<2, 2, 2>> mesh(std::in_place, threads, quick());
        auto view = mesh->view<Experts>();
        check(&view.ep() == &mesh->cp(), "ep has cp's ranks and another communicator");
        check(ranks_of(view.dp()) == view.topology().group<Dp>(mesh->rank()), "dp of the view");
        check(&view.dp() != &mesh->dp(), "two groups of other ranks are one");
        check(&mesh->view<Experts>().dp() == &view.dp(), "a second view made it again");
        check(&view.flatten<Dp, Ep>() == &view.world() && &view.world() == &mesh->world(), "the world");
        Mesh<2, 2, 2> moved = std::move(*mesh);
        mesh.reset();
        check(gathered(view.dp(), moved.rank()) == view.topology().group<Dp>(moved.rank()), "after a move");
        const auto error = error_of([&] { (void)moved.view(Topology<Axis<Ep, 3>>{}); });
        check(error && error->code() == errc::world_mismatch &&
                  error->text().find("a view of ep=3 has 3 ranks, the mesh has 8") != std::string_view::npos,
              error ? std::string(error->text()) : "no error");
        moved.close(Deadline::after(10s));
        return 0;
    });
}

TEST_CASE("a sub-mesh is the grid of some axes") {
    on_all_ranks(8, [](Threads threads) {
        Mesh<2, 2, 2> mesh(threads, quick());
        const auto replicas = mesh.submesh<Dp, Cp>();
        check(replicas.size() == 4 && replicas.topology().ndim() == 2, "size");
        check(replicas.rank() == mesh.coordinate<Dp>() * 2 + mesh.coordinate<Cp>(), "rank");
        check(replicas.ranks()[static_cast<std::size_t>(replicas.rank())] == mesh.rank(), "ranks");
        check(replicas.coordinate<Cp>() == mesh.coordinate<Cp>(), "coordinate");
        check(&replicas.along<Dp>() == &mesh.dp(), "along");
        check(replicas.group().rank() == replicas.rank() && ranks_of(replicas.group()) == replicas.ranks(), "group");
        mesh.close(Deadline::after(10s));
        return 0;
    });
}

TEST_CASE("neighbours along an axis are the peers of a ring") {
    using Pipeline = muster::BasicDeviceMesh<Topology<Axis<Pp, 3>, Axis<Dp, 2>>, Gloo>;
    on_all_ranks(6, [](Threads threads) {
        Pipeline mesh(threads, quick());
        const std::array sent{mesh.rank()};
        std::array<int, 1> got{};
        if (mesh.is_first<Pp>()) {
            mesh.pp().send(sent, mesh.next<Pp>());
            mesh.pp().recv(got, mesh.previous<Pp>());
        } else {
            mesh.pp().recv(got, mesh.previous<Pp>());
            mesh.pp().send(sent, mesh.next<Pp>());
        }
        check(got[0] == mesh.topology().previous<Pp>(mesh.rank()), "from the one before");
        check(mesh.is_last<Pp>() == (mesh.topology().next<Pp>(mesh.rank()) < mesh.rank()), "the last one");
        check(mesh.shard<Pp>(12) == 4, "shard");
        mesh.close(Deadline::after(10s));
        return 0;
    });
}

TEST_CASE("operations along an axis whose sizes the compiler knows") {
    on_all_ranks(4, [](Threads threads) {
        Mesh<2, 2, 1> mesh(threads, quick());
        const std::array<int, 2> mine{mesh.rank(), -mesh.rank()};
        std::array<int, 4> all{};
        muster::all_gather<Tp>(mesh, mine, all);
        const int other = mesh.topology().next<Tp>(mesh.rank());
        const int first = std::min(mesh.rank(), other);
        const int second = std::max(mesh.rank(), other);
        check(all == std::array{first, -first, second, -second}, "all_gather");
        std::array<int, 2> sums{};
        muster::reduce_scatter<Tp>(mesh, all, sums, muster::sum);
        const int part = mesh.coordinate<Tp>() == 0 ? first : second;
        check(sums == std::array{2 * part, -2 * part}, "reduce_scatter");
        std::array<int, 2> parts{};
        muster::scatter<Tp>(mesh, all, parts, 0);
        check(parts == std::array{part, -part}, "scatter");
        std::array<int, 4> swapped{};
        muster::all_to_all<Tp>(mesh, all, swapped);
        check(swapped == std::array{part, -part, part, -part}, "all_to_all");
        std::array<int, 4> collected{};
        muster::gather<Tp>(mesh, parts, collected, 1);
        check(mesh.coordinate<Tp>() == 0 || collected == all, "gather");
        mesh.close(Deadline::after(10s));
        return 0;
    });
}

TEST_CASE("a dry run says what the mesh then is") {
    using Grid = muster::DeviceMesh<2, dynamic, 1, Gloo>;
    const muster::Environment none;
    on_all_ranks(4, [&](Threads threads) {
        Grid mesh(threads, quick());
        const auto plan = muster::dry_run<Grid>(4, threads.rank, {}, none);
        check(plan.topology == mesh.topology(), "topology");
        check(plan.groups[0].ranks == ranks_of(mesh.dp()) && plan.groups[0].shares.empty(), "dp");
        check(plan.groups[1].ranks == ranks_of(mesh.tp()) && plan.groups[1].axis == "tp", "tp");
        check(plan.groups[2].ranks == std::vector{threads.rank}, "cp");
        check(plan.communicators == 3, "communicators");
        mesh.close(Deadline::after(10s));
        return 0;
    });
    const auto plan = muster::dry_run<Grid>(2, 1, {}, none);
    CHECK(plan.groups[1].shares == "world");
    CHECK(plan.communicators == 1);
    CHECK(describe(plan) ==
          "rank 1 of 2 = DP 1 x TP 2 x CP 1: dp 0, tp 1, cp 0\n"
          "axis  ranks  communicator\n"
          "dp    1      none, one rank\n"
          "tp    0 1    that of world\n"
          "cp    1      none, one rank\n");
    const auto large = muster::dry_run<muster::DeviceMesh<8, dynamic, 2, Gloo>>(100'000, 99'999, {}, none);
    CHECK(large.groups[0].ranks.size() == 6250);
    CHECK_THROWS_AS(muster::dry_run<Grid>(3, 0, {}, none), Error);
    CHECK_THROWS_AS(muster::dry_run<Grid>(4, 4, {}, none), Error);
}
