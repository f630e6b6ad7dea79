// SPDX-License-Identifier: Apache-2.0
#include <muster/core/deadline.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <limits>
#include <thread>

using namespace std::chrono_literals;
using muster::Deadline;

TEST_CASE("a default deadline has passed") {
    CHECK(Deadline().expired());
    CHECK(Deadline().remaining() == 0ms);
    CHECK(Deadline().poll_timeout() == 0);
}

TEST_CASE("a deadline counts down") {
    const auto deadline = Deadline::after(1h);
    CHECK_FALSE(deadline.expired());
    CHECK(deadline.remaining() <= 1h);
    CHECK(deadline.remaining() > 59min);

    const auto soon = Deadline::after(2ms);
    while (!soon.expired()) {
        std::this_thread::yield();
    }
    CHECK(soon.poll_timeout() == 0);
}

TEST_CASE("a wait too long for the clock means never") {
    CHECK(Deadline::after(std::chrono::milliseconds::max()) == Deadline::never());
    CHECK(Deadline::after(std::chrono::hours(24 * 365 * 1000)) == Deadline::never());
    CHECK_FALSE(Deadline::never().expired());
    CHECK(Deadline::never().poll_timeout() == std::numeric_limits<int>::max());
}

TEST_CASE("at_most takes the nearer deadline") {
    const auto hour = Deadline::after(1h);
    CHECK(hour.at_most(1s) < hour);
    CHECK(hour.at_most(2h) == hour);
    CHECK(Deadline::never().at_most(1s) < hour);
    CHECK(Deadline().at_most(1h).expired());
}

TEST_CASE("an extended deadline") {
    const auto soon = Deadline::after(1s);
    CHECK(soon.extended_by(2s).at() - soon.at() == 2s);
    CHECK(Deadline::never().extended_by(1s) == Deadline::never());
}

TEST_CASE("a wait that is not positive has passed") {
    CHECK(Deadline::after(-1s).expired());
    CHECK(Deadline::after(0ms).expired());
    CHECK(Deadline::after(std::chrono::milliseconds::min()).expired());
}
