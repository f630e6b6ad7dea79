// SPDX-License-Identifier: Apache-2.0
#include <muster/store/thread.hpp>

#include <catch2/catch_test_macros.hpp>

#include <signal.h>

namespace {

bool takes(int signal) {
    sigset_t mask;
    if (::pthread_sigmask(SIG_SETMASK, nullptr, &mask) != 0) return false;
    return ::sigismember(&mask, signal) == 0;
}

} // namespace

TEST_CASE("a thread takes no signals, and the one that starts it takes what it took") {
    REQUIRE(takes(SIGTERM));
    bool inside = true;
    muster::detail::start_thread([&] { inside = takes(SIGTERM) || takes(SIGALRM); }).join();
    CHECK_FALSE(inside);
    CHECK(takes(SIGTERM));
    CHECK(takes(SIGALRM));
}
