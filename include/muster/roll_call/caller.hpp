// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/roll_call/answer.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/keys.hpp>
#include <muster/roll_call/options.hpp>
#include <muster/roll_call/outcome.hpp>
#include <muster/roll_call/progress.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/roll.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/roll_call/verdict.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/exchange.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// Rank 0's part of the roll call. Its nonce is the session's id.
///
/// The roll lists everyone who said hello, in the order of their hellos. On a fresh store everyone in it was alive when
/// it came, and when all have come rank 0 answers with the verdict. Elsewhere some may be left over from an earlier
/// run: rank 0 answers each nonce once; only a live process reads the answer and confirms under the session's id, and
/// the roll is read again until the live ranks have shown up.
class RollCaller {
public:
    RollCaller(AnyStore& store, const Record& self, std::string_view payload, const RollCallOptions& options)
        : store_(store),
          self_(self),
          payload_(payload),
          options_(options),
          deadline_(options.deadline),
          grace_(deadline_.extended_by(listening_time)),
          roll_(self, options.fresh) {}

    [[nodiscard]] Session call() {
        try {
            return meet();
        } catch (const Error& error) {
            if (!error.shared()) tell(error);
            throw;
        }
    }

private:
    /// The others wait for a verdict: rank 0's own error is one. A store that failed hardly tells anybody any more.
    void tell(const Error& error) {
        const Finding finding{error.code(), error.stage(), std::string(error.text()), error.ranks()};
        try {
            if (error.stage() != Stage::store) refuse(finding);
            publish(finding.encode(), Deadline::after(listening_time), {});
        } catch (const Error& outcome) {
            if (outcome.shared()) throw;
        }
    }

    [[nodiscard]] Session meet() {
        using namespace std::chrono_literals;
        say_hello();
        // On a fresh store nobody waits for a call to confirm: what has come so far can be looked at later.
        if (options_.fresh) wait_for(absent(self_.world_size, {&self_}), deadline_.at_most(200ms));
        for (auto pause = options_.fresh ? 200ms : 10ms;; pause = std::min(2 * pause, 200ms)) {
            read_roll();
            read_states();
            const auto present = roll_.living(false);
            const auto found = examine_all(present);
            const auto missing = absent(self_.world_size, present);
            // What went away again, as a gap does when its rank says hello anew, leaves nothing to settle.
            if (!found)
                settle_.reset();
            else if (!settle_)
                settle_ = deadline_.at_most(settling_time);
            if (found && (settle_->expired() || (missing.empty() && !roll_.suspects()))) refuse(*found);
            if (!found && missing.empty() && !roll_.suspects()) return accept(present);
            if (!found && (deadline_.expired() || roll_.gave_up()))
                refuse(missing_ranks(self_.world_size, roll_.living(true), options_.timeout, roll_.silent(missing)));
            progress_.report(missing, self_.world_size, deadline_, options_.log);
            wait_for(missing, settle_.value_or(deadline_).at_most(pause));
        }
    }

    void say_hello() {
        Notes hello = hello_notes(self_, payload_, false);
        for (std::size_t i = 0; i < hello.append_keys.size(); ++i)
            store_.append(hello.append_keys[i], hello.append_values[i], grace_);
        store_.multi_set(hello.set_keys, hello.set_values, grace_);
    }

    /// Takes new entries, and answers them where they must confirm.
    void read_roll() {
        // Rank 0 of an earlier attempt may have cleared the roll under this one.
        if (!options_.fresh && !has(store_, roll_key(0), grace_)) return say_hello();
        Notes answers;
        // Rank 0's own part is there.
        roll_.take(0, store_.get(roll_key(0), grace_), answers);
        for (int part = 1; part < roll_parts(self_.world_size); ++part)
            roll_.take(static_cast<std::size_t>(part), read_list(store_, roll_key(part), grace_), answers);
        if (roll_.find(self_.nonce) == nullptr) say_hello();
        if (!answers.set_keys.empty()) store_.multi_set(answers.set_keys, answers.set_values, grace_);
    }

    /// Marks who confirmed, who gave up and who is gone.
    void read_states() {
        const auto mark = [&](std::string_view key, auto change) {
            roll_.mark(read_list(store_, key, grace_), change);
        };
        mark(gave_up_key, [](Roll::Entry& entry, std::size_t) { entry.gave_up = true; });
        if (options_.fresh) {
            mark(gone_key, [](Roll::Entry& entry, std::size_t times) {
                entry.gone = times >= entry.hellos;
                entry.present = !entry.gone;
            });
            return;
        }
        mark(present_key(self_.nonce), [](Roll::Entry& entry, std::size_t) { entry.present = true; });
        // Another rank 0 that is alive answers this one's nonce as this one answers its.
        const auto rival = [&](const Roll::Entry& entry) { return entry.record.rank == 0 && entry.record != self_; };
        const std::string answer = answer_key(self_.nonce);
        if (std::ranges::none_of(roll_.entries(), rival) || !has(store_, answer, grace_)) return;
        const Fields answered = Fields::decode(store_.get(answer, grace_));
        if (Roll::Entry* const entry = roll_.find(answered.get("session"))) entry->present = true;
    }

    [[nodiscard]] std::optional<Finding> examine_all(const RecordRefs& present) const {
        if (auto found = examine(present)) return found;
        const RecordRefs gone = roll_.gone();
        if (gone.empty()) return std::nullopt;
        return ended_ranks(self_.world_size, gone, Stage::roll_call, "after their hello, before all had come");
    }

    /// Waits, at most to `until`, for the next thing that can change the picture.
    void wait_for(const std::vector<int>& missing, Deadline until) {
        std::vector<std::string> confirmations;
        std::vector<std::string> hellos;
        for (const Record* record : roll_.unconfirmed())
            confirmations.push_back(presence_key(self_.nonce, record->nonce));
        for (const int rank : missing)
            if (!roll_.has_rank(rank)) hellos.push_back(hello_key(rank));
        if (hellos.empty()) {
            // Nothing but time can pass where all have confirmed: a key that nobody sets lets it.
            if (confirmations.empty()) confirmations.push_back(self_.nonce + "/nothing");
            (void)store_.wait(confirmations, until);
        } else if (store_.wait(hellos, until) && !options_.fresh) {
            // Each hello is set after its entry in the roll. One without an entry was left over: out of the way.
            read_roll();
            for (const int rank : missing)
                if (!roll_.has_rank(rank)) (void)store_.remove(hello_key(rank), grace_);
        }
    }

    [[nodiscard]] Session accept(const RecordRefs& present) {
        Session session{.id = self_.nonce,
                        .rank = 0,
                        .size = self_.world_size,
                        .self = process_name(self_),
                        .rank_0 = process_name(self_),
                        .timeout = options_.timeout,
                        .log = options_.log};
        std::vector<std::string> payloads;
        for (const Record* record : present) {
            session.records.push_back(*record);
            payloads.push_back(std::move(roll_.find(record->nonce)->payload));
        }
        session.answer = options_.combine ? options_.combine(payloads) : list_payloads(payloads);
        Notes more;
        std::vector<std::string> pieces = encode_records(session.records);
        for (std::size_t piece = 0; piece < pieces.size(); ++piece)
            more.set(records_key(session.id, piece), std::move(pieces[piece]));
        const std::string outcome = format("formed a world of {} ranks and went on", {self_.world_size});
        more.set(std::string(formed_key), encode_formed(self_, outcome, options_.fresh));
        publish(encode_verdict(session, !options_.fresh), grace_, std::move(more));
        for (int part = 0; !options_.fresh && part < roll_parts(self_.world_size); ++part)
            (void)store_.remove(roll_key(part), grace_);
        return session;
    }

    [[noreturn]] void refuse(const Finding& finding) {
        if (options_.log) options_.log("muster: " + finding.text);
        Notes more;
        more.set(std::string(formed_key), encode_formed(self_, "refused: " + finding.text, false));
        publish(finding.encode(), grace_.extended_by(listening_time), std::move(more));
        finding.raise(0);
    }

    /// Sets the verdict. On a fresh store it is the answer that all wait for.
    void publish(const std::string& verdict, Deadline deadline, Notes more) {
        more.set(verdict_key(self_.nonce), verdict);
        if (options_.fresh) {
            const std::string answer = encode_answer(self_.nonce, verdict);
            for (const Roll::Entry& entry : roll_.entries())
                if (entry.record != self_) more.set(answer_key(entry.record.nonce), answer);
        }
        store_.multi_set(more.set_keys, more.set_values, deadline);
    }

    AnyStore& store_;
    const Record& self_;
    std::string_view payload_;
    const RollCallOptions& options_;
    Deadline deadline_;
    Deadline grace_;
    Roll roll_;
    std::optional<Deadline> settle_;
    Progress progress_;
};

} // namespace muster::inline v0_1::detail
