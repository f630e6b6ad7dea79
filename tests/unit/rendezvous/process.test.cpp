// SPDX-License-Identifier: Apache-2.0
#include <muster/rendezvous/process.hpp>

#include <catch2/catch_test_macros.hpp>

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

using muster::detail::Fields;
using muster::detail::Life;
using muster::detail::life_of;
using muster::detail::ProcessIdentity;
using muster::detail::start_of;
using muster::detail::this_process;

TEST_CASE("this process lives") {
    const ProcessIdentity self = this_process();
    CHECK(self.pid == ::getpid());
    CHECK_FALSE(self.started.empty());
    CHECK(life_of(self) == Life::alive);
    Fields fields;
    self.put(fields);
    CHECK(ProcessIdentity::take(Fields::decode(fields.encode())) == self);
}

TEST_CASE("a process that has ended is dead, also before its parent takes notice") {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::pause();
        ::_exit(0);
    }
    ProcessIdentity identity = this_process();
    identity.pid = child;
    identity.started = start_of(child);
    REQUIRE_FALSE(identity.started.empty());
    CHECK(life_of(identity) == Life::alive);
    (void)::kill(child, SIGKILL);
    siginfo_t ended{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT) == 0);
    CHECK(life_of(identity) == Life::dead);
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    CHECK(life_of(identity) == Life::dead);
}

TEST_CASE("a number that was given again is another process") {
    ProcessIdentity other = this_process();
    other.started += "0";
    CHECK(life_of(other) == Life::dead);
}

TEST_CASE("of processes elsewhere nothing is known") {
    for (const auto field : {&ProcessIdentity::boot_id, &ProcessIdentity::pid_namespace}) {
        ProcessIdentity other = this_process();
        other.*field = "another";
        CHECK(life_of(other) == Life::unknown);
        other.*field = "";
        CHECK(life_of(other) == Life::unknown);
    }
    CHECK(life_of(ProcessIdentity()) == Life::unknown);
}
