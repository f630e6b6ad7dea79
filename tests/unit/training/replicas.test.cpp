// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo.hpp>
#include <muster/training/replicas.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../support/gloo_ranks.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using muster::GlooCommunicator;
using namespace std::chrono_literals;

namespace {

using Data = std::vector<float>;

/// What `check` throws on the ranks of a group, of which each holds one of `data`: one text, or none, on all ranks.
template <class Check>
std::optional<muster::Error> verdict(const std::vector<Data>& data, Check check) {
    std::vector<std::optional<muster::Error>> errors(data.size());
    support::with_gloo(static_cast<int>(data.size()), [&](GlooCommunicator& group) {
        const auto rank = static_cast<std::size_t>(group.rank());
        try {
            check(group, data[rank]);
        } catch (const muster::Error& error) {
            errors[rank] = error;
        }
        group.barrier(); // the group can still be used
    });
    for (std::size_t rank = 0; rank < errors.size(); ++rank) {
        if (errors[rank].has_value() != errors.front().has_value()) throw std::runtime_error("some ranks threw");
        if (!errors[rank]) continue;
        CHECK(std::string(errors[rank]->what()) == errors.front()->what());
        CHECK(errors[rank]->ranks() == errors.front()->ranks());
        CHECK(errors[rank]->rank() == static_cast<int>(rank) + 10);
        CHECK(errors[rank]->code() == muster::errc::disagreement);
    }
    return errors.front();
}

std::optional<muster::Error> replicated(const std::vector<Data>& data) {
    return verdict(data, [](auto& group, const Data& own) { muster::require_replicated(group, own, "w1"); });
}

std::optional<muster::Error> sharded(const std::vector<Data>& data) {
    return verdict(data, [](auto& group, const Data& own) { muster::require_sharded(group, own, "w1"); });
}

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

} // namespace

TEST_CASE("replicas that are the same pass, bit for bit") {
    CHECK_FALSE(replicated({{1, 2, 3}}));
    CHECK_FALSE(replicated({{1, 2, 3}, {1, 2, 3}, {1, 2, 3}}));
    CHECK_FALSE(replicated({{not_a_number}, {not_a_number}}));
    CHECK_FALSE(replicated({{}, {}}));
}

TEST_CASE("a replica that differs is named on all ranks") {
    const auto error = replicated({{1, 2}, {1, 2}, {1, std::nextafter(2.0F, 3.0F)}, {1, 2}});
    REQUIRE(error);
    CHECK(error->ranks() == std::vector{12}); // 10, 11, ... are the global ranks
    CHECK_THAT(error->what(), StartsWith("muster: w1 is not the same on ranks 10-13, which must hold replicas: rank 12 "
                                         "differs from ranks 10, 11, 13\n  ranks 10, 11, 13: 8 bytes, hash "));
    CHECK_THAT(error->what(), ContainsSubstring("\n  rank 12: 8 bytes, hash "));
}

TEST_CASE("the ranks that differ are the fewer ones, also where the first is one of them") {
    CHECK(replicated({{9}, {1}, {1}})->ranks() == std::vector{10});
    CHECK(replicated({{1}, {2}})->ranks() == std::vector{11});
    CHECK(replicated({{1}, {2}, {3}, {2}})->ranks() == std::vector{10, 12});
}

TEST_CASE("a zero of the other sign and a buffer of another length are different") {
    CHECK(replicated({{0.0F}, {-0.0F}})->ranks() == std::vector{11});
    const auto error = replicated({{0, 0}, {0, 0}, {0}});
    REQUIRE(error);
    CHECK(error->ranks() == std::vector{12});
    CHECK_THAT(error->what(), ContainsSubstring("ranks 10, 11: 8 bytes") && ContainsSubstring("rank 12: 4 bytes"));
}

TEST_CASE("a long list of values is cut off") {
    std::vector<Data> data;
    for (int rank = 0; rank < 10; ++rank) data.push_back({static_cast<float>(rank)});
    CHECK_THAT(replicated(data)->what(), ContainsSubstring("\n  rank 17: 4 bytes") && ContainsSubstring("and 2 more"));
}

TEST_CASE("shards that are all different pass") {
    CHECK_FALSE(sharded({{1, 2, 3}}));
    CHECK_FALSE(sharded({{1, 2}, {3, 4}, {2, 1}, {1}}));
}

TEST_CASE("shards that two ranks share are named on all ranks") {
    const auto error = sharded({{1, 2}, {3, 4}, {1, 2}});
    REQUIRE(error);
    CHECK(error->ranks() == std::vector{10, 12});
    CHECK_THAT(error->what(),
               StartsWith("muster: w1 is the same on ranks 10, 12\n  group: ranks 10-12, which must hold different"));
    CHECK(sharded({{1}, {1}})->ranks() == std::vector{10, 11});
    CHECK(sharded({{}, {}})->ranks() == std::vector{10, 11});
    CHECK_THAT(sharded({{1}, {2}, {2}, {1}, {3}})->what(),
               ContainsSubstring("the same on ranks 10, 13; and on ranks 11, 12\n"));
}

TEST_CASE("the parameters of a mesh: sharded along tp, replicated along dp and cp") {
    const muster::LocalRendezvous local(8, muster::Environment{});
    std::vector<std::set<int>> doubtful(8);
    support::run_ranks(8, [&](int rank) {
        muster::Options options;
        options.timeout = 30s;
        options.log = {};
        muster::DeviceMesh<2, 2, 2, muster::Gloo> mesh(local.rank(rank), options);
        Data weight{1, static_cast<float>(mesh.coordinate<muster::Tp>())};
        muster::require_sharded(mesh.tp(), weight, "weight");
        muster::require_replicated(mesh.dp(), weight, "weight");
        muster::require_replicated(mesh.cp(), weight, "weight");
        if (rank == 5) weight[0] = 2; // dp 1, tp 0, cp 1
        for (auto* group : {&mesh.dp(), &mesh.cp()}) try {
                muster::require_replicated(*group, weight, "weight");
            } catch (const muster::Error& error) {
                doubtful[static_cast<std::size_t>(rank)].insert(error.ranks().begin(), error.ranks().end());
            }
        mesh.close(muster::Deadline::after(20s));
    });
    // In a pair it is the first that counts as right.
    CHECK(doubtful == std::vector<std::set<int>>{{}, {5}, {}, {}, {5}, {5}, {}, {}});
}
