// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/store/thread.hpp>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace muster::inline v0_1::detail {

/// Calls `ring`, from a thread of its own, if it still lives at the deadline.
class Alarm {
public:
    Alarm(Deadline deadline, std::function<void()> ring)
        : thread_(start_thread([this, deadline, ring = std::move(ring)] {
              std::unique_lock lock(mutex_);
              if (!ended_.wait_until(lock, deadline.at(), [this] { return off_; })) ring();
          })) {}
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;
    ~Alarm() {
        {
            const std::lock_guard lock(mutex_);
            off_ = true;
        }
        ended_.notify_one();
        thread_.join();
    }

private:
    std::mutex mutex_;
    std::condition_variable ended_;
    bool off_ = false;
    std::thread thread_; ///< last: it uses what stands above
};

} // namespace muster::inline v0_1::detail
