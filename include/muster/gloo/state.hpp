// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/gloo/context.hpp>
#include <muster/gloo/endpoint.hpp>
#include <muster/gloo/error.hpp>
#include <muster/gloo/sigpipe.hpp>

#include <gloo/barrier.h>
#include <gloo/common/error.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// What a communicator is made with; split hands it on to the new communicators.
struct GlooOptions {
    /// How long one operation may take, from its call to its end, before it fails.
    std::chrono::milliseconds timeout = std::chrono::seconds(30);
    /// How long a destructor waits for the other ranks to have finished, at most.
    std::chrono::milliseconds destructor_timeout = std::chrono::seconds(5);
};

namespace detail {

/// What all ranks of a group must say alike for an operation to match.
struct GlooCall {
    std::string_view name;
    std::size_t bytes = 0; // that each rank contributes
    std::uint8_t type = 0;
    std::uint8_t operation = 0;
    int root = -1;

    /// Tag number `number` of this call. Different calls get different tags: then ranks that disagree wait for each
    /// other until the timeout, while Gloo ends the process when a message is larger than the buffer it meets.
    [[nodiscard]] std::uint32_t tag(std::uint32_t number) const noexcept {
        std::uint32_t hash = 2166136261u; // FNV-1a
        const auto mix = [&](std::uint64_t value, int size) {
            for (int i = 0; i < size; ++i) hash = (hash ^ static_cast<std::uint8_t>(value >> (8 * i))) * 16777619u;
        };
        for (const char c : name) mix(static_cast<unsigned char>(c), 1);
        mix(number, 4);
        mix(bytes, 8);
        mix(static_cast<std::uint32_t>(root), 4);
        mix(type, 1);
        mix(operation, 1);
        return hash;
    }
};

/// A communicator's life: open, until the first failure, abort or close ends it for good.
class GlooState {
public:
    GlooState(std::shared_ptr<GlooContext> connected, std::vector<int> global_ranks, const GlooOptions& settings)
        : ranks(std::move(global_ranks)),
          options(settings),
          context_(std::move(connected)) {
        const auto size_connected = context_ ? static_cast<std::size_t>(context_->size) : 1;
        if (ranks.size() != size_connected || (context_ && !context_->transport().connected())) {
            throw Error(errc::invalid_argument, Stage::communicator,
                        format("a Gloo communicator of {} ranks needs a connected context of as many", {ranks.size()}));
        }
        rank = context_ ? context_->rank : 0;
        sent.resize(ranks.size());
        received.resize(ranks.size());
        set_timeout(options.timeout);
    }

    GlooState(const GlooState&) = delete;
    GlooState& operator=(const GlooState&) = delete;

    [[nodiscard]] int size() const noexcept { return static_cast<int>(ranks.size()); }
    [[nodiscard]] int global_rank() const { return ranks[static_cast<std::size_t>(rank)]; }
    [[nodiscard]] bool is_open() const noexcept { return status_ == Status::open; }
    [[nodiscard]] const std::shared_ptr<GlooContext>& context() const noexcept { return context_; }

    void set_timeout(std::chrono::milliseconds timeout) {
        if (timeout.count() <= 0) {
            throw Error(errc::invalid_argument, Stage::communicator,
                        format("a timeout of {} ms: it must be positive", {timeout.count()}), {.rank = global_rank()});
        }
        options.timeout = std::min(timeout, longest_gloo_wait);
        if (context_) {
            context_->setTimeout(options.timeout);
            context_->transport().setTimeout(options.timeout);
        }
    }

    /// Throws errc::closed unless the communicator can be used.
    void require_open(std::string_view operation) const {
        switch (status_) {
            case Status::open: return;
            case Status::failed: refuse(operation, format("failed before:\n  {}", {failure_}));
            case Status::aborted: refuse(operation, "was aborted");
            case Status::closed: refuse(operation, "was closed");
        }
    }

    /// Runs a collective: `body(tag)`, unless there is nothing to move. Whatever it throws ends the communicator.
    template <class Body>
    void run(const GlooCall& call, Deadline deadline, Body body) {
        const auto tag = call.tag(next_++);
        if (call.bytes > 0 && context_) attempt(call.name, deadline, [&] { body(tag); });
    }

    template <class Body>
    void run(const GlooCall& call, Body body) {
        run(call, Deadline::after(options.timeout), std::move(body));
    }

    /// Runs `body` until `deadline`; what it throws becomes an Error and ends the communicator.
    template <class Body>
    void attempt(std::string_view operation, Deadline deadline, Body body) {
        attempt_erased(operation, deadline, &body, [](void* what) { (*static_cast<Body*>(what))(); });
    }

    void barrier(std::string_view operation, Deadline deadline) {
        run({.name = operation, .bytes = 1}, deadline, [&](std::uint32_t tag) {
            ::gloo::BarrierOptions barrier_options(context_);
            barrier_options.setTag(tag);
            barrier_options.setTimeout(longest_gloo_wait); // the transport knows the deadline
            ::gloo::barrier(barrier_options);
        });
    }

    /// Any thread. Ends everything that runs or will run.
    void abort() noexcept {
        auto expected = Status::open;
        status_.compare_exchange_strong(expected, Status::aborted);
        try {
            const std::lock_guard lock(mutex_);
            if (connecting_ != nullptr) connecting_->interrupt();
            if (context_) context_->transport().interrupt();
        } catch (const std::exception&) {
            // A mutex that cannot be locked; the status stops the next operation.
        }
    }

    /// Waits for all ranks, if the communicator is in order, and closes the connections in any case.
    void close(Deadline deadline) {
        try {
            if (is_open()) barrier("close", deadline);
        } catch (...) {
            release();
            throw;
        }
        release();
    }

    /// Closes the connections without a word to the others.
    void release() noexcept {
        auto expected = Status::open;
        status_.compare_exchange_strong(expected, Status::closed);
        std::shared_ptr<GlooContext> last;
        try {
            const std::lock_guard lock(mutex_);
            last = std::exchange(context_, nullptr);
        } catch (const std::exception&) {
            return; // the connections close with this object
        }
        if (last) last->transport().interrupt();
    }

    /// Lets abort() reach an endpoint that is connecting, or take it back with nullptr.
    void set_connecting(GlooEndpoint* endpoint) {
        const std::lock_guard lock(mutex_);
        connecting_ = endpoint;
        if (endpoint != nullptr && !is_open()) endpoint->interrupt();
    }

    std::vector<int> ranks; // global, index = rank in the group
    int rank = 0;
    GlooOptions options;
    std::vector<std::uint32_t> sent; // messages so far, for each peer
    std::vector<std::uint32_t> received;

private:
    enum class Status { open, failed, aborted, closed };

    /// One copy of this for all operations: it is large, and they are many.
    void attempt_erased(std::string_view operation, Deadline deadline, void* body, void (*call)(void*)) {
        require_open(operation);
        const auto start = Deadline::Clock::now();
        context_->transport().set_deadline(deadline);
        try {
            const SigpipeGuard guard;
            call(body);
        } catch (const GlooFailure& failure) {
            fail(operation, start, failure);
        } catch (const std::exception& error) {
            // An operation that was interrupted may trip over its closed connections in any way.
            if (context_->transport().interrupted()) {
                fail(operation, start, {GlooFailure::Kind::interrupted, {}, false, ""});
            }
            end(errc::backend, operation, "failed", error.what(), {}, "");
        }
        context_->transport().set_deadline(Deadline::never());
    }

    [[noreturn]] void refuse(std::string_view operation, std::string_view why) const {
        throw Error(errc::closed, Stage::communicator,
                    format("{} on a Gloo communicator of {} that {}", {operation, ranks_text(ranks), why}),
                    {.rank = global_rank()});
    }

    [[noreturn]] void fail(std::string_view operation, Deadline::Clock::time_point start, const GlooFailure& failure) {
        std::vector<int> about;
        for (const int peer : failure.peers) {
            if (peer >= 0) about.push_back(ranks[static_cast<std::size_t>(peer)]);
        }
        const auto whom = about.empty() ? std::string("a peer") : ranks_text(about);
        const auto waited =
            std::chrono::duration_cast<std::chrono::milliseconds>(Deadline::Clock::now() - start).count();
        switch (failure.kind) {
            case GlooFailure::Kind::interrupted: end(errc::closed, operation, "was interrupted by abort()", "", {}, "");
            case GlooFailure::Kind::timeout:
                end(errc::timeout, operation,
                    failure.sending ? format("failed: {} did not take this rank's data within {} ms", {whom, waited})
                                    : format("failed: no data from {} within {} ms", {whom, waited}),
                    failure.what(), std::move(about),
                    "\n  all ranks must call the same operations in the same order, with the same sizes and types; or "
                    "the timeout is too short");
            case GlooFailure::Kind::connection: break;
        }
        end(errc::connection, operation, format("failed: lost the connection to {}", {whom}), failure.what(),
            std::move(about), "\n  that rank ended, or its communicator failed, was aborted or closed");
    }

    [[noreturn]] void end(errc code, std::string_view operation, std::string_view what, std::string_view said,
                          std::vector<int> about, std::string_view advice) {
        auto text = format("{} on rank {} of the Gloo communicator of {} {}",
                           {operation, global_rank(), ranks_text(ranks), what});
        if (!said.empty()) text += format("\n  Gloo: {}", {gloo_text(said)});
        text += advice;
        failure_ = text;
        auto expected = Status::open;
        status_.compare_exchange_strong(expected, Status::failed);
        context_->transport().interrupt();
        throw Error(code, Stage::communicator, text, {.rank = global_rank(), .ranks = std::move(about)});
    }

    std::shared_ptr<GlooContext> context_; // null in a group of one, and after the end
    std::uint32_t next_ = 0;               // number of the next collective: the same on all ranks
    std::string failure_;
    std::atomic<Status> status_{Status::open};
    std::mutex mutex_; // guards connecting_, and context_ between its end and abort()
    GlooEndpoint* connecting_ = nullptr;
};

} // namespace detail

} // namespace muster::inline v0_1
