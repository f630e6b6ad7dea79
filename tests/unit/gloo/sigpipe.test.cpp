// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo/sigpipe.hpp>

#include <catch2/catch_test_macros.hpp>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

using muster::detail::SigpipeGuard;

namespace {

/// Writes where nobody reads: the default action of SIGPIPE would end the process.
int write_to_nobody() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    REQUIRE(::close(ends[0]) == 0);
    const auto written = ::write(ends[1], "x", 1);
    const int error = errno;
    REQUIRE(::close(ends[1]) == 0);
    return written < 0 ? error : 0;
}

bool is_blocked() {
    sigset_t mask;
    REQUIRE(::pthread_sigmask(SIG_BLOCK, nullptr, &mask) == 0);
    return ::sigismember(&mask, SIGPIPE) == 1;
}

bool is_pending() {
    sigset_t pending;
    REQUIRE(::sigpending(&pending) == 0);
    return ::sigismember(&pending, SIGPIPE) == 1;
}

} // namespace

TEST_CASE("a write to nobody is an error, not the end") {
    REQUIRE_FALSE(is_blocked());
    {
        const SigpipeGuard guard;
        CHECK(write_to_nobody() == EPIPE);
        const SigpipeGuard inner;
        CHECK(write_to_nobody() == EPIPE);
    }
    CHECK_FALSE(is_blocked());
    CHECK_FALSE(is_pending());
}

TEST_CASE("threads started under it have it for life") {
    std::thread thread;
    {
        const SigpipeGuard guard;
        thread = std::thread([] { (void)write_to_nobody(); });
    }
    thread.join();
    CHECK_FALSE(is_pending());
}

TEST_CASE("a signal that was pending before stays so") {
    sigset_t pipe, before;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    REQUIRE(::pthread_sigmask(SIG_BLOCK, &pipe, &before) == 0);
    REQUIRE(::pthread_kill(::pthread_self(), SIGPIPE) == 0);
    { const SigpipeGuard guard; }
    CHECK(is_pending());
    CHECK(is_blocked());
    int taken = 0;
    REQUIRE(::sigwait(&pipe, &taken) == 0);
    REQUIRE(::pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
}
