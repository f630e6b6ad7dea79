// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo/arguments.hpp>
#include <muster/gloo/communicator.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../../support/gloo_ranks.hpp"

using muster::errc;
using muster::GlooCommunicator;
using support::error_of;
using support::with_gloo;

namespace {

/// fn() must be refused with this text, on this rank alone.
template <class Fn>
void refused(Fn fn, std::string_view expected) {
    const auto error = error_of(fn);
    if (error.code() != errc::invalid_argument || error.text() != expected) throw std::runtime_error(error.what());
}

} // namespace

TEST_CASE("sizes, roots and peers are checked before anything is sent") {
    with_gloo(3, [](GlooCommunicator& comm) {
        std::vector<int> two(2), three(3), five(5), six(6);
        const int me = comm.rank();
        refused([&] { comm.all_reduce(two, three, muster::sum); },
                "all_reduce: out has 3 elements, expected 2, as many as in");
        refused([&] { comm.reduce(two, three, muster::sum, me); },
                "reduce: out has 3 elements, expected 2, as many as in");
        refused([&] { comm.all_gather(two, five); },
                "all_gather: out has 5 elements, expected 6: 2 for each of the 3 ranks of the group");
        refused([&] { comm.reduce_scatter(five, two, muster::sum); },
                "reduce_scatter: in has 5 elements, expected 6: 2 for each of the 3 ranks of the group");
        refused([&] { comm.all_to_all(six, five); }, "all_to_all: out has 5 elements, expected 6, as many as in");
        std::vector<int> other(5);
        refused([&] { comm.all_to_all(five, other); },
                "all_to_all: 5 elements cannot be divided among the 3 ranks of the group");
        refused([&] { comm.gather(two, two, me); },
                "gather: out has 2 elements, expected 6: 2 for each of the 3 ranks of the group");
        refused([&] { comm.scatter(two, two, me); },
                "scatter: in has 2 elements, expected 6: 2 for each of the 3 ranks of the group");
        refused([&] { comm.broadcast(two, 3); },
                "broadcast: root 3 is not a rank of the group, which has ranks 0 to 2");
        refused([&] { comm.reduce(two, muster::sum, -1); },
                "reduce: root -1 is not a rank of the group, which has ranks 0 to 2");
        refused([&] { comm.gather(two, six, 3); }, "gather: root 3 is not a rank of the group, which has ranks 0 to 2");
        refused([&] { comm.scatter(six, two, 3); },
                "scatter: root 3 is not a rank of the group, which has ranks 0 to 2");
        refused([&] { comm.send(two, 3); }, "send: peer 3 is not a rank of the group, which has ranks 0 to 2");
        refused([&] { comm.recv(two, -1); }, "recv: peer -1 is not a rank of the group, which has ranks 0 to 2");
        refused([&] { comm.send(two, me); }, "send: peer " + std::to_string(me) + " is this rank itself");
        refused([&] { comm.recv(two, me); }, "recv: peer " + std::to_string(me) + " is this rank itself");
        comm.barrier(); // nothing of it did harm
    });
    SUCCEED();
}

TEST_CASE("buffers that overlap are refused where they may not") {
    with_gloo(2, [](GlooCommunicator& comm) {
        std::vector<int> data(8);
        const std::span all(data);
        const auto me = static_cast<std::size_t>(comm.rank());
        const std::string apart = "in and out overlap; they must be the same memory or apart";
        refused([&] { comm.all_reduce(all.first(4), all.subspan(1, 4), muster::sum); }, "all_reduce: " + apart);
        refused([&] { comm.reduce(all.subspan(1, 4), all.first(4), muster::sum, comm.rank()); }, "reduce: " + apart);
        refused([&] { comm.all_to_all(all, all); }, "all_to_all: in and out overlap; they must be apart");
        refused([&] { comm.all_gather(all.subspan(4 - 4 * me, 4), all); },
                "all_gather: in and out overlap; in may only be this rank's part of out");
        refused([&] { comm.gather(all.subspan(2, 4), all, comm.rank()); },
                "gather: in and out overlap; in may only be this rank's part of out");
        refused([&] { comm.reduce_scatter(all, all.subspan(2, 4), muster::sum); },
                "reduce_scatter: in and out overlap; out may only be this rank's part of in");
        refused([&] { comm.scatter(all, all.subspan(2, 4), comm.rank()); },
                "scatter: in and out overlap; out may only be this rank's part of in");
        comm.all_reduce(all.first(4), all.last(4), muster::sum);
    });
    SUCCEED();
}

TEST_CASE("a group of one checks as others do, and copies") {
    GlooCommunicator one(nullptr, {5});
    std::vector<int> in{1, 2}, out(2), three(3);
    refused([&] { one.all_gather(in, three); },
            "all_gather: out has 3 elements, expected 2: 2 for each of the 1 ranks of the group");
    refused([&] { one.send(in, 0); }, "send: peer 0 is this rank itself");
    one.all_reduce(in, out, muster::premul_sum(10));
    CHECK(out == std::vector{10, 20});
    one.all_to_all(in, out);
    CHECK(out == in);
}
