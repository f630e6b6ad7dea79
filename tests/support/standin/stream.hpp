// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace standin {

/// Work in the order of its coming, done by a thread that the first work starts and that never holds up an exit.
class Stream : public std::enable_shared_from_this<Stream> {
public:
    Stream(int of_device, bool blocks) : device(of_device), blocking(blocks) {}

    /// The ticket of the work: completed() is as high once the work is done.
    std::uint64_t enqueue(std::function<void()> work);

    /// Blocks until all work up to the ticket is done.
    void wait(std::uint64_t ticket);

    /// No more work comes: the thread ends after the last.
    void close();

    std::uint64_t submitted() const { return submitted_.load(std::memory_order_acquire); }
    std::uint64_t completed() const { return completed_.load(std::memory_order_acquire); }
    bool idle() const { return completed() >= submitted(); }

    const int device;
    const bool blocking; // waits for the device's null stream and it for this one

private:
    void run();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> work_;
    std::atomic<std::uint64_t> submitted_ = 0;
    std::atomic<std::uint64_t> completed_ = 0;
    bool started_ = false;
    bool closed_ = false;
};

/// The stream of the handle, null when there is none alive; a null handle is the current device's null stream.
std::shared_ptr<Stream> find_stream(cudaStream_t handle);

/// Enqueues with the waits between null and blocking streams that the runtime promises.
std::uint64_t submit(Stream& stream, std::function<void()> work);

/// Blocks until all streams of the device are done with what they have.
void synchronize(int device);

} // namespace standin
