// SPDX-License-Identifier: Apache-2.0
// muster RANKS   the roll call and the commit of an init, without a backend between them. Prints the time, when the
// last rank had ended each phase, and how often a rank waited for others.
//
// A rank's record, which tells what it is, exists before the clock starts, as the other contestants' keys do. Rank 0
// makes the answer of all payloads, for no contestant gives every payload to every rank.
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/rendezvous/endpoint.hpp>
#include <muster/roll_call/commit.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/roll_call.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/exchange.hpp>
#include <muster/store/listen.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "world.hpp"

namespace {

using muster::AnyStore;
using muster::Deadline;
using muster::Launch;
using muster::Meeting;
using muster::Session;
using rendezvous::Clock;

constexpr std::chrono::seconds timeout{60};

/// Counts the operations that wait for other ranks.
class CountingStore : public AnyStore {
public:
    CountingStore(AnyStore store, int& waits) : AnyStore(std::move(store)), waits_(&waits) {}

    [[nodiscard]] bool wait(std::span<const std::string> keys, Deadline deadline) {
        ++*waits_;
        return AnyStore::wait(keys, deadline);
    }

    [[nodiscard]] std::optional<std::string> exchange(const muster::detail::Notes& notes, const std::string& key,
                                                      Deadline deadline) {
        ++*waits_;
        return AnyStore::exchange(notes, key, deadline);
    }

private:
    int* waits_;
};

struct Phases {
    Clock::time_point connected, answered;
    int waits = 0;
};

Launch launch_of(int rank, int ranks, std::uint16_t port) {
    Launch launch;
    launch.rank = rank;
    launch.world_size = ranks;
    launch.endpoint = {"127.0.0.1", port};
    return launch;
}

/// A port that is free now: an init is told its port, so that it cannot take any.
std::uint16_t free_port() { return muster::detail::listen_on("127.0.0.1", 0).port; }

/// Rank 0 adds up what all bring.
std::string sum_of(const std::vector<std::string>& gifts) {
    rendezvous::Message answer{};
    for (const std::string& gift : gifts) rendezvous::take_in(answer, gift);
    return {answer.data(), answer.size()};
}

std::string measure(int ranks) {
    const Deadline deadline = Deadline::after(timeout);
    const std::uint16_t port = free_port();
    std::optional<Meeting> first = muster::detail::meet_at_endpoint(launch_of(0, ranks, port), deadline);
    std::vector<muster::Record> records;
    for (int rank = 0; rank < ranks; ++rank) records.push_back(make_record(launch_of(rank, ranks, port)));
    std::vector<Phases> phases(static_cast<std::size_t>(ranks));

    const auto times = rendezvous::run(ranks, [&](int rank, const rendezvous::Message& wanted) {
        Phases& phase = phases[static_cast<std::size_t>(rank)];
        auto meeting = std::make_unique<Meeting>(
            rank == 0 ? std::move(*first) : muster::detail::meet_at_endpoint(launch_of(rank, ranks, port), deadline));
        phase.connected = Clock::now();
        AnyStore& store = meeting->store;
        store = AnyStore(CountingStore(std::move(store), phase.waits));
        const auto gift = rendezvous::gift_of(rank);
        const Session session =
            call_roll(store, records[static_cast<std::size_t>(rank)], {gift.data(), gift.size()},
                      {.deadline = deadline, .timeout = timeout, .fresh = meeting->fresh(), .combine = sum_of});
        rendezvous::require_answer(session.answer, wanted);
        phase.answered = Clock::now();
        commit(store, session, deadline);
        return meeting;
    });

    const auto last = [&](Clock::time_point Phases::*phase) {
        return rendezvous::milliseconds(std::ranges::max(phases, {}, phase).*phase - times.began);
    };
    const int waits = std::ranges::max(std::span(phases).subspan(1), {}, &Phases::waits).waits;
    return fmt::format(R"({},"connected":{:.3f},"answered":{:.3f},"waits":{},"waits_of_rank_0":{}}})", times.text(),
                       last(&Phases::connected), last(&Phases::answered), waits, phases[0].waits);
}

} // namespace

int main(int argc, char** argv) { return rendezvous::program(argc, argv, measure); }
