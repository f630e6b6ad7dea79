// SPDX-License-Identifier: Apache-2.0
// The ranks of a job as threads of this process.
#pragma once

#include <muster/gloo.hpp>

#include <chrono>
#include <future>
#include <type_traits>
#include <vector>

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

/// Runs `body` in a thread for each rank and gives back what each returned; rethrows the first error.
template <class Body>
auto on_all_ranks(int world_size, const Body& body) {
    const muster::MemoryStore store;
    std::vector<std::future<std::invoke_result_t<Body, Threads>>> threads;
    for (int rank = 0; rank < world_size; ++rank)
        threads.push_back(std::async(std::launch::async, [&, rank] { return body(Threads{store, rank, world_size}); }));
    for (auto& thread : threads) thread.wait();
    std::vector<std::invoke_result_t<Body, Threads>> results;
    for (auto& thread : threads) results.push_back(thread.get());
    return results;
}
