// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/nccl/frame.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// The group that a communicator connects.
struct NcclGroupOfRanks {
    std::vector<int> ranks; ///< global, index = rank in the group
    int rank = 0;
    int device = 0;
    std::string label; ///< "tp", "world", for texts
};

/// Who is inside a communicator, and whether it may still be used: open, until the first failure, abort or close ends
/// it for good.
///
/// One thread at a time is inside. An abort may come from any other: it waits for that thread, which leaves as soon as
/// it sees the request. A call in an open group holds the gate until the group's end.
class NcclGate {
public:
    explicit NcclGate(NcclGroupOfRanks group)
        : ranks(std::move(group.ranks)),
          count(static_cast<int>(ranks.size())),
          alone(count == 1),
          rank(group.rank),
          device(group.device),
          label(std::move(group.label)) {}

    NcclGate(const NcclGate&) = delete;
    NcclGate& operator=(const NcclGate&) = delete;

    [[nodiscard]] int size() const noexcept { return count; }
    [[nodiscard]] int global_rank() const { return ranks[static_cast<std::size_t>(rank)]; }
    [[nodiscard]] bool is_open() const noexcept { return status_ == Status::open; }

    /// Whether this thread's or another's abort ends what waits here.
    [[nodiscard]] bool interrupted() const noexcept { return status_.load(std::memory_order_acquire) != Status::open; }

    // The way in and out of every call: no lock and no branch taken when all is well.
    [[gnu::always_inline]] inline void enter(const char* operation) {
        if (nccl_frame.depth == 0) [[likely]] {
            if (busy_.exchange(true, std::memory_order_acquire)) [[unlikely]]
                refuse_second(operation);
        } else if (!in_own_group()) {
            enter_group(operation);
        }
        if (interrupted()) [[unlikely]]
            leave_and_refuse(operation);
    }
    [[gnu::always_inline]] inline void leave() noexcept {
        if (holder_.load(std::memory_order_relaxed) == nullptr) busy_.store(false, std::memory_order_release);
    }

    /// While it lives, this thread is inside.
    class Inside {
    public:
        Inside(NcclGate& gate, const char* operation) : gate_(gate) { gate.enter(operation); }
        Inside(const Inside&) = delete;
        Inside& operator=(const Inside&) = delete;
        ~Inside() { gate_.leave(); }

    private:
        NcclGate& gate_;
    };

    /// Any thread. What runs or waits in this communicator ends; nothing is freed yet.
    void interrupt() noexcept {
        auto expected = Status::open;
        status_.compare_exchange_strong(expected, Status::aborted);
    }

    /// Ends the communicator for good with this text.
    [[noreturn]] void fail(errc code, const std::string& text, std::vector<int> about = {}) {
        failure_ = text;
        auto expected = Status::open;
        status_.compare_exchange_strong(expected, Status::failed);
        throw Error(code, Stage::communicator, text, {.rank = global_rank(), .ranks = std::move(about)});
    }

    /// Ends it with a group that launched nothing.
    void give_up() noexcept {
        auto expected = Status::open;
        if (!status_.compare_exchange_strong(expected, Status::failed)) return;
        try {
            failure_ = "a group in which it was called was given up before its end";
        } catch (const std::exception&) {
            return; // its status says enough
        }
    }

    const std::vector<int> ranks;
    const int count;  ///< of ranks, at hand for every check
    const bool alone; ///< a group of one: what it moves it copies
    const int rank;
    const int device;
    const std::string label;

    /// "on rank 3 of the NCCL communicator tp of ranks 2, 3"
    [[nodiscard]] std::string whose() const {
        return format("on rank {} of the NCCL communicator {}{}of {}",
                      {global_rank(), label, label.empty() ? "" : " ", ranks_text(ranks)});
    }

    [[noreturn]] void refuse(std::string_view operation) const {
        const auto why = [&]() -> std::string {
            switch (status_.load()) {
                case Status::failed: return format("that failed before:\n  {}", {indented(failure_)});
                case Status::aborted: return "that was aborted";
                default: return "that was closed";
            }
        };
        throw Error(errc::closed, Stage::communicator,
                    format("{} on an NCCL communicator {}{}of {} {}",
                           {operation, label, label.empty() ? "" : " ", ranks_text(ranks), why()}),
                    {.rank = global_rank()});
    }

protected:
    enum class Status : std::uint8_t { open, failed, aborted, closed };

    ~NcclGate() = default;

    /// Whether it was called in the group that is open on this thread.
    [[nodiscard]] bool in_own_group() const noexcept { return holder_.load(std::memory_order_relaxed) == &nccl_frame; }

    std::atomic<bool> busy_{false};
    std::atomic<Status> status_{Status::open};

private:
    friend class NcclOpenGroup;

    [[noreturn, gnu::cold, gnu::noinline]] void leave_and_refuse(const char* operation) {
        leave();
        refuse(operation);
    }

    [[gnu::noinline]] void enter_group(const char* operation) {
        if (busy_.exchange(true, std::memory_order_acquire)) refuse_second(operation);
        holder_.store(&nccl_frame, std::memory_order_relaxed);
        next_ = std::exchange(nccl_frame.first, this);
    }

    [[noreturn, gnu::cold, gnu::noinline]] void refuse_second(const char* operation) const {
        if (interrupted()) refuse(operation);
        throw Error(errc::invalid_argument, Stage::communicator,
                    format("{} {}: another thread is using it\n  do: let one thread at a time use a communicator",
                           {operation, whose()}),
                    {.rank = global_rank()});
    }

    std::atomic<const NcclFrame*> holder_{nullptr}; ///< the group that keeps the gate shut until its end
    NcclGate* next_ = nullptr;                      ///< in that group
    std::string failure_;
};

} // namespace muster::inline v0_1::detail
