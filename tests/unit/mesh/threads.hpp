// SPDX-License-Identifier: Apache-2.0
// The ranks of a job as threads of this process.
#pragma once

#include <muster/gloo.hpp>

#include <chrono>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "../../support/ranks.hpp"

/// The ranks of a job as threads of this process: a policy of the kind that users write.
struct Threads {
    muster::MemoryStore store;
    int rank = 0;
    int world_size = 1;

    [[nodiscard]] muster::Launch launch() const {
        muster::Launch launch;
        launch.rank = rank;
        launch.world_size = world_size;
        return launch;
    }
    [[nodiscard]] muster::Meeting connect(const muster::Launch&, muster::Deadline) const {
        return muster::Meeting(muster::AnyStore(muster::MemoryStore(store)));
    }
};
static_assert(muster::Rendezvous<Threads>);

inline muster::Options quick() {
    muster::Options options;
    options.timeout = std::chrono::seconds(30);
    options.log = {};
    return options;
}

/// Runs `body` in a thread for each rank and gives back what each returned; rethrows what the lowest failing rank
/// threw.
template <class Body>
auto on_all_ranks(int world_size, const Body& body) {
    const muster::MemoryStore store;
    std::vector<std::invoke_result_t<Body, Threads>> results(static_cast<std::size_t>(world_size));
    support::run_ranks(world_size, [&](int rank) {
        results[static_cast<std::size_t>(rank)] = body(Threads{store, rank, world_size});
    });
    return results;
}

template <class Communicator>
std::vector<int> ranks_of(const Communicator& group) {
    return {group.ranks().begin(), group.ranks().end()};
}
