// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/roll_call/keys.hpp>
#include <muster/roll_call/outcome.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/thread.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// While it lives, a thread watches for the failure of another rank and then calls `interrupt`, so that a backend's
/// blocking connect ends long before its deadline. The store belongs to the watch meanwhile.
class FailureWatch {
public:
    /// `deadline` is that of the connecting: a question to the store may take as long, over a bad line.
    FailureWatch(AnyStore& store, const Session& session, Deadline deadline, std::function<void()> interrupt)
        : thread_(start_thread([this, &store, &session, deadline, interrupt = std::move(interrupt)] {
              using namespace std::chrono_literals;
              const std::vector<std::string> outcome{outcome_key(session)};
              try {
                  // Who ends the watch waits for the end of a pause: short ones first, for connecting may be quick.
                  auto pause = 2ms;
                  do {
                      raise_failures(store, session, deadline.extended_by(listening_time));
                      pause = std::min(2 * pause, 20ms);
                  } while (!stop_ && !store.wait(outcome, Deadline::after(pause)));
                  if (!stop_) interrupt();
              } catch (const std::exception&) {
                  interrupt(); // a failure; or the store is gone, and with it rank 0; or there is no memory
              }
          })) {}

    FailureWatch(const FailureWatch&) = delete;
    FailureWatch& operator=(const FailureWatch&) = delete;

    ~FailureWatch() {
        stop_ = true;
        thread_.join();
    }

private:
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

/// For a backend that looks again and again: throws the error of another rank that failed, and what the store says when
/// it is gone. Asks the store now and then only.
class OutcomeCheck {
public:
    /// `deadline`: as for FailureWatch.
    OutcomeCheck(AnyStore& store, const Session& session, Deadline deadline)
        : store_(store),
          session_(session),
          deadline_(deadline.extended_by(listening_time)) {}

    void operator()() {
        using namespace std::chrono_literals;
        if (!next_.expired()) return;
        raise_failures(store_, session_, deadline_);
        next_ = Deadline::after(20ms);
    }

private:
    AnyStore& store_;
    const Session& session_; ///< outlives the connecting, which this is for
    Deadline deadline_;
    Deadline next_ = Deadline::after(std::chrono::milliseconds(20));
};

} // namespace muster::inline v0_1::detail
