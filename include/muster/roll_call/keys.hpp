// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/store/limits.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace muster::inline v0_1::detail {

/// How long a rank whose deadline has passed still listens: what rank 0 says at its own deadline makes the text the
/// same on every rank.
inline constexpr std::chrono::milliseconds listening_time{1000};

/// How long rank 0 waits for more to show up once something is wrong, so that the one error tells all of it.
inline constexpr std::chrono::milliseconds settling_time{500};

// The keys that stand outside any session. Only texts that name a nonce drawn by the reader are believed.
inline constexpr std::string_view formed_key = "formed";   ///< what the last rank 0 here did, for error texts
inline constexpr std::string_view gave_up_key = "gave_up"; ///< nonces of those whose time was up
inline constexpr std::string_view gone_key = "gone";       ///< nonces of those whose connection has ended

/// How many ranks share a part of the roll, a list of records that each of them appends to. A value of a store is
/// bounded, and on a store that is not fresh a rank says hello again and again.
inline constexpr int roll_part_ranks = 1024;

[[nodiscard]] inline std::string roll_key(int part) { return part == 0 ? "roll" : format("roll/{}", {part}); }
[[nodiscard]] inline int roll_part(int rank) { return rank > 0 ? rank / roll_part_ranks : 0; }
[[nodiscard]] inline int roll_parts(int world_size) { return roll_part(world_size - 1) + 1; }

/// Set after the record was appended to the roll, so that rank 0 can wait for it.
[[nodiscard]] inline std::string hello_key(int rank) { return format("hello/{}", {rank}); }
[[nodiscard]] inline std::string answer_key(std::string_view nonce) { return format("answer/{}", {nonce}); }

[[nodiscard]] inline std::string will_key(std::string_view key) { return format("{}{}", {will_mark, key}); }

[[nodiscard]] inline std::string verdict_key(std::string_view session) { return format("{}/verdict", {session}); }

/// The records of the world, in the order of the ranks; of a large one in pieces.
[[nodiscard]] inline std::string records_key(std::string_view session, std::size_t piece = 0) {
    return piece == 0 ? format("{}/records", {session}) : format("{}/records/{}", {session, piece});
}

/// Confirmations, where the roll may hold what an earlier run left: a list of nonces, and a key for each.
[[nodiscard]] inline std::string present_key(std::string_view session) { return format("{}/present", {session}); }
[[nodiscard]] inline std::string presence_key(std::string_view session, std::string_view nonce) {
    return format("{}/here/{}", {session, nonce});
}

} // namespace muster::inline v0_1::detail
