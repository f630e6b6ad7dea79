// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/format.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/keys.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/roll_call/verdict.hpp>
#include <muster/store/any_store.hpp>

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

namespace muster::inline v0_1::detail {

inline const std::string success = "+";

[[nodiscard]] inline std::string outcome_key(const Session& session) { return session.key("outcome"); }

[[nodiscard]] inline bool has(AnyStore& store, const std::string& key, Deadline deadline) {
    return store.check(std::span(&key, 1), deadline);
}

/// Raises an outcome that is a failure.
inline void raise_unless_success(const std::string& outcome, int rank) {
    if (outcome != success) Finding::decode(Fields::decode(outcome)).raise(rank);
}

/// Makes `outcome` the session's unless another was first, and raises the one that is if it is a failure.
inline void conclude(AnyStore& store, const Session& session, const std::string& outcome, Deadline deadline) {
    // The first to be stored wins, so that all ranks end alike. The key that ranks wait for is written by set, because
    // not every server wakes waiters for a compare_set.
    const std::string winner = store.compare_set(session.key("decision"), "", outcome, deadline);
    if (session.log && winner == outcome && winner != success)
        session.log("muster: " + Finding::decode(Fields::decode(winner)).text);
    store.set(outcome_key(session), winner, deadline);
    raise_unless_success(winner, session.rank);
}

[[nodiscard]] inline std::string place_key(const Session& session, int rank) {
    return session.key(format("at/{}", {rank}));
}

/// Leaves word of how far this rank has come, for the texts of those who wait for it.
inline void tell_place(AnyStore& store, const Session& session, const std::string& place, Deadline deadline) {
    store.set(place_key(session, session.rank), place, deadline);
}

[[nodiscard]] inline std::string last_place(AnyStore& store, const Session& session, int rank, Deadline deadline) {
    const std::string key = place_key(session, rank);
    return has(store, key, deadline) ? store.get(key, deadline) : std::string("after the roll call");
}

/// A list that ranks append to; empty where there is none.
[[nodiscard]] inline std::string read_list(AnyStore& store, std::string_view key, Deadline deadline) {
    return has(store, std::string(key), deadline) ? store.get(key, deadline) : std::string();
}

/// How often each nonce stands in the list.
[[nodiscard]] inline std::unordered_map<std::string, std::size_t> count_nonces(std::string_view list) {
    std::unordered_map<std::string, std::size_t> nonces;
    for (; list.size() >= nonce_digits; list.remove_prefix(nonce_digits))
        ++nonces[std::string(list.substr(0, nonce_digits))];
    return nonces;
}

/// The processes of the world that have no connection any more, as the store's server saw it: as many ended as they
/// said hello over. One question where none has ended.
[[nodiscard]] inline RecordRefs find_gone(AnyStore& store, const Session& session, Deadline deadline) {
    const auto ended = count_nonces(read_list(store, gone_key, deadline));
    if (ended.empty()) return {};
    std::unordered_map<std::string, std::size_t> hellos;
    for (int part = 0; part < roll_parts(session.size); ++part) {
        const std::string roll = read_list(store, roll_key(part), deadline);
        for (std::string_view rest = roll; !rest.empty();) {
            ++hellos[to_record(Fields::take_text(rest)).nonce];
            (void)Fields::take_text(rest); // the payload
        }
    }
    RecordRefs gone;
    for (const Record& record : session.records)
        if (const auto found = ended.find(record.nonce); found != ended.end() && found->second >= hellos[record.nonce])
            gone.push_back(&record);
    return gone;
}

/// Throws the session's outcome where it is a failure. Rank 0 makes it one where a process has ended.
/// Pre: this rank has not committed; before that nothing but a failure sets the outcome.
inline void raise_failures(AnyStore& store, const Session& session, Deadline deadline) {
    const std::string outcome = outcome_key(session);
    if (has(store, outcome, deadline)) raise_unless_success(store.get(outcome, deadline), session.rank);
    if (session.rank != 0 || find_gone(store, session, deadline).empty()) return;
    // One that failed in order said so before it ended; one that connects anew says hello again.
    if (store.wait(std::span(&outcome, 1), Deadline::after(listening_time / 2)))
        raise_unless_success(store.get(outcome, deadline), session.rank);
    const RecordRefs gone = find_gone(store, session, deadline);
    if (gone.empty()) return;
    Finding finding = ended_ranks(session.size, gone, Stage::communicator, "while the ranks connected");
    for (const Record* record : gone)
        finding.text +=
            format("\n  last seen {}: rank {}", {last_place(store, session, record->rank, deadline), record->rank});
    conclude(store, session, finding.encode(), deadline);
}

} // namespace muster::inline v0_1::detail
