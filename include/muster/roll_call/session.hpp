// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/log.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/keys.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/limits.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1 {

/// What the roll call gives: every rank is here once and agrees. All keys of a session stand under its id, which no
/// other run of the job has ever used, so that nothing that an earlier run left in the store counts.
struct Session {
    std::string id = {};              ///< 128 random bits of rank 0's
    int rank = 0;                     ///< of this process
    int size = 1;                     ///< of the world
    std::string self = {};            ///< this process, as host:pid
    std::string rank_0 = {};          ///< the process of rank 0
    std::string answer = {};          ///< what rank 0 made of all payloads
    std::vector<Record> records = {}; ///< index = rank; elsewhere than on rank 0 empty until fetch_records

    std::chrono::milliseconds timeout{}; ///< length of init's wait, for texts
    LogSink log = {};                    ///< hears of what all ranks throw

    /// Number of ranks.
    [[nodiscard]] int world_size() const noexcept { return size; }
    /// The key of this session that is called so.
    [[nodiscard]] std::string key(std::string_view name) const { return detail::format("{}/{}", {id, name}); }
};

namespace detail {

/// Every rank's payload that is not empty, with its rank: the answer unless the backend makes another.
[[nodiscard]] inline std::string list_payloads(const std::vector<std::string>& payloads) {
    std::string list;
    for (std::size_t rank = 0; rank < payloads.size(); ++rank) {
        if (payloads[rank].empty()) continue;
        Fields::put_text(list, std::to_string(rank));
        Fields::put_text(list, payloads[rank]);
    }
    return list;
}

/// What list_payloads put into the session's answer; index = rank.
/// Throws: Error(errc::protocol).
[[nodiscard]] inline std::vector<std::string> payloads(const Session& session) {
    std::vector<std::string> payloads(static_cast<std::size_t>(session.size));
    for (std::string_view rest = session.answer; !rest.empty();) {
        Fields entry;
        entry.set("rank", Fields::take_text(rest));
        const int rank = entry.number("rank", -1);
        const std::string_view payload = Fields::take_text(rest);
        if (rank < 0 || rank >= session.size)
            throw Error(errc::protocol, Stage::roll_call, format("the roll call's answer names rank {}", {rank}));
        payloads[static_cast<std::size_t>(rank)] = payload;
    }
    return payloads;
}

/// In pieces that a store takes; most worlds need one.
[[nodiscard]] inline std::vector<std::string> encode_records(const std::vector<Record>& records) {
    std::vector<std::string> pieces(1);
    for (const Record& record : records) {
        std::string entry;
        Fields::put_text(entry, to_fields(record).encode());
        if (!pieces.back().empty() && pieces.back().size() + entry.size() > max_value_bytes) pieces.emplace_back();
        pieces.back() += entry;
    }
    return pieces;
}

/// Adds the records of a piece.
inline void decode_records(std::string_view piece, std::vector<Record>& records) {
    while (!piece.empty()) records.push_back(to_record(Fields::take_text(piece)));
}

/// Everybody's record, index = rank. Most ranks never ask, and in a large world the records are the bulk of the roll
/// call.
/// Blocks: for the answer of the store, at most to the deadline.
[[nodiscard]] inline std::vector<Record> fetch_records(AnyStore& store, const Session& session, Deadline deadline) {
    if (!session.records.empty()) return session.records;
    const auto size = static_cast<std::size_t>(session.size);
    std::vector<Record> records;
    // The pieces were set together, the verdict after them.
    for (std::size_t piece = 0; records.size() < size; ++piece)
        decode_records(store.get(records_key(session.id, piece), deadline), records);
    if (records.size() != size)
        throw Error(errc::protocol, Stage::roll_call,
                    format("the store has {} records of a world of {}", {records.size(), session.size}));
    return records;
}

} // namespace detail
} // namespace muster::inline v0_1
