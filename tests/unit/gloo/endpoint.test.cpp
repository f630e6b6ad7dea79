// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo/communicator.hpp>
#include <muster/gloo/endpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "../../support/gloo_ranks.hpp"

using muster::Deadline;
using muster::errc;
using muster::GlooDevice;
using muster::GlooEndpoint;
using support::error_of;
using support::Meeting;
using support::run_ranks;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<GlooEndpoint> && !std::is_move_constructible_v<GlooEndpoint>);

namespace {

void require(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(what);
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

} // namespace

// Of two peers the one with the lower address listens, whatever its rank, and the other connects.

TEST_CASE("endpoints of one device connect, as those of several do") {
    const GlooDevice device;
    Meeting meeting(4);
    run_ranks(4, [&](int rank) {
        GlooEndpoint endpoint(rank, 4, device);
        muster::GlooCommunicator comm(endpoint.connect(meeting.all(0, rank, endpoint.payload()), Deadline::after(30s)),
                                      {0, 1, 2, 3});
        std::array<int, 1> total{rank};
        comm.all_reduce(total, muster::sum);
        require(total[0] == 6, "sum");
        comm.close(Deadline::after(30s));
    });
    SUCCEED();
}

TEST_CASE("a group of one connects to nobody") {
    GlooEndpoint endpoint(0, 1, GlooDevice());
    const std::vector<std::string> payloads{endpoint.payload()};
    CHECK_FALSE(endpoint.payload().empty());
    CHECK(endpoint.connect(payloads, Deadline()) == nullptr);
}

TEST_CASE("of several peers, the one that never connects is named") {
    const GlooDevice low(muster::GlooDeviceOptions{.hostname = "127.0.0.1"});
    const GlooDevice high(muster::GlooDeviceOptions{.hostname = "127.0.0.2"});
    GlooEndpoint waits(0, 3, low, {20, 21, 22});
    GlooEndpoint comes(1, 3, high, {20, 21, 22});
    const GlooEndpoint never_comes(2, 3, high, {20, 21, 22});
    const std::vector<std::string> payloads{waits.payload(), comes.payload(), never_comes.payload()};
    std::thread other([&] {
        try {
            (void)comes.connect(payloads, Deadline::after(300ms));
        } catch (const muster::Error&) {
            // It may wait for rank 22 too: that depends on their ports.
        }
    });
    const auto error = error_of([&] { (void)waits.connect(payloads, Deadline::after(300ms)); });
    other.join();
    INFO(error.what());
    CHECK(error.code() == errc::timeout);
    CHECK(error.ranks() == std::vector{22});
    CHECK(contains(error.what(), "could not connect to rank 22 within"));
    CHECK(contains(error.what(), "connected to 1 of 2 peers"));
}

TEST_CASE("interrupt ends a connect whose peer never comes") {
    const GlooDevice low(muster::GlooDeviceOptions{.hostname = "127.0.0.1"});
    const GlooDevice high(muster::GlooDeviceOptions{.hostname = "127.0.0.2"});
    GlooEndpoint waits(0, 2, low);
    const GlooEndpoint never_comes(1, 2, high);
    const std::vector<std::string> payloads{waits.payload(), never_comes.payload()};
    std::thread interrupter([&] {
        std::this_thread::sleep_for(50ms); // long enough to be inside, right in any case
        waits.interrupt();
    });
    const auto start = Deadline::Clock::now();
    const auto error = error_of([&] { (void)waits.connect(payloads, Deadline::never()); });
    interrupter.join();
    INFO(error.what());
    CHECK(error.code() == errc::closed);
    CHECK(contains(error.what(), "was interrupted while it connected to rank 1"));
    CHECK(Deadline::Clock::now() - start < 20s);

    const auto again = error_of([&] { (void)waits.connect(payloads, Deadline::never()); });
    CHECK(contains(again.what(), "cannot connect an endpoint twice"));
}

TEST_CASE("the deadline ends a connect whose peer never comes") {
    const GlooDevice low(muster::GlooDeviceOptions{.hostname = "127.0.0.1"});
    const GlooDevice high(muster::GlooDeviceOptions{.hostname = "127.0.0.2"});
    GlooEndpoint waits(0, 2, low, {8, 9});
    const GlooEndpoint never_comes(1, 2, high, {8, 9});
    const std::vector<std::string> payloads{waits.payload(), never_comes.payload()};
    const auto error = error_of([&] { (void)waits.connect(payloads, Deadline::after(100ms)); });
    INFO(error.what());
    CHECK(error.code() == errc::timeout);
    CHECK(error.rank() == 8);
    CHECK(error.ranks() == std::vector{9});
    CHECK(contains(error.what(), "rank 8 of the Gloo group of ranks 8, 9 could not connect to rank 9 within"));
    CHECK(contains(error.what(), "connected to 0 of 1 peers"));

    GlooEndpoint late(0, 2, low);
    const std::vector<std::string> others{late.payload(), never_comes.payload()};
    CHECK(error_of([&] { (void)late.connect(others, Deadline()); }).code() == errc::timeout);
}

TEST_CASE("a peer that has gone is an error at once") {
    const GlooDevice low(muster::GlooDeviceOptions{.hostname = "127.0.0.1"});
    const GlooDevice high(muster::GlooDeviceOptions{.hostname = "127.0.0.2"});
    GlooEndpoint connects(0, 2, high);
    std::vector<std::string> payloads{connects.payload(), ""};
    {
        const GlooDevice gone(muster::GlooDeviceOptions{.hostname = "127.0.0.1"});
        payloads[1] = GlooEndpoint(1, 2, gone).payload();
    }
    const auto error = error_of([&] { (void)connects.connect(payloads, Deadline::after(50s)); });
    INFO(error.what());
    CHECK(error.code() == errc::connection);
    CHECK(contains(error.what(), "Gloo: "));
}

TEST_CASE("interrupt before connect") {
    const GlooDevice device;
    GlooEndpoint one(0, 2, device);
    const GlooEndpoint two(1, 2, device);
    const std::vector<std::string> payloads{one.payload(), two.payload()};
    one.interrupt();
    CHECK(error_of([&] { (void)one.connect(payloads, Deadline::never()); }).code() == errc::closed);
}

TEST_CASE("bad payloads are refused before they are used") {
    const GlooDevice device;
    GlooEndpoint one(0, 2, device);
    const GlooEndpoint two(1, 2, device);
    const auto refused = [&](std::vector<std::string> payloads) {
        return error_of([&] { (void)one.connect(payloads, Deadline::never()); }).code();
    };
    CHECK(refused({}) == errc::invalid_argument);
    CHECK(refused({one.payload()}) == errc::invalid_argument);
    CHECK(refused({one.payload(), ""}) == errc::protocol);
    CHECK(refused({one.payload(), one.payload()}) == errc::protocol);
    CHECK(refused({two.payload(), one.payload()}) == errc::protocol);
    CHECK(refused({one.payload(), two.payload() + "x"}) == errc::protocol);
    CHECK(refused({one.payload(), std::string(1 << 20, 'm')}) == errc::protocol);
    for (std::size_t n = 0; n < two.payload().size(); ++n) {
        CHECK(refused({one.payload(), two.payload().substr(0, n)}) == errc::protocol);
    }
    // None of it used the endpoint up.
    one.interrupt();
    CHECK(refused({one.payload(), two.payload()}) == errc::closed);
}

TEST_CASE("ranks and sizes are checked") {
    const GlooDevice device;
    CHECK(error_of([&] { GlooEndpoint(2, 2, device); }).code() == errc::invalid_argument);
    CHECK(error_of([&] { GlooEndpoint(-1, 2, device); }).code() == errc::invalid_argument);
    CHECK(error_of([&] { GlooEndpoint(0, 0, device); }).code() == errc::invalid_argument);
    CHECK(error_of([&] { GlooEndpoint(0, 2, device, {1, 2, 3}); }).code() == errc::invalid_argument);
}
