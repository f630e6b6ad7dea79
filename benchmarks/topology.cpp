// SPDX-License-Identifier: Apache-2.0
// topology RANKS   what a question to the topology of so many ranks costs: nanoseconds and bytes of the heap for each
// answer, the best of several rounds of questions about ranks all over the world. Prints a JSON object.
//
// TP is 8, CP 2 and PP 4 in every world; DP is the rest, so that only `group<Dp>` has more ranks in a larger world.
#include <muster/topology.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <system_error>
#include <vector>

std::uint64_t bytes_allocated_by_this_thread(); // allocations.cpp

namespace {

using muster::Axis;
using Topology = muster::Topology<Axis<muster::Pp, 4>, Axis<muster::Dp>, Axis<muster::Cp, 2>, Axis<muster::Tp, 8>>;

volatile int sink; // what is not looked at need not be computed

struct Cost {
    double nanoseconds;
    double bytes;
};

template <class Ask>
Cost cost_of(int ranks, const Ask& ask) {
    constexpr int rounds = 15, questions = 4096;
    Cost best{1e300, 0};
    for (int round = 0; round < rounds; ++round) {
        std::uint32_t random = 12345;
        int sum = 0;
        const std::uint64_t before = bytes_allocated_by_this_thread();
        const auto began = std::chrono::steady_clock::now();
        for (int i = 0; i < questions; ++i) {
            random = random * 1664525 + 1013904223;
            sum += ask(static_cast<int>((std::uint64_t{random} * static_cast<std::uint64_t>(ranks)) >> 32U));
        }
        const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
        sink = sum;
        const auto bytes = static_cast<double>(bytes_allocated_by_this_thread() - before);
        best = {std::min(best.nanoseconds, took.count() / questions), bytes / questions};
    }
    return best;
}

void print(const char* name, Cost cost) {
    std::printf(R"(, "%s_ns": %.2f, "%s_bytes": %.0f)", name, cost.nanoseconds, name, cost.bytes);
}

} // namespace

int main(int argc, char** argv) {
    int ranks = 0;
    if (argc != 2 || std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), ranks).ec != std::errc()) {
        std::fprintf(stderr, "wanted: the number of ranks, a multiple of 64\n");
        return 1;
    }
    try {
        std::printf(R"({"bench": "topology", "ranks": %d)", ranks);
        print("make", cost_of(ranks, [&](int) { return Topology::for_world(ranks).size(); }));
        const Topology topology = Topology::for_world(ranks);
        print("coordinate", cost_of(ranks, [&](int rank) { return topology.coordinate(rank)[1]; }));
        print("rank_of", cost_of(ranks, [&](int rank) {
                  return topology.rank_of({rank % 4, rank % topology.extent<muster::Dp>(), rank % 2, rank % 8});
              }));
        print("group", cost_of(ranks, [&](int rank) { return topology.group<muster::Tp>(rank).back(); }));
        print("group_of_two_axes",
              cost_of(ranks, [&](int rank) { return topology.group<muster::Pp, muster::Tp>(rank).back(); }));
        std::puts("}");
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
