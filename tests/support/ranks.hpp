// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace support {

/// Runs fn(rank) in one thread for each of n ranks and throws again what the lowest failing rank threw. Ranks that
/// have not ended by the deadline end the program: a thread cannot be stopped, and a test must never hang.
template <class Fn>
void run_ranks(int n, Fn fn, std::chrono::seconds limit = std::chrono::seconds(60)) {
    std::mutex mutex;
    std::condition_variable ended;
    int running = n;
    std::vector<std::exception_ptr> errors(static_cast<std::size_t>(n));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < n; ++rank) {
        threads.emplace_back([&, rank] {
            std::exception_ptr error;
            try {
                fn(rank);
            } catch (...) {
                error = std::current_exception();
            }
            const std::lock_guard lock(mutex);
            errors[static_cast<std::size_t>(rank)] = error;
            --running;
            ended.notify_one();
        });
    }
    {
        std::unique_lock lock(mutex);
        if (!ended.wait_for(lock, limit, [&] { return running == 0; })) {
            std::fprintf(stderr, "run_ranks: %d of %d ranks still run after %lld s\n", running, n,
                         static_cast<long long>(limit.count()));
            std::abort();
        }
    }
    for (auto& thread : threads) thread.join();
    for (const auto& error : errors) {
        if (error) std::rethrow_exception(error);
    }
}

/// Where the threads of a test meet: everybody gets everybody's text.
class Meeting {
public:
    explicit Meeting(int size) : size_(static_cast<std::size_t>(size)) {}

    /// Throws when not everybody has come to meeting number `round` in time.
    std::vector<std::string> all(int round, int rank, const std::string& text,
                                 std::chrono::seconds limit = std::chrono::seconds(30)) {
        std::unique_lock lock(mutex_);
        auto& texts = rounds_[round];
        texts[rank] = text;
        came_.notify_all();
        if (!came_.wait_for(lock, limit, [&] { return texts.size() == size_; })) {
            throw std::runtime_error("not all ranks came to the meeting");
        }
        std::vector<std::string> result;
        for (const auto& [who, what] : texts) result.push_back(what);
        return result;
    }

private:
    std::size_t size_;
    std::mutex mutex_;
    std::condition_variable came_;
    std::map<int, std::map<int, std::string>> rounds_;
};

} // namespace support
