// SPDX-License-Identifier: Apache-2.0
#include <muster/nccl/limited.hpp>

#include <catch2/catch_test_macros.hpp>
#include <nccl.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

using muster::Deadline;
using muster::detail::call_with_limit;
using namespace std::chrono_literals;

TEST_CASE("a call that returns in time gives what it returned") {
    const auto caller = std::this_thread::get_id();
    CHECK(call_with_limit(Deadline::after(30s), [] { return ncclInProgress; }) == std::optional(ncclInProgress));
    const auto elsewhere = [&] { return std::this_thread::get_id() == caller ? ncclInternalError : ncclSuccess; };
    CHECK(call_with_limit(Deadline::after(30s), elsewhere) == std::optional(ncclSuccess));
    const auto slow = [] {
        std::this_thread::sleep_for(20ms);
        return ncclSystemError;
    };
    CHECK(call_with_limit(Deadline::after(30s), slow) == std::optional(ncclSystemError));
}

TEST_CASE("what the call owned is gone when it has returned") {
    auto owned = std::make_shared<ncclResult_t>(ncclSystemError);
    const std::weak_ptr<ncclResult_t> watch = owned;
    CHECK(call_with_limit(Deadline::after(30s), [owned = std::move(owned)] { return *owned; }) ==
          std::optional(ncclSystemError));
    CHECK(watch.expired());
}

TEST_CASE("a call that hangs is left behind at the deadline, with what it owns") {
    std::promise<void> let_go;
    auto owned = std::make_shared<ncclResult_t>(ncclSystemError);
    const std::weak_ptr<ncclResult_t> watch = owned;
    const auto start = Deadline::Clock::now();
    const auto result =
        call_with_limit(Deadline::after(50ms), [owned = std::move(owned), gone = let_go.get_future().share()] {
            gone.wait();
            return *owned;
        });
    const auto took = Deadline::Clock::now() - start;
    CHECK_FALSE(result);
    CHECK(took >= 50ms);
    CHECK(took < 20s);
    CHECK_FALSE(watch.expired());
    let_go.set_value();
    while (!watch.expired()) std::this_thread::yield(); // or the test ends before the thread
}

TEST_CASE("a deadline that has passed leaves no time to wait") {
    std::promise<void> let_go;
    const auto state = std::make_shared<ncclResult_t>(ncclSuccess);
    const auto start = Deadline::Clock::now();
    CHECK_FALSE(call_with_limit(Deadline(), [state, gone = let_go.get_future().share()] {
        gone.wait();
        return *state;
    }));
    CHECK(Deadline::Clock::now() - start < 20s);
    let_go.set_value();
    while (state.use_count() > 1) std::this_thread::yield();
}

TEST_CASE("without a deadline the call has all the time it needs") {
    const auto slow = [] {
        std::this_thread::sleep_for(100ms);
        return ncclSystemError;
    };
    CHECK(call_with_limit(Deadline::never(), slow) == std::optional(ncclSystemError));
    // Nor is there too little where the clock's end is near.
    CHECK(call_with_limit(Deadline(Deadline::Clock::time_point::max() - 1ns), slow) == std::optional(ncclSystemError));
}
