// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <chrono>
#include <future>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "threads.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace std::chrono_literals;
using muster::Cp;
using muster::Deadline;
using muster::Dp;
using muster::dynamic;
using muster::Environment;
using muster::errc;
using muster::Error;
using muster::Gloo;
using muster::Tp;

template <int TP, int DP, int CP>
using Mesh = muster::DeviceMesh<TP, DP, CP, Gloo>;

static_assert(muster::Backend<Gloo>);
static_assert(Mesh<2, 4, 1>::static_size() == 8);
static_assert(std::is_same_v<Mesh<2, 4, 1>::require_world<8>, muster::Topology3D<2, 4, 1>>);
static_assert(Mesh<2, 4, 1>::is_static && !Mesh<2, dynamic, 1>::is_static);
static_assert(std::is_nothrow_move_constructible_v<Mesh<2, 4, 1>> && !std::is_copy_constructible_v<Mesh<2, 4, 1>>);
static_assert(std::is_nothrow_destructible_v<Mesh<2, 4, 1>>);

namespace {

struct Rows {
    static constexpr std::string_view name = "rows";
};

template <class Body>
std::string refusal(const Body& body) {
    try {
        body();
        return {};
    } catch (const Error& error) {
        return std::string(error.text());
    }
}

} // namespace

TEST_CASE("a world of one needs no network, and its collectives are copies") {
    Mesh<1, 1, 1> mesh(muster::EnvRendezvous{.environment = {}}, quick());
    CHECK(mesh.is_initialized());
    CHECK(mesh.rank() == 0);
    CHECK(mesh.world_size() == 1);
    CHECK(mesh.local_rank() == 0);
    CHECK(mesh.coordinate() == std::array{0, 0, 0});
    CHECK(mesh.device() == "cpu");
    std::vector<int> values{1, 2, 3};
    for (auto* group : {&mesh.world(), &mesh.tp(), &mesh.dp(), &mesh.cp()}) {
        CHECK(group->size() == 1);
        group->all_reduce(values, muster::sum);
        group->barrier();
        CHECK(group->native_handle() == nullptr);
    }
    CHECK(values == std::vector{1, 2, 3});
    mesh.close(Deadline::after(1s));
    CHECK_FALSE(mesh.is_initialized());
    CHECK(mesh.rank() == 0);
    CHECK(mesh.topology().size() == 1);
    CHECK_THROWS_AS(mesh.world().barrier(), Error);
    mesh.close(Deadline::after(1s));
}

TEST_CASE("every group of a 2 x 2 x 2 mesh has its ranks and moves data") {
    struct Seen {
        std::vector<std::vector<int>> groups;
        std::vector<int> sums;
    };
    const auto seen = on_all_ranks(8, [](Threads policy) {
        Mesh<2, 2, 2> mesh(policy, quick());
        Seen result;
        for (auto* group : {&mesh.world(), &mesh.tp(), &mesh.dp(), &mesh.cp()}) {
            result.groups.push_back(ranks_of(*group));
            std::vector<int> value{mesh.rank()};
            group->all_reduce(value, muster::sum);
            result.sums.push_back(value[0]);
        }
        mesh.close(Deadline::after(20s));
        return result;
    });
    const muster::Topology3D<2, 2, 2> topology;
    for (int rank = 0; rank < 8; ++rank) {
        const auto& groups = seen[static_cast<std::size_t>(rank)].groups;
        CHECK(groups[0] == std::vector{0, 1, 2, 3, 4, 5, 6, 7});
        CHECK(groups[1] == topology.group<Tp>(rank));
        CHECK(groups[2] == topology.group<Dp>(rank));
        CHECK(groups[3] == topology.group<Cp>(rank));
        for (std::size_t i = 0; i < 4; ++i)
            CHECK(seen[static_cast<std::size_t>(rank)].sums[i] ==
                  std::accumulate(groups[i].begin(), groups[i].end(), 0));
    }
}

TEST_CASE("one communicator for each distinct rank list of more than one rank") {
    const auto distinct = on_all_ranks(4, [](Threads policy) {
        const auto count = [](auto& mesh) {
            std::set<const void*> handles;
            for (auto* group : {&mesh.world(), &mesh.tp(), &mesh.dp(), &mesh.cp()})
                if (group->size() > 1) handles.insert(group->native_handle().get());
            return handles.size();
        };
        std::vector<std::size_t> counts;
        {
            Mesh<1, 4, 1> mesh(policy, quick());
            counts.push_back(count(mesh));
            counts.push_back(&mesh.dp() == &mesh.world() ? 1 : 0);
            counts.push_back(static_cast<std::size_t>(mesh.tp().size()));
        }
        Mesh<2, 2, 1> mesh(policy, quick());
        counts.push_back(count(mesh));
        return counts;
    });
    for (const auto& counts : distinct) CHECK(counts == std::vector<std::size_t>{1, 1, 1, 3});
}

TEST_CASE("dynamic extents, a process group, a mesh with axes of one's own") {
    using Custom = muster::BasicDeviceMesh<muster::Topology<muster::Axis<Rows, 3>, muster::Axis<Tp>>, Gloo>;
    const auto seen = on_all_ranks(6, [](Threads policy) {
        std::vector<int> result;
        {
            Mesh<dynamic, dynamic, 1> mesh(muster::Extents{.tp = 3}, policy, quick());
            result.push_back(mesh.dp().size());
            result.push_back(mesh.coordinate<Tp>());
        }
        {
            muster::ProcessGroup<Gloo> group(policy, quick());
            result.push_back(group.world().size());
            result.push_back(&group.along<muster::World>() == &group.world());
        }
        Custom mesh(policy, quick());
        result.push_back(mesh.along<Rows>().size());
        result.push_back(mesh.along<Tp>().size());
        return result;
    });
    for (int rank = 0; rank < 6; ++rank)
        CHECK(seen[static_cast<std::size_t>(rank)] == std::vector{2, rank % 3, 6, 1, 3, 2});
}

TEST_CASE("a mesh can be moved, and the one left behind is closed") {
    const auto right = on_all_ranks(4, [](Threads policy) {
        Mesh<2, 2, 1> first(policy, quick());
        Mesh<2, 2, 1> second(std::move(first));
        std::vector<int> value{1};
        second.dp().all_reduce(value, muster::sum);
        return !first.is_initialized() && second.is_initialized() && value[0] == 2; // NOLINT(bugprone-use-after-move)
    });
    CHECK(right == std::vector<bool>(4, true));
}

TEST_CASE("abort ends this rank at once and the others soon") {
    const auto ended = on_all_ranks(3, [](Threads policy) {
        Mesh<1, 3, 1> mesh(policy, quick());
        if (mesh.rank() == 1) {
            mesh.abort();
            return !mesh.is_initialized();
        }
        try {
            mesh.world().barrier();
        } catch (const Error& error) {
            return error.code() == errc::connection;
        }
        return false;
    });
    CHECK(ended == std::vector<bool>(3, true));
}

TEST_CASE("an exception that leaves the scope of a mesh does not wait for the others") {
    const auto start = Deadline::Clock::now();
    const auto seen = on_all_ranks(2, [](Threads policy) {
        try {
            Mesh<1, 2, 1> mesh(policy, quick());
            if (mesh.rank() == 0) throw std::runtime_error("user's own");
            mesh.world().barrier();
        } catch (const Error& error) {
            return std::string(to_string(error.code()));
        } catch (const std::exception& error) {
            return std::string(error.what());
        }
        return std::string();
    });
    CHECK(seen == std::vector<std::string>{"user's own", "connection"});
    CHECK(Deadline::Clock::now() - start < 20s);
}

TEST_CASE("a world that does not fit is the same error on every rank, logged once") {
    std::mutex mutex;
    std::vector<std::string> lines;
    const auto texts = on_all_ranks(3, [&](Threads policy) {
        auto options = quick();
        options.log = [&](std::string_view line) {
            const std::lock_guard lock(mutex);
            lines.emplace_back(line);
        };
        return refusal([&] { const Mesh<2, 2, 1> mesh(policy, options); });
    });
    for (const auto& text : texts) CHECK(text == texts[0]);
    CHECK_THAT(texts[0], ContainsSubstring("world size 3 does not equal DP (2) * TP (2) * CP (1) = 4"));
    REQUIRE(lines.size() == 1);
    CHECK(lines[0] == "muster: " + texts[0]);
}

TEST_CASE("an interface that does not exist on one rank ends all ranks") {
    const auto texts = on_all_ranks(2, [](Threads policy) {
        auto options = quick();
        if (policy.rank == 1) options.interface = "nosuch0";
        return refusal([&] { const Mesh<1, 2, 1> mesh(policy, options); });
    });
    CHECK(texts[0] == texts[1]);
    CHECK_THAT(texts[0], ContainsSubstring("rank 1 (") && ContainsSubstring("nosuch0"));
}

TEST_CASE("ranks meet over TCP, by the environment and by an explicit address") {
    const auto port = [] {
        const muster::TcpStoreServer probe("127.0.0.1", 0);
        return probe.port();
    }();
    const bool explicit_address = GENERATE(false, true);
    const auto sums = on_all_ranks(3, [&](Threads who) {
        const auto sum_over = [](auto&& mesh) {
            std::vector<int> value{mesh.rank() + 1};
            mesh.world().all_reduce(value, muster::sum);
            mesh.close(Deadline::after(20s));
            return value[0];
        };
        if (explicit_address) {
            return sum_over(Mesh<1, 3, 1>(
                muster::TcpRendezvous{
                    .host = "127.0.0.1", .port = port, .rank = who.rank, .world_size = 3, .environment = {}},
                quick()));
        }
        const Environment environment{{"RANK", std::to_string(who.rank)},
                                      {"WORLD_SIZE", "3"},
                                      {"MASTER_ADDR", "localhost"},
                                      {"MASTER_PORT", std::to_string(port)}};
        return sum_over(Mesh<1, dynamic, 1>(muster::EnvRendezvous{.environment = environment}, quick()));
    });
    CHECK(sums == std::vector{6, 6, 6});
}

TEST_CASE("describe shows every rank at its place") {
    const auto tables = on_all_ranks(4, [](Threads policy) {
        const Mesh<2, 2, 1> mesh(policy, quick());
        return muster::describe(mesh);
    });
    for (const auto& table : tables) CHECK(table == tables[0]);
    CHECK_THAT(tables[0], ContainsSubstring("world 4 = DP 2 x TP 2 x CP 1, backend gloo, launcher none\n"));
    CHECK_THAT(tables[0], ContainsSubstring("rank  host"));
    CHECK_THAT(tables[0], ContainsSubstring("1   0   0   0 2       2 3       2\n"));
}
