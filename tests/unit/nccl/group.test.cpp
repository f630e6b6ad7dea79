// SPDX-License-Identifier: Apache-2.0
#include <muster/nccl/group.hpp>

#include <catch2/catch_test_macros.hpp>

#include <barrier>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "../../support/nccl_ranks.hpp"

using muster::Group;
using muster::NcclCommunicator;
using support::DeviceArray;
using support::with_nccl;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<Group> && !std::is_move_constructible_v<Group>);
static_assert(std::is_nothrow_destructible_v<Group>);

namespace {

void check(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(what);
}

/// Two ranks that wait for each other outside NCCL: its own end comes to one before the other.
std::barrier<> both(2);
void meet() { both.arrive_and_wait(); }

/// What every rank of a ring gets from its neighbour.
void pass_on(NcclCommunicator& ring, int value) {
    const DeviceArray<int> mine(std::vector{value});
    DeviceArray<int> theirs(1U);
    Group group;
    ring.send(mine, (ring.rank() + 1) % ring.size());
    ring.recv(theirs, (ring.rank() + ring.size() - 1) % ring.size());
    group.end();
    ring.wait();
    check(theirs.to_host()[0] == value - 1 + (ring.rank() == 0 ? ring.size() : 0), "ring");
}

} // namespace

TEST_CASE("a group sends and receives in both directions", "[nccl]") {
    const support::Script script;
    for (const int n : {2, 4})
        with_nccl(n, [](NcclCommunicator& comm) {
            for (int i = 0; i < 3; ++i) pass_on(comm, comm.rank());
        });
}

TEST_CASE("a group holds operations of several communicators, and groups", "[nccl]") {
    const support::Script script;
    with_nccl(4, [](NcclCommunicator& comm) {
        NcclCommunicator pair = comm.split(comm.rank() / 2, comm.rank());
        DeviceArray<int> world(std::vector{1});
        DeviceArray<int> pairwise(std::vector{1});
        DeviceArray<float> scaled(std::vector{1.0F});
        NcclCommunicator self = comm.split(comm.rank(), 0);
        DeviceArray<int> same(std::vector{5});
        Group group;
        self.all_reduce(same, muster::sum);
        comm.all_reduce(world, muster::sum);
        {
            Group inner;
            pair.all_reduce(pairwise, muster::sum);
            pair.all_reduce(scaled, muster::premul_sum(3.0F));
            inner.end();
        }
        group.end(muster::Deadline::after(10s));
        comm.wait();
        check(world.to_host()[0] == 4 && pairwise.to_host()[0] == 2 && scaled.to_host()[0] == 6, "sums");
        check(same.to_host()[0] == 5, "a group of one");
        check(comm.is_open() && pair.is_open(), "open");
    });
    Group nothing;
    CHECK_NOTHROW(nothing.end());
    CHECK_THROWS_AS(nothing.end(), muster::Error);
}

TEST_CASE("a mesh's axis of extent 1 stands in a group as every other does", "[nccl]") {
    const support::Script script("ncclAllReduce:progress=50"); // the group ends before they are launched
    with_nccl(2, [](NcclCommunicator& comm) {
        NcclCommunicator alone(muster::detail::alone_nccl(*comm.shared_state(), "cp"));
        check(alone.native_handle() == nullptr, "a group of one has a communicator");
        DeviceArray<float> world(std::vector{1.0F});
        DeviceArray<float> same(std::vector{5.0F});
        for (const int round : {0, 1}) {
            meet();
            Group group;
            comm.all_reduce(world, muster::sum);
            alone.all_reduce(same, muster::sum);
            if (round == 1) alone.all_reduce(same, muster::premul_sum(3.0F));
            group.end();
            comm.wait();
            const std::string said = ncclGetLastError(nullptr);
            check(said.find("AsyncError : comm argument is NULL") == std::string::npos, said);
        }
        check(world.to_host()[0] == 4 && same.to_host()[0] == 15, "sums");
    });
}

TEST_CASE("a group that an exception leaves launches nothing and leaves no depth behind", "[nccl]") {
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& comm) {
        NcclCommunicator other = comm.split(0, comm.rank());
        meet(); // the other rank has its own too
        const DeviceArray<float> data(4U);
        const auto error = support::error_of([&] {
            Group group;
            other.all_reduce(data, muster::sum);
            other.broadcast(data, 99);
            group.end();
        });
        meet(); // both have seen it
        check(error.code() == muster::errc::invalid_argument, error.what());
        check(!other.is_open(), "a communicator of a given-up group is open");
        const auto after = support::error_of([&] { other.all_reduce(data, muster::sum); });
        check(std::string(after.what()).find("was given up before its end") != std::string::npos, after.what());
        other.abort();
        // The communicator that was not in the group goes on, and groups work.
        pass_on(comm, comm.rank());
    });
}

TEST_CASE("what waits is refused in a group", "[nccl]") {
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& comm) {
        DeviceArray<int> data(std::vector{1});
        Group group;
        comm.all_reduce(data, muster::sum);
        const auto refused = [&](auto call) {
            const auto error = support::error_of(call);
            check(error.code() == muster::errc::invalid_argument, error.what());
            check(std::string(error.what()).find("in a group that has not ended") != std::string::npos, error.what());
        };
        refused([&] { comm.barrier(); });
        refused([&] { comm.wait(); });
        refused([&] { (void)comm.split(0, 0, {10, 11}, "pair"); });
        group.end();
        comm.wait();
        check(data.to_host()[0] == 2, "sum");
    });
}

TEST_CASE("abort within a group ends the group", "[nccl]") {
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& comm) {
        const DeviceArray<float> data(4U);
        Group group;
        comm.all_reduce(data, muster::sum);
        meet(); // neither sees the other's end in its own call
        comm.abort();
        const auto error = support::error_of([&] { group.end(); });
        check(error.code() == muster::errc::closed, error.what());
    });
}

TEST_CASE("an error at the end of a group names the communicator", "[nccl]") {
    const support::Script script("ncclAllReduce@1:async=2");
    with_nccl(2, [](NcclCommunicator& comm) {
        meet();
        const DeviceArray<float> data(4U);
        const auto error = support::error_of([&] {
            Group group;
            comm.all_reduce(data, muster::sum);
            group.end();
            comm.wait();
        });
        check(std::string(error.what()).find("of the NCCL communicator test of ranks 10, 11") != std::string::npos,
              error.what());
        check(!comm.is_open(), "open");
    });
}

TEST_CASE("a group that takes too long ends at its deadline", "[nccl]") {
    const support::Script script("ncclAllReduce@0:stay");
    with_nccl(2, [](NcclCommunicator& comm) {
        meet();
        const DeviceArray<float> data(4U);
        if (comm.rank() == 0) {
            const auto error = support::error_of([&] {
                Group group;
                comm.all_reduce(data, muster::sum);
                group.end(muster::Deadline::after(300ms));
            });
            check(error.code() == muster::errc::timeout, error.what());
        }
        meet(); // the other rank's end would be the first thing to see
        comm.abort();
    });
}
