// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>
#include <muster/rendezvous/local.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "meet.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace std::chrono_literals;
using muster::Deadline;
using muster::errc;
using muster::Error;
using muster::LocalRendezvous;

namespace {

std::vector<LocalRendezvous::Rank> all(const LocalRendezvous& local) {
    std::vector<LocalRendezvous::Rank> ranks;
    for (int rank = 0; rank < local.world_size(); ++rank) ranks.push_back(local.rank(rank));
    return ranks;
}

} // namespace

TEST_CASE("threads meet, one world after the other") {
    const int size = GENERATE(1, 2, 4, 16);
    const LocalRendezvous local(size);
    std::set<std::string> sessions;
    for (int round = 0; round < 3; ++round)
        for (const Met& met : meet_all(all(local))) {
            CHECK(met.text.empty());
            CHECK(met.session.world_size() == size);
            sessions.insert(met.session.id);
        }
    CHECK(sessions.size() == 3);
}

TEST_CASE("a rank says who it is") {
    const LocalRendezvous local(3, {{"TP_SIZE", "3"}});
    const auto launch = local.rank(2).launch();
    CHECK(launch.rank == 2);
    CHECK(launch.world_size == 3);
    CHECK(launch.local_rank == 2);
    CHECK(launch.local_size == 3);
    CHECK(launch.launcher == "LocalRendezvous");
    CHECK(launch.environment.get("TP_SIZE") == "3");
}

TEST_CASE("what is no world and no rank is refused") {
    CHECK_THROWS_AS(LocalRendezvous(0), Error);
    CHECK_THROWS_AS(LocalRendezvous(2).rank(2), Error);
    CHECK_THROWS_AS(LocalRendezvous(2).rank(-1), Error);
}

TEST_CASE("a rank outlives the object that made it") {
    const auto ranks = all(LocalRendezvous(2));
    for (const Met& met : meet_all(ranks)) CHECK(met.text.empty());
}

TEST_CASE("when all have left nothing is left") {
    const LocalRendezvous local(2);
    const auto rank = local.rank(0);
    {
        auto first = rank.connect(rank.launch(), Deadline::after(1s));
        auto second = local.rank(1).connect(rank.launch(), Deadline::after(1s));
        first.store.set("key", "1", Deadline::after(1s));
        CHECK(second.store.get("key", Deadline::after(1s)) == "1");
        CHECK_FALSE(first.serves());
    }
    auto again = rank.connect(rank.launch(), Deadline::after(1s));
    CHECK(again.store.num_keys(Deadline::after(1s)) == 0);
}

TEST_CASE("a thread that does not come is named") {
    const LocalRendezvous local(3);
    for (const Met& met : meet_all(std::vector{local.rank(0), local.rank(2)}, 300ms)) {
        CHECK(met.code == errc::missing_ranks);
        CHECK(met.about == std::vector{1});
        CHECK_THAT(met.text, ContainsSubstring("1 of 3 ranks did not arrive within 0.3 s: 1"));
    }
}

TEST_CASE("two threads with one rank are named") {
    const LocalRendezvous local(3);
    for (const Met& met : meet_all(std::vector{local.rank(0), local.rank(1), local.rank(1)})) {
        CHECK(met.code == errc::duplicate_rank);
        CHECK(met.about == std::vector{1});
    }
}
