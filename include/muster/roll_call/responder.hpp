// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/roll_call/answer.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/keys.hpp>
#include <muster/roll_call/options.hpp>
#include <muster/roll_call/outcome.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/exchange.hpp>
#include <muster/store/unreachable.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace muster::inline v0_1::detail {

/// Not an error: the store belongs to a world of this very process that is ending. The next one's is about to come at
/// the same address.
struct StoreOfOldWorld {};

/// Whether to say hello again: rank 0 of an earlier attempt may have cleared the roll after the last time. Each hello
/// stays in the rank's part of the roll, a bounded value, so that they become ever fewer: some 70 in a day.
[[nodiscard]] constexpr bool hello_is_due(Deadline::Clock::duration first_to_last,
                                          Deadline::Clock::duration since_last) noexcept {
    return since_last >= first_to_last / 8;
}

/// The part of every rank but 0.
class RollResponder {
public:
    RollResponder(AnyStore& store, const Record& self, std::string_view payload, const RollCallOptions& options)
        : store_(store),
          self_(self),
          payload_(payload),
          options_(options),
          grace_(options.deadline.extended_by(listening_time)) {}

    /// Throws: StoreOfOldWorld besides errors.
    [[nodiscard]] Session answer() {
        const Fields answered = Fields::decode(say_hello());
        const std::string id = answered.get("session");
        if (answered.has("verdict")) return of_own_size(read_verdict(answered.get("verdict"), id, self_, options_));
        const std::string verdict = answered.has("confirm") ? confirm(id) : store_.get(verdict_key(id), late());
        Session session = read_verdict(verdict, id, self_, options_);
        // Another process of this rank may have been quicker to confirm.
        if (answered.has("confirm") && !is_member(verdict, self_)) one_too_many(session);
        return of_own_size(std::move(session));
    }

private:
    [[nodiscard]] Deadline late() const noexcept { return grace_.extended_by(listening_time); }

    /// A session's size is not trusted where memory is taken for it.
    [[nodiscard]] Session of_own_size(Session session) const {
        if (session.size == self_.world_size) return session;
        throw Error(errc::protocol, Stage::roll_call,
                    format("rank 0 took rank {} of a world of {} into a world of {}\n  do: look for another program "
                           "that uses the same store and keys",
                           {self_.rank, self_.world_size, session.size}));
    }

    /// Until rank 0 answers this process's nonce.
    [[nodiscard]] std::string say_hello() {
        using namespace std::chrono_literals;
        const Notes hello = hello_notes(self_, payload_, options_.fresh);
        const std::string key = answer_key(self_.nonce);
        const auto first = Deadline::Clock::now();
        auto last = first;
        bool tell = true;
        bool gave_up = false;
        for (auto pause = 250ms;; pause = std::min<std::chrono::milliseconds>(4 * pause, 5s)) {
            if (!gave_up && options_.deadline.expired()) {
                // Rank 0 may be more patient, but the world cannot form any more.
                store_.append(gave_up_key, self_.nonce, late());
                gave_up = true;
            }
            const Deadline until = (gave_up ? grace_ : options_.deadline).at_most(pause);
            if (auto answer = tell_and_wait(tell ? hello : Notes(), key, until)) return *std::move(answer);
            if (grace_.expired()) nobody_called();
            look_at_last_world();
            const auto now = Deadline::Clock::now();
            tell = !options_.fresh && hello_is_due(last - first, now - last);
            if (tell) last = now;
        }
    }

    [[nodiscard]] std::optional<std::string> tell_and_wait(Notes notes, const std::string& key, Deadline until) {
        notes.told_by = options_.deadline;
        try {
            return exchange(store_, notes, key, until);
        } catch (const Error& error) {
            // What was taken for rank 0's store turned out to be none, and none came.
            if (error.stage() != Stage::rendezvous) throw;
            raise_unreachable(error, self_.rank);
        }
    }

    /// Where the roll may be full of the dead, only those who answer rank 0 count.
    [[nodiscard]] std::string confirm(const std::string& session) {
        Notes here;
        here.append(present_key(session), self_.nonce);
        here.set(presence_key(session, self_.nonce), success);
        const std::string key = verdict_key(session);
        if (auto verdict = exchange(store_, here, key, options_.deadline)) return *std::move(verdict);
        Notes gave_up;
        gave_up.append(std::string(gave_up_key), self_.nonce);
        if (auto verdict = exchange(store_, gave_up, key, grace_)) return *std::move(verdict);
        throw Error(errc::timeout, Stage::roll_call,
                    format("rank 0 called the roll, but gave no verdict within {}\n  do: see whether the process "
                           "of rank 0 is still alive",
                           {duration_text(options_.timeout)}),
                    {self_.rank, {0}, false});
    }

    /// A world that has formed without this process and still stands leaves nothing to wait for. A store that a
    /// launcher serves may hold a world that is gone; one that rank 0 serves ends with rank 0.
    void look_at_last_world() {
        const Fields formed = read_formed(store_, late());
        if (!formed.has("stands")) return;
        const std::string id = formed.get("session");
        Session session = read_verdict(store_.get(verdict_key(id), late()), id, self_, options_);
        session.records = fetch_records(store_, session, late());
        if (std::ranges::find(session.records, self_) != session.records.end()) return; // the answer is on its way
        const auto same_process = [&](const Record& record) {
            return record.pid == self_.pid && same_node(record, self_);
        };
        if (std::ranges::any_of(session.records, same_process)) throw StoreOfOldWorld();
        one_too_many(session);
    }

    /// The end of a process that finds a world in which its rank is another process, or nobody.
    [[noreturn]] void one_too_many(Session& session) {
        session.records = fetch_records(store_, session, late());
        const auto& records = session.records;
        const std::string owner =
            self_.rank < session.size
                ? format("rank {} there is {}",
                         {self_.rank, process_name(records[static_cast<std::size_t>(self_.rank)])})
                : format("there is no rank {}", {self_.rank});
        throw Error(errc::duplicate_rank, Stage::roll_call,
                    format("rank {} ({}) is one process too many: rank 0 ({}) formed a world of {} ranks without "
                           "it; {}\n  do: give every process a RANK of its own, and every job an address of its "
                           "own",
                           {self_.rank, process_name(self_), session.rank_0, session.size, owner}),
                    {self_.rank, {self_.rank}, false});
    }

    [[noreturn]] void nobody_called() {
        const std::string seen = read_formed(store_, late()).get("text");
        throw Error(errc::missing_ranks, Stage::roll_call,
                    format("1 of {} ranks did not arrive within {}: 0\n  the store is there, but rank 0 does not "
                           "call the roll\n  seen of rank 0 there: {}\n  do: see whether the process of rank 0 "
                           "was started, is still alive and uses this address; see whether this process is one "
                           "too many",
                           {self_.world_size, duration_text(options_.timeout), seen.empty() ? "nothing" : seen}),
                    {self_.rank, {0}, false});
    }

    AnyStore& store_;
    const Record& self_;
    std::string_view payload_;
    const RollCallOptions& options_;
    Deadline grace_;
};

} // namespace muster::inline v0_1::detail
