// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/roll_call/commit.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/roll_call.hpp>
#include <muster/roll_call/session.hpp>

#include <chrono>
#include <cstddef>
#include <future>
#include <string>
#include <utility>
#include <vector>

/// What became of one rank that met the others by a policy and called the roll with them.
struct Met {
    muster::Session session;
    std::string text; ///< of its error
    muster::errc code{};
    std::vector<int> about;
};

/// All that a mesh does with a policy, without a backend.
template <muster::Rendezvous R>
Met meet(R policy, std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
    Met met;
    try {
        const auto deadline = muster::Deadline::after(timeout);
        const muster::Launch launch = policy.launch();
        muster::Meeting meeting = policy.connect(launch, deadline);
        met.session = call_roll(meeting.store, make_record(launch), "payload " + std::to_string(launch.rank),
                                {.deadline = deadline, .timeout = timeout, .fresh = meeting.fresh()});
        met.session.records = muster::detail::fetch_records(meeting.store, met.session, deadline);
        const auto payloads = muster::detail::payloads(met.session);
        for (int rank = 0; rank < launch.world_size; ++rank)
            if (payloads[static_cast<std::size_t>(rank)] != "payload " + std::to_string(rank))
                met.text = "wrong payload";
        commit(meeting.store, met.session, deadline);
        meeting.leave(deadline);
    } catch (const muster::Error& error) {
        met.text = error.text();
        met.code = error.code();
        met.about = error.ranks();
    }
    return met;
}

/// One thread for each policy.
template <class R>
std::vector<Met> meet_all(const std::vector<R>& policies,
                          std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
    std::vector<std::future<Met>> threads;
    for (const R& policy : policies)
        threads.push_back(std::async(std::launch::async, [&policy, timeout] { return meet(policy, timeout); }));
    std::vector<Met> all;
    for (auto& thread : threads) all.push_back(thread.get());
    return all;
}
