// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/log.hpp>
#include <muster/core/text.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/responder.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/roll_call/verdict.hpp>
#include <muster/store/any_store.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// Rank 0's part of the roll call. Its nonce is the session's id.
///
/// The roll lists everyone who said hello, live or left over from an earlier run, in the order of their hellos. Rank
/// 0 answers each nonce once; only a live process reads the answer and confirms under the session's id. On a clean
/// store that is one wait for the hellos and one for the confirmations; on a dirty one the roll is read again until
/// the live ranks have shown up.
class RollCaller {
public:
    RollCaller(AnyStore& store, const Record& self, std::string_view payload, Deadline deadline,
               std::chrono::milliseconds timeout, const LogSink& log, bool serves)
        : store_(store),
          self_(self),
          payload_(payload),
          deadline_(deadline),
          grace_(deadline.extended_by(listening_time)),
          timeout_(timeout),
          log_(log),
          serves_(serves) {}

    [[nodiscard]] Session call() {
        try {
            return meet();
        } catch (const Error& error) {
            if (!error.shared()) tell(error);
            throw;
        }
    }

private:
    using Clock = Deadline::Clock;

    struct Entry {
        Record record;
        bool present = false;
        bool gave_up = false;
        Clock::time_point answered{};
    };

    /// The others wait for a verdict: rank 0's own error is one.
    void tell(const Error& error) {
        const Finding finding{error.code(), error.stage(), std::string(error.text()), error.ranks()};
        try {
            store_.set(verdict_key(self_.nonce), finding.encode(), Deadline::after(listening_time));
        } catch (const Error&) {
            return; // the store itself failed: the others notice that, and the first error is the one to throw
        }
    }

    [[nodiscard]] Session meet() {
        using namespace std::chrono_literals;
        store_.set(presence_key(self_.nonce, self_.nonce), fmt::format("+{}", payload_), grace_);
        say_hello(store_, self_, grace_);
        for (auto pause = 10ms;; pause = std::min(2 * pause, 200ms)) {
            read_roll();
            read_presence();
            const auto present = confirmed(false);
            const auto found = examine(present);
            const auto missing = absent(self_.world_size, present);
            // Give the others a moment to show up, so that the one error tells all that is wrong.
            if (found && !settle_) settle_ = deadline_.at_most(500ms);
            if (found && (settle_->expired() || (missing.empty() && !suspects()))) refuse(*found);
            if (!found && missing.empty() && !suspects()) return accept(present);
            if (!found && (deadline_.expired() || gave_up()))
                refuse(missing_ranks(self_.world_size, confirmed(true), timeout_));
            report_progress(missing);
            wait_for(missing, settle_.value_or(deadline_).at_most(pause));
        }
    }

    /// Takes new entries into entries_ and answers them.
    void read_roll() {
        const std::vector<std::string> roll{std::string(roll_key)};
        // Rank 0 of an earlier attempt may have cleared the roll under this one.
        if (!store_.check(roll, grace_)) return say_hello(store_, self_, grace_);
        const std::string list = store_.get(roll_key, grace_);
        std::vector<std::string> keys;
        for (std::string_view rest = list; !rest.empty();) {
            Record record = to_record(Fields::decode(Fields::take_text(rest)));
            if (!index_.try_emplace(record.nonce, entries_.size()).second) continue;
            const bool self = record.nonce == self_.nonce;
            if (!self) keys.push_back(answer_key(record.nonce));
            latest_[record.rank] = entries_.size();
            entries_.push_back({std::move(record), self, false, Clock::now()});
        }
        if (!index_.contains(self_.nonce)) say_hello(store_, self_, grace_);
        if (!keys.empty()) store_.multi_set(keys, std::vector<std::string>(keys.size(), self_.nonce), grace_);
    }

    /// Marks who confirmed and who gave up.
    void read_presence() {
        const std::vector<std::string> list{present_key(self_.nonce)};
        if (store_.check(list, grace_)) {
            const std::string nonces = store_.get(list[0], grace_);
            const std::size_t size = 1 + self_.nonce.size();
            for (std::size_t at = 0; at + size <= nonces.size(); at += size)
                if (const auto found = index_.find(nonces.substr(at + 1, size - 1)); found != index_.end())
                    (nonces[at] == '+' ? entries_[found->second].present : entries_[found->second].gave_up) = true;
        }
        // Another rank 0 that is alive answers this one's nonce as this one answers its.
        const auto rival = [&](const Entry& entry) { return entry.record.rank == 0 && entry.record != self_; };
        if (std::ranges::none_of(entries_, rival)) return;
        const std::vector<std::string> answer{answer_key(self_.nonce)};
        if (!store_.check(answer, grace_)) return;
        if (const auto found = index_.find(store_.get(answer[0], grace_)); found != index_.end())
            entries_[found->second].present = true;
    }

    /// Who confirmed, by rank; with or without those that then gave up waiting.
    [[nodiscard]] std::vector<Record> confirmed(bool and_gave_up) const {
        std::vector<Record> records;
        for (const Entry& entry : entries_)
            if (entry.present && (and_gave_up || !entry.gave_up)) records.push_back(entry.record);
        std::ranges::stable_sort(records, {}, &Record::rank);
        return records;
    }

    /// A rank whose own deadline passed is gone; the world cannot form unless it was started again.
    [[nodiscard]] bool gave_up() const {
        return std::ranges::any_of(entries_, [&](const Entry& entry) { return entry.gave_up && is_latest(entry); });
    }

    [[nodiscard]] bool is_latest(const Entry& entry) const {
        return &entries_[latest_.at(entry.record.rank)] == &entry;
    }

    /// Whether somebody more may still confirm: a second process of a rank, or a rank outside the world. Those that an
    /// earlier run left in the roll never do, so that this ends by itself.
    [[nodiscard]] bool suspects() const {
        using namespace std::chrono_literals;
        return std::ranges::any_of(entries_, [](const Entry& entry) {
            return !entry.present && !entry.gave_up && Clock::now() < entry.answered + 500ms;
        });
    }

    /// Waits, at most to `until`, for the next thing that can change the picture.
    void wait_for(const std::vector<int>& missing, Deadline until) {
        std::vector<std::string> confirmations;
        std::vector<std::string> hellos;
        for (const Entry& entry : entries_)
            if (!entry.present && !entry.gave_up && is_latest(entry))
                confirmations.push_back(presence_key(self_.nonce, entry.record.nonce));
        for (const int rank : missing)
            if (!latest_.contains(rank)) hellos.push_back(hello_key(rank));
        if (hellos.empty()) {
            // Nothing but time can pass where all have confirmed: a key that nobody sets lets it.
            if (confirmations.empty()) confirmations.push_back(self_.nonce + "/nothing");
            (void)store_.wait(confirmations, until);
        } else if (store_.wait(hellos, until)) {
            // Each hello is set after its entry in the roll. One without an entry was left over: out of the way.
            read_roll();
            for (const int rank : missing)
                if (!latest_.contains(rank)) (void)store_.remove(hello_key(rank), grace_);
        }
    }

    void report_progress(const std::vector<int>& missing) {
        if (!log_ || missing.empty() || Clock::now() < next_report_) return;
        using namespace std::chrono_literals;
        log_(fmt::format("muster: waiting for {} of {} ranks: {} ({} left)", missing.size(), self_.world_size,
                         rank_list(missing),
                         duration_text(std::chrono::ceil<std::chrono::seconds>(deadline_.remaining()))));
        report_pause_ = std::min<std::chrono::milliseconds>(2 * report_pause_, 60s);
        next_report_ = Clock::now() + report_pause_;
    }

    [[nodiscard]] Session accept(std::vector<Record> present) {
        store_.set(verdict_key(self_.nonce), encode_verdict(present), grace_);
        const std::string outcome = fmt::format("formed a world of {} ranks and went on", self_.world_size);
        store_.set(formed_key, encode_formed(self_, outcome, serves_), grace_);
        (void)store_.remove(roll_key, grace_);
        return {self_.nonce, 0, std::move(present)};
    }

    [[noreturn]] void refuse(const Finding& finding) {
        if (log_) log_("muster: " + finding.text);
        const Deadline soon = grace_.extended_by(listening_time);
        store_.set(formed_key, encode_formed(self_, "refused: " + finding.text, false), soon);
        store_.set(verdict_key(self_.nonce), finding.encode(), soon);
        finding.raise(0);
    }

    AnyStore& store_;
    const Record& self_;
    std::string_view payload_;
    Deadline deadline_;
    Deadline grace_;
    std::chrono::milliseconds timeout_;
    const LogSink& log_;
    bool serves_;
    std::vector<Entry> entries_;                         ///< in the order of the roll
    std::unordered_map<std::string, std::size_t> index_; ///< nonce -> entry
    std::unordered_map<int, std::size_t> latest_;        ///< rank -> its last entry
    std::optional<Deadline> settle_;
    std::chrono::milliseconds report_pause_{3000};
    Clock::time_point next_report_ = Clock::now() + report_pause_;
};

} // namespace muster::inline v0_1::detail
