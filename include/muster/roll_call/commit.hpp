// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/keys.hpp>
#include <muster/roll_call/outcome.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/roll_call/verdict.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/exchange.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

namespace detail {

[[nodiscard]] inline std::string done_key(const Session& session, int rank) {
    return session.key(format("done/{}", {rank}));
}

/// What a rank that is late says of it.
[[nodiscard]] inline std::string late_key(const Session& session, int rank) {
    return session.key(format("late/{}", {rank}));
}

/// Adds those ranks of `ranks`, ascending, that have not set done_key. A rank is either done or late: where all are one
/// of the two, two questions tell; where they differ, the halves do.
// NOLINTNEXTLINE(misc-no-recursion): as deep as the halves
inline void add_late(AnyStore& store, const Session& session, std::span<const int> ranks, std::vector<int>& late,
                     Deadline grace) {
    if (ranks.empty()) return;
    const auto all = [&](std::string (*key)(const Session&, int)) {
        std::vector<std::string> keys;
        for (const int rank : ranks) keys.push_back(key(session, rank));
        return store.check(keys, grace);
    };
    if (all(done_key)) return;
    if (ranks.size() == 1 || all(late_key)) {
        late.insert(late.end(), ranks.begin(), ranks.end());
        return;
    }
    add_late(store, session, ranks.first(ranks.size() / 2), late, grace);
    add_late(store, session, ranks.subspan(ranks.size() / 2), late, grace);
}

/// Adds the ranks of `ranks`, with the values, that have set their key: one question and one answer where all have.
// NOLINTNEXTLINE(misc-no-recursion): as deep as the halves
inline void add_values(AnyStore& store, const Session& session, std::span<const int> ranks,
                       std::string (*key)(const Session&, int), std::map<int, std::string>& values, Deadline grace) {
    if (ranks.empty()) return;
    std::vector<std::string> keys;
    for (const int rank : ranks) keys.push_back(key(session, rank));
    if (store.check(keys, grace)) {
        std::vector<std::string> found = store.multi_get(keys, grace);
        for (std::size_t i = 0; i < ranks.size(); ++i) values[ranks[i]] = std::move(found[i]);
    } else if (ranks.size() > 1) {
        add_values(store, session, ranks.first(ranks.size() / 2), key, values, grace);
        add_values(store, session, ranks.subspan(ranks.size() / 2), key, values, grace);
    }
}

/// What rank 0 says when the time is up: who has not finished connecting, where each was last seen, and what those say
/// who still can. Nothing when all have. `own` is rank 0's own text when it is late itself.
[[nodiscard]] inline std::optional<Finding> find_late(AnyStore& store, const Session& session, std::string_view own,
                                                      Deadline grace) {
    std::vector<int> others;
    std::vector<std::string> done;
    std::vector<std::string> reasons;
    for (int rank = 0; rank < session.size; ++rank) {
        if (rank == session.rank) continue;
        others.push_back(rank);
        done.push_back(done_key(session, rank));
        reasons.push_back(late_key(session, rank));
    }
    if (done.empty() || store.check(done, grace)) {
        if (own.empty()) return std::nullopt;
    } else {
        // The time of those who are late is up too: what they have to say comes now or never.
        (void)store.wait(reasons, grace.at_most(listening_time / 4));
    }
    std::vector<int> ranks;
    if (!own.empty()) ranks.push_back(session.rank);
    add_late(store, session, others, ranks, grace);
    RecordRefs late;
    for (const int rank : ranks) late.push_back(&session.records[static_cast<std::size_t>(rank)]);
    if (late.empty()) return std::nullopt;
    Finding finding{errc::missing_ranks, Stage::commit,
                    format("{} of {} ranks came to the roll call but did not finish connecting within {}: {}\n  do: "
                           "see whether these processes are still alive",
                           {late.size(), session.size, duration_text(session.timeout), process_list(late)}),
                    ranks_of(late)};
    // A word on where some were is enough, and the time is short.
    constexpr std::size_t most_places = 64;
    const auto placed = std::span<const int>(ranks).first(std::min(ranks.size(), most_places));
    std::map<int, std::string> at;
    add_values(store, session, placed, place_key, at, grace);
    std::map<std::string, std::vector<int>> places;
    for (const int rank : placed) places[at.contains(rank) ? at[rank] : "after the roll call"].push_back(rank);
    for (const auto& [place, there] : places)
        finding.text += format("\n  last seen {}: {}", {place, ranks_text(there)});
    std::map<int, std::string> texts;
    add_values(store, session, std::span<const int>(ranks).subspan(own.empty() ? 0 : 1), late_key, texts, grace);
    std::map<std::string, std::vector<int>, std::less<>> said;
    if (!own.empty()) said[std::string(own)].push_back(session.rank);
    for (const auto& [rank, text] : texts) said[text].push_back(rank);
    constexpr std::size_t most = 4;
    for (std::size_t shown = 0; const auto& [text, speakers] : said)
        if (shown++ < most) finding.text += format("\n  {}: {}", {ranks_text(speakers), indented(text)});
    return finding;
}

} // namespace detail

/// A rank that failed after the roll call tells all the others, which end with its error, quoted. Where its time was up
/// it leaves the word to rank 0, which knows who is late.
/// Throws: the session's outcome: this error, or that of the rank that failed first. `error` itself if the store
/// cannot be reached any more.
[[noreturn]] inline void report_failure(AnyStore& store, const Session& session, const Error& error) {
    detail::Finding finding{
        errc::remote,
        error.stage(),
        detail::format("rank {} ({}) failed ({}): {}",
                       {session.rank, session.self, to_string(error.stage()), detail::indented(error.text())}),
        {session.rank}};
    const Deadline grace = Deadline::after(detail::listening_time);
    const std::vector<std::string> outcome_key{detail::outcome_key(session)};
    try {
        if (error.code() == errc::connection) {
            // A peer is lost. Rank 0 may know which process ended, and has the word first.
            (void)store.wait(outcome_key, session.rank == 0 ? grace.at_most(detail::listening_time / 4) : grace);
            detail::raise_failures(store, session, grace.extended_by(detail::listening_time));
        }
        if (error.code() == errc::timeout && session.rank == 0) {
            if (auto late = detail::find_late(store, session, error.text(), grace)) finding = *late;
        } else if (error.code() == errc::timeout) {
            detail::Notes late;
            late.set(detail::late_key(session, session.rank), std::string(error.text()));
            if (const auto outcome = detail::exchange(store, late, outcome_key[0], grace))
                detail::raise_unless_success(*outcome, session.rank);
        }
        detail::conclude(store, session, finding.encode(), grace.extended_by(2 * detail::listening_time));
    } catch (const Error& outcome) {
        if (outcome.shared()) throw;
        // What was interrupted was so for want of the store.
        if (error.code() == errc::closed)
            throw Error(errc::connection, Stage::communicator,
                        detail::format("lost the store before all ranks had connected\n  seen: {}\n  do: see why the "
                                       "process that serves it (rank 0 ({}), or the launcher) ended",
                                       {detail::indented(outcome.text()), session.rank_0}),
                        {session.rank, {}, false});
    }
    throw error;
}

/// Every rank knows that every rank succeeded, or who failed and why.
/// Collective: over the world. Blocks: until all ranks have come here or failed, at most to the deadline.
/// Throws: the failure of another rank; Error(errc::missing_ranks) naming the ranks that did neither, or ended.
inline void commit(AnyStore& store, const Session& session, Deadline deadline) {
    const Deadline grace = deadline.extended_by(detail::listening_time);
    if (session.rank != 0) {
        detail::Notes done;
        done.set(detail::done_key(session, session.rank), detail::success);
        if (const auto outcome = detail::exchange(store, done, detail::outcome_key(session), grace))
            return detail::raise_unless_success(*outcome, session.rank);
        const detail::Finding unheard{
            errc::timeout,
            Stage::commit,
            detail::format(
                "rank 0 ({}) did not say within {} whether all ranks succeeded\n  do: see whether it is still "
                "alive",
                {session.rank_0, detail::duration_text(session.timeout)}),
            {0}};
        return detail::conclude(store, session, unheard.encode(), grace.extended_by(detail::listening_time));
    }
    std::vector<std::string> done;
    for (int rank = 1; rank < session.size; ++rank) done.push_back(detail::done_key(session, rank));
    using namespace std::chrono_literals;
    while (!done.empty() && !store.wait(done, deadline.at_most(200ms))) {
        detail::raise_failures(store, session, grace);
        if (!deadline.expired()) continue;
        const auto late = detail::find_late(store, session, {}, grace);
        if (!late) break;
        return detail::conclude(store, session, late->encode(), grace);
    }
    detail::conclude(store, session, detail::success, grace);
}

} // namespace muster::inline v0_1
