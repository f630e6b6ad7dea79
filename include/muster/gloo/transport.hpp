// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/gloo/error.hpp>

#include <gloo/common/error.h>
#include <gloo/transport/context.h>
#include <gloo/transport/pair.h>
#include <gloo/transport/unbound_buffer.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// Longest wait handed to Gloo, which adds it to a clock.
inline constexpr std::chrono::milliseconds longest_gloo_wait = std::chrono::hours(24);

/// Whether the device makes the connections (Gloo of 2025 and later) or each pair listens by itself (2022).
template <class Pair>
inline constexpr bool connects_by_device = requires(Pair& pair) {
    pair.isConnected();
};

/// A Gloo transport whose waits end at a deadline, end when another thread interrupts them, and say which rank they
/// waited for. Gloo's algorithms run on it unchanged: it hands out buffers that pass everything on.
class GlooTransport final : public ::gloo::transport::Context, public std::enable_shared_from_this<GlooTransport> {
public:
    using Buffer = ::gloo::transport::UnboundBuffer;

    explicit GlooTransport(std::shared_ptr<::gloo::transport::Context> inner)
        : ::gloo::transport::Context(inner->rank, inner->size),
          inner_(std::move(inner)) {}

    std::unique_ptr<::gloo::transport::Pair>& getPair(int peer) override { return inner_->getPair(peer); }
    std::unique_ptr<::gloo::transport::Pair>& createPair(int peer) override { return inner_->createPair(peer); }
    std::unique_ptr<Buffer> createUnboundBuffer(void* data, std::size_t size) override;

    [[nodiscard]] const std::shared_ptr<::gloo::transport::Context>& inner() const noexcept { return inner_; }

    /// When the waits of the operation in progress end; Deadline::never() between operations.
    void set_deadline(Deadline deadline) noexcept { deadline_ = deadline; }

    /// Ends the waits of other threads, and every later one at once. Closes the connections: peers see that.
    void interrupt() noexcept {
        try {
            const std::lock_guard lock(mutex_);
            interrupted_ = true;
            for (const auto& one : waiting_) end(one);
        } catch (const std::exception&) {
            interrupted_ = true; // no lock: the waits end with the connections below, or at their deadline
        }
        close_pairs();
    }

    [[nodiscard]] bool interrupted() const noexcept { return interrupted_; }

    /// All pairs are connected: from here on none of them is waiting for the device.
    void set_connected() noexcept { connected_ = true; }
    [[nodiscard]] bool connected() const noexcept { return connected_; }

    /// Ends the waits in progress on parts of `owner`.
    void end_waits(const Buffer& owner) {
        const std::lock_guard lock(mutex_);
        for (const auto& one : waiting_) {
            if (one.owner == &owner) end(one);
        }
    }

    /// Waits until `buffer`, a part of `owner`, has sent or received. False when interrupted.
    bool wait(const Buffer& owner, Buffer& buffer, bool sending, std::chrono::milliseconds timeout) {
        {
            const std::lock_guard lock(mutex_);
            if (interrupted_) return false;
            waiting_.push_back({&owner, &buffer});
        }
        struct Leave {
            ~Leave() {
                const std::lock_guard lock(transport.mutex_);
                std::erase_if(transport.waiting_, [this](const Waiting& one) { return one.part == &buffer; });
            }
            GlooTransport& transport;
            Buffer& buffer;
        } leave{*this, buffer};
        if (timeout == ::gloo::transport::kUnsetTimeout) timeout = getTimeout();
        timeout = std::min({timeout, deadline_.load().remaining(), longest_gloo_wait});
        return sending ? buffer.waitSend(nullptr, timeout) : buffer.waitRecv(nullptr, timeout);
    }

private:
    struct Waiting {
        const Buffer* owner;
        Buffer* part;
    };

    static void end(const Waiting& one) {
        one.part->abortWaitRecv();
        one.part->abortWaitSend();
    }

    void close_pairs() noexcept {
        try {
            if (connects_by_device<::gloo::transport::Pair> && !connected_) {
                // A pair that fails twice ends the process there; a closed one may fail once more.
                for (int peer = 0; peer < size; ++peer) {
                    if (auto& pair = getPair(peer)) pair->close();
                }
                return;
            }
            // A wait that expires fails every pair and closes it in order, after what it still has to send. Closing
            // the pairs one by one resets their connections instead: that loses data on its way, and a peer of 2022
            // that accepts a connection already reset ends its process.
            inner_->createUnboundBuffer(nullptr, 0)->waitRecv(nullptr, std::chrono::milliseconds(0));
        } catch (const std::exception&) {
            // The wait expired, as it must.
        }
    }

    std::shared_ptr<::gloo::transport::Context> inner_;
    std::atomic<Deadline> deadline_{Deadline::never()};
    std::atomic<bool> interrupted_{false};
    std::atomic<bool> connected_{false};
    std::mutex mutex_; // guards waiting_
    std::vector<Waiting> waiting_;
};

/// A buffer of a GlooTransport. Every message gets a buffer of the inner transport of its own, so that a wait knows
/// whose message it waits for. One thread uses it at a time.
class GlooBuffer final : public ::gloo::transport::UnboundBuffer {
public:
    GlooBuffer(std::shared_ptr<GlooTransport> transport, void* data, std::size_t bytes)
        : ::gloo::transport::UnboundBuffer(data, bytes),
          transport_(std::move(transport)) {}

    void send(int peer, std::uint64_t slot, std::size_t offset, std::size_t bytes) override {
        post(sends_, peer, true, offset, bytes, [&](auto& part, std::size_t n) { part.send(peer, slot, 0, n); });
    }

    void recv(int peer, std::uint64_t slot, std::size_t offset, std::size_t bytes) override {
        post(recvs_, peer, false, offset, bytes, [&](auto& part, std::size_t n) { part.recv(peer, slot, 0, n); });
    }

    void recv(std::vector<int> peers, std::uint64_t slot, std::size_t offset, std::size_t bytes) override {
        post(recvs_, -1, false, offset, bytes, [&](auto& part, std::size_t n) { part.recv(peers, slot, 0, n); });
    }

    bool waitRecv(int* peer, std::chrono::milliseconds timeout) override { return wait(recvs_, false, peer, timeout); }
    bool waitSend(int* peer, std::chrono::milliseconds timeout) override { return wait(sends_, true, peer, timeout); }

    void abortWaitRecv() override { transport_->end_waits(*this); }
    void abortWaitSend() override { transport_->end_waits(*this); }

private:
    struct Part {
        std::unique_ptr<::gloo::transport::UnboundBuffer> buffer;
        int peer;
    };

    template <class Start>
    void post(std::deque<Part>& parts, int peer, bool sending, std::size_t offset, std::size_t bytes, Start start) {
        if (transport_->interrupted()) throw GlooFailure(GlooFailure::Kind::interrupted, {peer}, sending, "");
        const std::size_t n = bytes == kUnspecifiedByteCount ? size - offset : bytes;
        void* const data = ptr == nullptr ? nullptr : static_cast<std::byte*>(ptr) + offset;
        parts.push_back({transport_->inner()->createUnboundBuffer(data, n), peer});
        try {
            start(*parts.back().buffer, n);
        } catch (const ::gloo::IoException& error) {
            fail({peer}, sending, error.what());
        }
    }

    bool wait(std::deque<Part>& parts, bool sending, int* peer, std::chrono::milliseconds timeout) {
        if (parts.empty()) throw GlooFailure(GlooFailure::Kind::timeout, {}, sending, "nothing was posted to wait for");
        const int whom = parts.front().peer;
        try {
            if (!transport_->wait(*this, *parts.front().buffer, sending, timeout)) {
                if (!transport_->interrupted()) return false;
                fail({whom}, sending, "");
            }
        } catch (const ::gloo::IoException& error) {
            fail(says_timeout(error.what()) ? unfinished(parts, sending) : std::vector{whom}, sending, error.what());
        }
        done_.push_back(std::move(parts.front())); // to end it now would be to wait for Gloo's thread to let go of it
        parts.pop_front();
        if (peer != nullptr) *peer = whom;
        return true;
    }

    [[noreturn]] void fail(std::vector<int> peers, bool sending, const char* said) const {
        const auto kind = transport_->interrupted() ? GlooFailure::Kind::interrupted
                          : says_timeout(said)      ? GlooFailure::Kind::timeout
                                                    : GlooFailure::Kind::connection;
        std::sort(peers.begin(), peers.end());
        peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
        throw GlooFailure(kind, std::move(peers), sending, gloo_text(said));
    }

    /// The peers of all messages that are not through. Asking ends those that are not, which a wait that expired has
    /// done already.
    static std::vector<int> unfinished(std::deque<Part>& parts, bool sending) {
        constexpr std::chrono::milliseconds now(0);
        std::vector<int> peers;
        for (auto& part : parts) {
            try {
                if (sending ? part.buffer->waitSend(nullptr, now) : part.buffer->waitRecv(nullptr, now)) continue;
            } catch (const ::gloo::IoException&) {
                // Not through.
            }
            peers.push_back(part.peer);
        }
        return peers;
    }

    std::shared_ptr<GlooTransport> transport_;
    std::deque<Part> sends_;
    std::deque<Part> recvs_;
    std::vector<Part> done_;
};

inline std::unique_ptr<::gloo::transport::UnboundBuffer> GlooTransport::createUnboundBuffer(void* data,
                                                                                            std::size_t size_in_bytes) {
    return std::make_unique<GlooBuffer>(shared_from_this(), data, size_in_bytes);
}

} // namespace muster::inline v0_1::detail
