// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <filesystem>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "../../support/folder.hpp"

using namespace std::chrono_literals;
using muster::Deadline;
using muster::FileRendezvous;
using muster::Gloo;
using muster::LocalRendezvous;
using muster::TcpRendezvous;

namespace {

using Mesh = muster::DeviceMesh<2, 2, 1, Gloo>;

muster::Options quick() {
    muster::Options options;
    options.timeout = 60s;
    options.log = {};
    return options;
}

/// Forms a mesh in a thread for each policy and adds up the ranks along the axes of each: {tp, dp, local rank} by rank.
template <class R>
std::vector<std::vector<int>> sums(const std::vector<R>& policies) {
    std::vector<std::future<std::vector<int>>> threads;
    for (const R& policy : policies)
        threads.push_back(std::async(std::launch::async, [&policy] {
            Mesh mesh(policy, quick());
            std::vector<int> tp{mesh.rank()}, dp{mesh.rank()};
            mesh.tp().all_reduce(tp, muster::sum);
            mesh.dp().all_reduce(dp, muster::sum);
            mesh.close(Deadline::after(60s));
            return std::vector{tp[0], dp[0], mesh.local_rank()};
        }));
    std::vector<std::vector<int>> all;
    for (auto& thread : threads) all.push_back(thread.get());
    return all;
}

const std::vector<std::vector<int>> expected{{1, 2, 0}, {1, 4, 1}, {5, 2, 2}, {5, 4, 3}};

} // namespace

TEST_CASE("the threads of a process form a mesh, and then another") {
    const LocalRendezvous local(4);
    const std::vector ranks{local.rank(0), local.rank(1), local.rank(2), local.rank(3)};
    CHECK(sums(ranks) == expected);
    CHECK(sums(ranks) == expected);
}

TEST_CASE("a mesh forms in a folder and leaves it empty") {
    const support::Folder folder;
    std::vector<FileRendezvous> ranks;
    for (int rank = 0; rank < 4; ++rank)
        ranks.push_back({.path = folder.path(), .rank = rank, .world_size = 4, .environment = {}});
    CHECK(sums(ranks) == expected);
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a mesh forms at a port that the system gives") {
    const support::Folder folder;
    std::vector<TcpRendezvous> ranks;
    for (int rank = 0; rank < 4; ++rank)
        ranks.push_back({.host = "127.0.0.1",
                         .port = 0,
                         .rank = rank,
                         .world_size = 4,
                         .environment = {{"XDG_RUNTIME_DIR", folder.path().string()}}});
    CHECK(sums(ranks) == expected);
}
