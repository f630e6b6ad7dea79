// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo/communicator.hpp>
#include <muster/gloo/split.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../../support/gloo_ranks.hpp"

using muster::errc;
using muster::GlooCommunicator;
using support::error_of;
using support::with_gloo;
using namespace std::chrono_literals;

namespace {

void require(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(what);
}

std::vector<int> ranks_of(const GlooCommunicator& comm) { return {comm.ranks().begin(), comm.ranks().end()}; }

/// The group works and is what ranks() says: everybody's global rank, gathered over it.
void require_works(GlooCommunicator& comm, int global) {
    std::array<int, 1> mine{global};
    std::vector<int> all(static_cast<std::size_t>(comm.size()));
    comm.all_gather(mine, all);
    require(all == ranks_of(comm) && all[static_cast<std::size_t>(comm.rank())] == global, "a group of other ranks");
}

} // namespace

TEST_CASE("one split for each axis of a 2 x 2 x 2 grid") {
    with_gloo(8, [](GlooCommunicator& world) {
        const int r = world.rank();
        const int global = 10 + r;
        const int bit[3] = {r & 1, r >> 1 & 1, r >> 2 & 1};
        for (int axis = 0; axis < 3; ++axis) {
            auto group = world.split(r & ~(1 << axis), bit[axis]);
            require(ranks_of(group) == std::vector{10 + (r & ~(1 << axis)), 10 + (r | 1 << axis)}, "axis");
            require(group.rank() == bit[axis], "rank along the axis");
            require_works(group, global);
        }
        auto plane = world.split(bit[1], 0);
        require(plane.size() == 4, "plane");
        require_works(plane, global);
    });
    SUCCEED();
}

TEST_CASE("groups of different sizes") {
    with_gloo(5, [](GlooCommunicator& world) {
        const int color = world.rank() == 4 ? 7 : world.rank() % 2 == 0 && world.rank() != 0 ? 3 : 2;
        auto group = world.split(color, 0); // {10, 11, 13}, {12}, {14}
        require(group.size() == (color == 2 ? 3 : 1), "size");
        require_works(group, 10 + world.rank());
        group.barrier();
    });
    SUCCEED();
}

TEST_CASE("the key decides the order, the parent's rank breaks ties") {
    with_gloo(4, [](GlooCommunicator& world) {
        auto reversed = world.split(0, -world.rank());
        require(ranks_of(reversed) == std::vector{13, 12, 11, 10}, "reversed");
        require_works(reversed, 10 + world.rank());
        auto tied = reversed.split(0, 5);
        require(ranks_of(tied) == std::vector{13, 12, 11, 10}, "tied");
        const int extreme = world.rank() == 2 ? std::numeric_limits<int>::min() : std::numeric_limits<int>::max();
        auto far = world.split(std::numeric_limits<int>::max(), extreme);
        require(ranks_of(far) == std::vector{12, 10, 11, 13}, "extreme keys");
        require_works(far, 10 + world.rank());
    });
    SUCCEED();
}

TEST_CASE("no_color takes part and gets nothing") {
    with_gloo(3, [](GlooCommunicator& world) {
        auto some = world.split(world.rank() == 1 ? muster::no_color : 0, 0);
        if (world.rank() == 1) {
            require(!some.is_open(), "open without a color");
            require(error_of([&] { some.barrier(); }).code() == errc::closed, "use without a color");
        } else {
            require(ranks_of(some) == std::vector{10, 12}, "the others");
            require_works(some, 10 + world.rank());
        }
        auto nobody = world.split(muster::no_color, 0);
        require(!nobody.is_open(), "nobody");
        world.barrier();
    });
    SUCCEED();
}

TEST_CASE("a split of a split, after the parent ended") {
    with_gloo(6, [](GlooCommunicator& world) {
        auto half = world.split(world.rank() / 3, 0);
        auto last = half.split(half.rank() == 0 ? muster::no_color : 1, -half.rank());
        world.close(muster::Deadline::after(30s));
        half.close(muster::Deadline::after(30s));
        if (!last.is_open()) return;
        const int base = 10 + world.rank() / 3 * 3;
        require(ranks_of(last) == std::vector{base + 2, base + 1}, "ranks");
        require_works(last, 10 + world.rank());
    });
    SUCCEED();
}

TEST_CASE("groups of one split apart from anybody") {
    GlooCommunicator one(nullptr, {4});
    auto again = one.split(3, 0);
    CHECK(ranks_of(again) == std::vector{4});
    CHECK_FALSE(one.split(muster::no_color, 0).is_open());
    CHECK(error_of([&] { (void)one.split(-2, 0); }).code() == errc::invalid_argument);
    with_gloo(3, [](GlooCommunicator& world) {
        auto alone = world.split(world.rank(), 0);
        require(alone.size() == 1 && alone.native_handle() == nullptr, "alone");
        require_works(alone, 10 + world.rank());
    });
}

TEST_CASE("a bad color is refused by name on every rank") {
    with_gloo(3, [](GlooCommunicator& world) {
        const auto error = error_of([&] { (void)world.split(world.rank() == 2 ? -7 : 0, 0); });
        require(error.code() == errc::invalid_argument && error.ranks() == std::vector{12}, error.what());
        require(std::string(error.what()).find("rank 12 gave the color -7") != std::string::npos, error.what());
        require(world.is_open(), "the parent stays");
        world.barrier();
    });
    SUCCEED();
}

TEST_CASE("the new groups inherit the options") {
    with_gloo(2,
              [](GlooCommunicator& world) {
                  auto group = world.split(0, 0);
                  std::array<int, 1> data{};
                  if (group.rank() == 0) {
                      const auto error = error_of([&] { group.recv(data, 1); });
                      require(error.code() == errc::timeout, error.what());
                  } else {
                      group.set_timeout(30s);
                      require(error_of([&] { group.recv(data, 0); }).code() == errc::connection,
                              "rank 0 gave up first");
                  }
              },
              {.timeout = 1s});
    SUCCEED();
}

TEST_CASE("a rank that does not come to a split is named") {
    with_gloo(3,
              [](GlooCommunicator& world) {
                  if (world.rank() == 1) {
                      std::array<int, 1> data{};
                      world.set_timeout(30s);
                      require(error_of([&] { world.recv(data, 0); }).code() == errc::connection, "gone");
                      return;
                  }
                  const auto error = error_of([&] { (void)world.split(0, 0); });
                  require(error.code() == errc::timeout || error.code() == errc::connection, error.what());
                  require(std::string(error.what()).find("split on rank") != std::string::npos, error.what());
              },
              {.timeout = 300ms});
    SUCCEED();
}
