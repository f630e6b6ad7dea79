// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/log.hpp>
#include <muster/core/text.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/verdict.hpp>
#include <muster/store/any_store.hpp>

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1 {

/// What the roll call gives: every rank is here once and agrees. All keys of a session stand under its id, which no
/// other run of the job has ever used, so that nothing that an earlier run left in the store counts.
struct Session {
    std::string id;
    int rank = 0;
    std::vector<Record> records; ///< index = rank

    [[nodiscard]] int world_size() const noexcept { return static_cast<int>(records.size()); }
    [[nodiscard]] std::string key(std::string_view name) const { return fmt::format("{}/{}", id, name); }
};

namespace detail {

/// How long a rank whose deadline has passed still listens: what rank 0 says at its own deadline makes the text the
/// same on every rank.
inline constexpr std::chrono::milliseconds listening_time{1000};

[[nodiscard]] inline std::string presence_key(std::string_view session, std::string_view nonce) {
    return fmt::format("{}/here/{}", session, nonce);
}

/// What `rank` brought to the roll call for its peers' backends. Does not block: the verdict says that it is there.
[[nodiscard]] inline std::string payload_of(AnyStore& store, const Session& session, int rank, Deadline deadline) {
    const auto& record = session.records[static_cast<std::size_t>(rank)];
    return store.get(presence_key(session.id, record.nonce), deadline).substr(1);
}

/// The payloads of these ranks. Does not block, as payload_of.
[[nodiscard]] inline std::vector<std::string> payloads(AnyStore& store, const Session& session,
                                                       const std::vector<int>& ranks, Deadline deadline) {
    std::vector<std::string> keys;
    keys.reserve(ranks.size());
    for (const int rank : ranks)
        keys.push_back(presence_key(session.id, session.records[static_cast<std::size_t>(rank)].nonce));
    auto values = store.multi_get(keys, deadline);
    for (auto& value : values) value.erase(0, 1);
    return values;
}

/// Everybody's payload, index = rank.
[[nodiscard]] inline std::vector<std::string> payloads(AnyStore& store, const Session& session, Deadline deadline) {
    std::vector<int> ranks(session.records.size());
    std::iota(ranks.begin(), ranks.end(), 0);
    return payloads(store, session, ranks, deadline);
}

inline const std::string success = "+";

/// Raises an outcome that is a failure.
inline void raise_unless_success(const std::string& outcome, int rank) {
    if (outcome != success) Finding::decode(Fields::decode(outcome)).raise(rank);
}

/// Makes `outcome` the session's unless another was first, and raises the one that is if it is a failure.
inline void conclude(AnyStore& store, const Session& session, const std::string& outcome, Deadline deadline,
                     const LogSink& log) {
    // The first to be stored wins, so that all ranks end alike. The key that ranks wait for is written by set, because
    // not every server wakes waiters for a compare_set.
    const std::string winner = store.compare_set(session.key("decision"), "", outcome, deadline);
    if (log && winner == outcome && winner != success) log("muster: " + Finding::decode(Fields::decode(winner)).text);
    store.set(session.key("outcome"), winner, deadline);
    raise_unless_success(winner, session.rank);
}

[[nodiscard]] inline std::string done_key(const Session& session, int rank) {
    return session.key(fmt::format("done/{}", rank));
}

/// What a rank that is late says of it.
[[nodiscard]] inline std::string late_key(const Session& session, int rank) {
    return session.key(fmt::format("late/{}", rank));
}

/// What rank 0 says when the time is up: who has not finished connecting, and what those say who still can. Nothing
/// when all have. `own` is rank 0's own text when it is late itself.
[[nodiscard]] inline std::optional<Finding> find_late(AnyStore& store, const Session& session, std::string_view own,
                                                      Deadline grace, std::chrono::milliseconds timeout) {
    std::vector<int> late;
    std::vector<Record> records;
    std::vector<std::string> reasons;
    for (int rank = 0; rank < session.world_size(); ++rank) {
        const std::vector<std::string> key{done_key(session, rank)};
        if (rank == session.rank ? own.empty() : store.check(key, grace)) continue;
        late.push_back(rank);
        records.push_back(session.records[static_cast<std::size_t>(rank)]);
        if (rank != session.rank) reasons.push_back(late_key(session, rank));
    }
    if (late.empty()) return std::nullopt;
    Finding finding{
        errc::missing_ranks, Stage::commit,
        fmt::format("{} of {} ranks came to the roll call but did not finish connecting within {}: {}\n  do: "
                    "see whether these processes are still alive",
                    late.size(), session.world_size(), duration_text(timeout), process_list(records)),
        late};
    // Their time is up too: what they have to say comes now or never.
    std::map<std::string, std::vector<int>, std::less<>> said;
    if (!own.empty()) said[std::string(own)].push_back(session.rank);
    if (!reasons.empty()) (void)store.wait(reasons, grace.at_most(listening_time / 4));
    for (const int rank : late) {
        const std::vector<std::string> key{late_key(session, rank)};
        if (rank != session.rank && store.check(key, grace)) said[store.get(key[0], grace)].push_back(rank);
    }
    constexpr std::size_t most = 4;
    for (std::size_t shown = 0; const auto& [text, ranks] : said)
        if (shown++ < most) finding.text += fmt::format("\n  {}: {}", ranks_text(ranks), indented(text));
    return finding;
}

} // namespace detail

/// A rank that failed after the roll call tells all the others, which end with its error, quoted. Where its time was up
/// it leaves the word to rank 0, which knows who is late.
/// Throws: the session's outcome: this error, or that of the rank that failed first. `error` itself if the store
/// cannot be reached any more.
[[noreturn]] inline void report_failure(AnyStore& store, const Session& session, const Error& error,
                                        std::chrono::milliseconds timeout, const LogSink& log) {
    const auto& self = session.records[static_cast<std::size_t>(session.rank)];
    detail::Finding finding{errc::remote,
                            error.stage(),
                            fmt::format("rank {} ({}) failed ({}): {}", session.rank, process_name(self),
                                        to_string(error.stage()), detail::indented(error.text())),
                            {session.rank}};
    const Deadline grace = Deadline::after(detail::listening_time);
    try {
        if (error.code() == errc::timeout && session.rank == 0) {
            if (auto late = detail::find_late(store, session, error.text(), grace, timeout)) finding = *late;
        } else if (error.code() == errc::timeout) {
            store.set(detail::late_key(session, session.rank), error.text(), grace);
            const std::vector<std::string> outcome{session.key("outcome")};
            if (store.wait(outcome, grace)) detail::raise_unless_success(store.get(outcome[0], grace), session.rank);
        }
        detail::conclude(store, session, finding.encode(), grace.extended_by(detail::listening_time), log);
    } catch (const Error& outcome) {
        // What was interrupted was so for want of the store.
        if (outcome.shared() || error.code() == errc::closed) throw;
    }
    throw error;
}

/// Every rank knows that every rank succeeded, or who failed and why.
/// Collective: over the world. Blocks: until all ranks have come here or failed, at most to the deadline.
/// Throws: the failure of another rank; Error(errc::missing_ranks) naming the ranks that did neither.
inline void commit(AnyStore& store, const Session& session, Deadline deadline, std::chrono::milliseconds timeout,
                   const LogSink& log) {
    const Deadline grace = deadline.extended_by(detail::listening_time);
    const std::vector<std::string> outcome{session.key("outcome")};
    if (session.rank != 0) {
        store.set(detail::done_key(session, session.rank), detail::success, grace);
        if (store.wait(outcome, grace)) return detail::raise_unless_success(store.get(outcome[0], grace), session.rank);
        const detail::Finding unheard{
            errc::timeout,
            Stage::commit,
            fmt::format("rank 0 ({}) did not say within {} whether all ranks succeeded\n  do: see whether it is still "
                        "alive",
                        process_name(session.records[0]), detail::duration_text(timeout)),
            {0}};
        return detail::conclude(store, session, unheard.encode(), grace.extended_by(detail::listening_time), log);
    }
    std::vector<std::string> done;
    for (int rank = 1; rank < session.world_size(); ++rank) done.push_back(detail::done_key(session, rank));
    using namespace std::chrono_literals;
    while (!done.empty() && !store.wait(done, deadline.at_most(200ms))) {
        if (store.check(outcome, grace)) break;
        if (!deadline.expired()) continue;
        const auto late = detail::find_late(store, session, {}, grace, timeout);
        if (!late) break;
        return detail::conclude(store, session, late->encode(), grace, log);
    }
    detail::conclude(store, session, detail::success, grace, log);
}

} // namespace muster::inline v0_1
