// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <cerrno>

namespace muster::inline v0_1::detail {

/// Keeps SIGPIPE from this thread, and from threads started meanwhile, for a scope. Gloo writes to sockets whose peer
/// may be gone and reports that as an error, but does not keep the signal from ending the process.
class SigpipeGuard {
public:
    SigpipeGuard() noexcept {
        sigset_t pending;
        ::sigemptyset(&pipe_);
        ::sigaddset(&pipe_, SIGPIPE);
        // One that was pending before is somebody else's, and stays.
        active_ = ::sigpending(&pending) == 0 && ::sigismember(&pending, SIGPIPE) == 0 &&
                  ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_) == 0;
    }

    SigpipeGuard(const SigpipeGuard&) = delete;
    SigpipeGuard& operator=(const SigpipeGuard&) = delete;

    ~SigpipeGuard() {
        if (!active_) return;
        constexpr timespec now{0, 0};
        while (::sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {
        }
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); // cannot fail: the mask is one that it gave
    }

private:
    sigset_t pipe_{};
    sigset_t before_{};
    bool active_ = false;
};

} // namespace muster::inline v0_1::detail
