// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

/// What the contestants of the rendezvous benchmark share: the ranks, the work and the clock.
///
/// The ranks are threads of one process, for every contestant, and so is the server. They are started, and whatever
/// rank 0 does alone before others can connect (it listens, and connects to itself) is done, before the clock starts.
/// It stops when the last rank has its answer and knows that all are done; nobody leaves before. Each run is a process
/// of its own, as an init is: allocations are part of the time.
namespace rendezvous {

inline constexpr std::size_t message_bytes = 256;
using Message = std::array<char, message_bytes>;
using Clock = std::chrono::steady_clock;

/// What a rank gives: other bytes for each rank.
[[nodiscard]] inline Message gift_of(int rank) {
    Message message;
    auto state = static_cast<unsigned>(rank) * 2654435761U + 1;
    for (char& byte : message) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<char>(state >> 24);
    }
    return message;
}

/// Takes a rank's gift into the answer, which is the sum of all, byte for byte.
inline void take_in(Message& answer, std::span<const char> gift) {
    if (gift.size() != message_bytes) throw std::runtime_error("a message has another size");
    for (std::size_t i = 0; i < message_bytes; ++i) answer[i] = static_cast<char>(answer[i] + gift[i]);
}

[[nodiscard]] inline Message answer_of(int ranks) {
    Message answer{};
    for (int rank = 0; rank < ranks; ++rank) take_in(answer, gift_of(rank));
    return answer;
}

inline void require_answer(std::span<const char> seen, const Message& wanted) {
    if (!std::ranges::equal(seen, wanted)) throw std::runtime_error("a rank got a wrong answer");
}

[[nodiscard]] inline double milliseconds(Clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

/// Each rank has a socket or two in this process. The table of files of a process with threads grows slowly: whoever
/// needs a larger one waits until no other thread can look at the old one. Ranks that are processes do not.
inline void make_room_for_files(int ranks) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
    const int high = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3 * ranks + 64);
    if (high >= 0) ::close(high);
}

/// std::latch and std::barrier look again and again for a while, at the cost of those that work.
class Barrier {
public:
    explicit Barrier(int threads) {
        if (::pthread_barrier_init(&barrier_, nullptr, static_cast<unsigned>(threads)) != 0)
            throw std::runtime_error("cannot make a barrier");
    }
    Barrier(const Barrier&) = delete;
    Barrier& operator=(const Barrier&) = delete;
    ~Barrier() { ::pthread_barrier_destroy(&barrier_); }
    void arrive_and_wait() { ::pthread_barrier_wait(&barrier_); }

private:
    pthread_barrier_t barrier_;
};

struct Times {
    Clock::time_point began; ///< all may start
    Clock::time_point ended; ///< the last rank has ended
    long switches = 0;       ///< how often a rank gave the processor away to wait for something, the median

    /// As the beginning of a JSON object.
    [[nodiscard]] std::string text() const {
        std::array<char, 96> text{};
        (void)std::snprintf(text.data(), text.size(), R"({"ms":%.3f,"switches":%ld)", milliseconds(ended - began),
                            switches);
        return text.data();
    }
};

[[nodiscard]] inline long switches_so_far() {
    rusage usage{};
    return ::getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

/// Ranks that are processes have a heap each, from their start. Threads otherwise share some, and wait for each other.
inline void allow_heaps(int ranks) { (void)::mallopt(M_ARENA_MAX, ranks + 8); }
inline void make_heap() { ::operator delete(::operator new(64 * 1024)); }

/// Runs part(rank, wanted answer) in a thread for each rank.
/// Throws: what a rank threw; others that wait for it end by their own deadlines.
template <class Part>
[[nodiscard]] Times run(int ranks, const Part& part) {
    const Message wanted = answer_of(ranks);
    Barrier ready(ranks + 1);
    Barrier start(ranks + 1);
    Barrier ended(ranks);
    std::vector<Clock::time_point> ends(static_cast<std::size_t>(ranks));
    std::vector<long> switches(static_cast<std::size_t>(ranks));
    std::vector<std::exception_ptr> errors(static_cast<std::size_t>(ranks));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; ++rank)
        threads.emplace_back([&, rank, at = static_cast<std::size_t>(rank)] {
            make_heap();
            ready.arrive_and_wait();
            start.arrive_and_wait();
            const long before = switches_so_far();
            std::optional<decltype(part(rank, wanted))> connection;
            try {
                connection.emplace(part(rank, wanted));
            } catch (...) {
                errors[at] = std::current_exception();
            }
            ends[at] = Clock::now();
            switches[at] = switches_so_far() - before;
            ended.arrive_and_wait();
        });
    ready.arrive_and_wait();
    const auto began = Clock::now();
    start.arrive_and_wait();
    for (std::thread& thread : threads) thread.join();
    for (const auto& error : errors)
        if (error) std::rethrow_exception(error);
    std::ranges::nth_element(switches, switches.begin() + ranks / 2);
    return {began, std::ranges::max(ends), switches[static_cast<std::size_t>(ranks / 2)]};
}

[[nodiscard]] inline int number(const char* text) {
    int value = 0;
    const char* const end = text + std::strlen(text);
    const auto [stop, failure] = std::from_chars(text, end, value);
    if (failure != std::errc() || stop != end || value < 1) throw std::runtime_error("not a number of ranks");
    return value;
}

/// The program of a contestant: PROGRAM RANKS. `measure` takes the number and returns the line to print.
template <class Measure>
[[nodiscard]] int program(int argc, char** argv, const Measure& measure) {
    try {
        if (argc != 2) throw std::runtime_error("wanted: the number of ranks");
        const int ranks = number(argv[1]);
        make_room_for_files(ranks);
        allow_heaps(ranks);
        const std::string line = measure(ranks);
        std::puts(line.c_str());
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
        return 1;
    }
}

} // namespace rendezvous
