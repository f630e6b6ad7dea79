// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/gloo/alarm.hpp>
#include <muster/gloo/context.hpp>
#include <muster/gloo/device.hpp>
#include <muster/gloo/error.hpp>
#include <muster/gloo/payload.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// One rank's side of a Gloo group that is not connected yet. It listens from the start, so that all addresses of a
/// group are known before any of them is used: exchange payload() among the ranks, by any means, then connect().
class GlooEndpoint {
public:
    /// `rank` of a group of `size`; `ranks` are the group's global ranks for texts, 0 to size - 1 if not given.
    /// Throws: errc::invalid_argument, errc::backend with what Gloo said (for instance: no file descriptor left).
    GlooEndpoint(int rank, int size, const GlooDevice& device, std::vector<int> ranks = {})
        : rank_(rank),
          size_(size),
          ranks_(std::move(ranks)) {
        if (rank < 0 || size < 1 || rank >= size) {
            throw Error(errc::invalid_argument, Stage::communicator,
                        detail::format("there is no rank {} in a Gloo group of {}", {rank, size}));
        }
        if (ranks_.empty()) {
            for (int i = 0; i < size; ++i) ranks_.push_back(i);
        }
        if (ranks_.size() != static_cast<std::size_t>(size)) {
            throw Error(errc::invalid_argument, Stage::communicator,
                        detail::format("{} global ranks were given for a Gloo group of {}", {ranks_.size(), size}));
        }
        detail::GlooPayload payload{.rank = rank, .size = size};
        if (size > 1) {
            try {
                context_ = std::make_shared<detail::GlooContext>(rank, size, device);
                for (int peer = 0; peer < size; ++peer) {
                    if (peer != rank) payload.add(peer, context_->transport().createPair(peer)->address());
                }
            } catch (const Error&) {
                throw;
            } catch (const std::exception& error) {
                throw Error(
                    errc::backend, Stage::communicator,
                    detail::format("rank {} cannot listen for the {} other ranks of its Gloo group on {}\n  Gloo: {}",
                                   {global(rank), size - 1, device.text(), detail::gloo_text(error.what())}),
                    {.rank = global(rank)});
            }
        }
        payload_ = payload.encode();
    }

    GlooEndpoint(const GlooEndpoint&) = delete;
    GlooEndpoint& operator=(const GlooEndpoint&) = delete;

    /// What connect() of every rank of the group needs to have from this rank. About 10 bytes for each rank.
    [[nodiscard]] const std::string& payload() const noexcept { return payload_; }

    /// Connects to all peers; `payloads` holds everybody's payload, index = rank in the group. Once only.
    ///
    /// Collective over the group. Blocks: until all peers are connected, `deadline` or interrupt(). Throws:
    /// errc::protocol for a payload that is not what it must be, errc::timeout, errc::connection, errc::closed when
    /// interrupted. Another rank may have succeeded all the same: commit afterwards. Gives nothing for a group of one.
    [[nodiscard]] std::shared_ptr<detail::GlooContext> connect(std::span<const std::string> payloads,
                                                               Deadline deadline) {
        const auto peers = read(payloads);
        if (size_ == 1) return nullptr;
        if (used_.exchange(true)) fail(errc::closed, "cannot connect an endpoint twice", "", {});

        const auto start = Deadline::Clock::now();
        auto& transport = context_->transport();
        std::string said;
        bool expired = false;
        int peer = 0;
        {
            const detail::Alarm alarm(deadline, [&] {
                expired = true;
                transport.interrupt();
            });
            try {
                for (; peer < size_ && !transport.interrupted(); ++peer) {
                    if (peer == rank_) continue;
                    auto& pair = *transport.getPair(peer);
                    pair.setLocalRank(0); // some of Gloo's algorithms for GPUs read it
                    pair.connect(peers[static_cast<std::size_t>(peer)].address_for(rank_, pair.address()));
                    if (transport.interrupted()) break; // connect() returns then as if it had connected
                }
            } catch (const std::exception& error) {
                said = detail::gloo_text(error.what());
            }
        }
        if (peer == size_ && !transport.interrupted()) {
            transport.set_connected();
            return context_;
        }
        const int whom = global(peer == size_ ? size_ - 1 : peer);
        if (!transport.interrupted()) {
            transport.interrupt();
            fail(errc::connection, detail::format("cannot connect to rank {}", {whom}), said, {whom});
        }
        if (!expired)
            fail(errc::closed, detail::format("was interrupted while it connected to rank {}", {whom}), "", {whom});
        const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(Deadline::Clock::now() - start);
        fail(errc::timeout,
             detail::format("could not connect to rank {} within {} ms; it had connected to {} of {} peers",
                            {whom, waited.count(), peer - (peer > rank_ ? 1 : 0), size_ - 1}),
             "", {whom});
    }

    /// Makes connect() in another thread, or a later one, throw at once. Closes what is connected.
    void interrupt() noexcept {
        if (context_) context_->transport().interrupt();
    }

private:
    [[nodiscard]] int global(int rank) const { return ranks_[static_cast<std::size_t>(rank)]; }

    [[noreturn]] void fail(errc code, std::string_view what, std::string_view said, std::vector<int> about) const {
        auto text =
            detail::format("rank {} of the Gloo group of {} {}", {global(rank_), detail::ranks_text(ranks_), what});
        if (!said.empty()) text += detail::format("\n  Gloo: {}", {said});
        throw Error(code, Stage::communicator, text, {.rank = global(rank_), .ranks = std::move(about)});
    }

    [[nodiscard]] std::vector<detail::GlooPayload> read(std::span<const std::string> payloads) const {
        if (payloads.size() != static_cast<std::size_t>(size_)) {
            fail(errc::invalid_argument, detail::format("got the addresses of {} ranks", {payloads.size()}), "", {});
        }
        std::vector<detail::GlooPayload> peers;
        for (int peer = 0; peer < size_; ++peer) {
            const auto index = static_cast<std::size_t>(peer);
            const auto who = detail::format("rank {}", {global(peer)});
            peers.push_back(detail::GlooPayload::decode(payloads[index], peer, size_, who));
            const auto family = [](const auto& payload) { return payload.address.size() == 4 ? "IPv4" : "IPv6"; };
            if (peers.front().address.size() == peers.back().address.size()) continue;
            fail(errc::disagreement,
                 detail::format("cannot connect: {} uses {}, rank {} {}\n  give all ranks addresses of one family",
                                {who, family(peers.back()), global(0), family(peers.front())}),
                 "", {global(0), global(peer)});
        }
        return peers;
    }

    int rank_;
    int size_;
    std::vector<int> ranks_;
    std::shared_ptr<detail::GlooContext> context_; // null in a group of one
    std::string payload_;
    std::atomic<bool> used_{false};
};

} // namespace muster::inline v0_1
