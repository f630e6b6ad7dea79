// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/concept.hpp>
#include <muster/comm/split.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/gloo/endpoint.hpp>
#include <muster/gloo/operations.hpp>
#include <muster/gloo/payload.hpp>
#include <muster/gloo/state.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// Every rank's text, index = rank in the group; texts longer than `most` are cut.
inline std::vector<std::string> gather_texts(GlooState& state, std::string_view text, std::size_t most,
                                             Deadline deadline) {
    text = text.substr(0, most);
    const std::size_t part = sizeof(std::uint32_t) + most;
    std::vector<std::byte> in(part);
    const auto length = static_cast<std::uint32_t>(text.size());
    std::memcpy(in.data(), &length, sizeof length);
    std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), in.begin() + sizeof length);

    std::vector<std::byte> out(part * state.ranks.size());
    gloo_all_gather(state, {.name = "split", .bytes = part}, in, out, deadline);

    std::vector<std::string> texts;
    for (std::size_t at = 0; at < out.size(); at += part) {
        std::uint32_t size = 0;
        std::memcpy(&size, out.data() + at, sizeof size);
        texts.emplace_back(reinterpret_cast<const char*>(out.data() + at + sizeof size),
                           std::min<std::size_t>(size, most));
    }
    return texts;
}

inline std::vector<SplitWish> gather_wishes(GlooState& state, SplitWish wish, Deadline deadline) {
    std::vector<SplitWish> wishes(state.ranks.size());
    gloo_all_gather(state, {.name = "split", .bytes = sizeof wish}, std::as_bytes(std::span(&wish, 1)),
                    std::as_writable_bytes(std::span(wishes)), deadline);
    check_colors(wishes, state.ranks, state.global_rank());
    return wishes;
}

inline std::size_t largest_group(std::span<const SplitWish> wishes) {
    std::size_t most = 0;
    for (const auto& wish : wishes) {
        const auto alike = [&](const SplitWish& other) { return other.color == wish.color; };
        if (wish.color != no_color) {
            most = std::max(most, static_cast<std::size_t>(std::count_if(wishes.begin(), wishes.end(), alike)));
        }
    }
    return most;
}

/// Connects this rank's group, whose payloads are given; empty where a rank could not make its own. The text of what
/// went wrong, empty if nothing did.
inline std::string connect_group(GlooState& state, std::optional<GlooEndpoint>& endpoint,
                                 std::span<const std::string> payloads, Deadline deadline,
                                 std::shared_ptr<GlooContext>& connected) {
    if (std::any_of(payloads.begin(), payloads.end(), [](const auto& payload) { return payload.empty(); })) return "";
    std::string text;
    state.set_connecting(&*endpoint);
    try {
        connected = endpoint->connect(payloads, deadline);
    } catch (const Error& error) {
        text = error.text();
    }
    state.set_connecting(nullptr);
    return text;
}

/// The state of this rank's group, null for no_color. All groups of all colors come from this one call, and either
/// every rank of the parent succeeds or every rank throws.
inline std::unique_ptr<GlooState> gloo_split(GlooState& parent, int color, int key) {
    const auto deadline = Deadline::after(parent.options.timeout);
    const auto wishes = gather_wishes(parent, {color, key}, deadline);
    const auto members = color == no_color ? std::vector<int>{} : members_of(wishes, color);
    auto ranks = global_ranks(members, parent.ranks);

    std::shared_ptr<GlooContext> connected;
    if (const auto largest = largest_group(wishes); largest > 1) {
        std::optional<GlooEndpoint> endpoint;
        std::string payload = "-"; // of ranks that need no connection
        std::string failure;
        if (members.size() > 1) {
            const auto me = std::find(members.begin(), members.end(), parent.rank) - members.begin();
            try {
                endpoint.emplace(static_cast<int>(me), static_cast<int>(members.size()), parent.context()->device(),
                                 ranks);
                payload = endpoint->payload();
            } catch (const Error& error) {
                payload.clear();
                failure = error.text();
            }
        }
        const auto all = gather_texts(parent, payload, GlooPayload::most_bytes(largest), deadline);
        if (endpoint) {
            std::vector<std::string> payloads;
            payloads.reserve(members.size());
            for (const int member : members) payloads.push_back(all[static_cast<std::size_t>(member)]);
            failure = connect_group(parent, endpoint, payloads, deadline, connected);
        }
        // The slowest rank may have used up its time before it answers.
        constexpr std::size_t most_text = 500;
        const auto answers = gather_texts(parent, failure, most_text, Deadline::after(2 * parent.options.timeout));
        for (std::size_t i = 0; i < answers.size(); ++i) {
            if (answers[i].empty()) continue;
            throw Error(errc::remote, Stage::communicator,
                        format("split of the Gloo communicator of {} failed on rank {}:\n  {}",
                               {ranks_text(parent.ranks), parent.ranks[i], answers[i]}),
                        {.rank = parent.global_rank(), .ranks = {parent.ranks[i]}});
        }
    }
    if (members.empty()) return nullptr;
    return std::make_unique<GlooState>(std::move(connected), std::move(ranks), parent.options);
}

} // namespace muster::inline v0_1::detail
