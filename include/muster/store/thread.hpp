// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

#include <functional>
#include <system_error>
#include <thread>
#include <utility>

namespace muster::inline v0_1::detail {

/// A thread that takes none of the program's signals: they are for the program's own threads.
/// Throws: std::system_error when it cannot be started.
[[nodiscard]] inline std::thread start_thread(std::function<void()> body) {
    struct Blocked {
        sigset_t old{};
        Blocked() {
            sigset_t all;
            ::sigfillset(&all);
            if (const int error = ::pthread_sigmask(SIG_SETMASK, &all, &old); error != 0)
                throw std::system_error(error, std::generic_category(), "pthread_sigmask");
        }
        Blocked(const Blocked&) = delete;
        Blocked& operator=(const Blocked&) = delete;
        ~Blocked() { (void)::pthread_sigmask(SIG_SETMASK, &old, nullptr); } // what was set before can be set again
    };
    const Blocked blocked; // a thread begins with the mask of the one that starts it
    return std::thread(std::move(body));
}

} // namespace muster::inline v0_1::detail
