// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/roll_call/answer.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/keys.hpp>
#include <muster/roll_call/outcome.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/verdict.hpp>
#include <muster/store/exchange.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// Who has said hello to rank 0, and what was heard of each since.
class Roll {
public:
    using Clock = Deadline::Clock;

    struct Entry {
        Record record;
        std::string payload;
        bool present = false;   ///< alive when last heard of
        bool gave_up = false;   ///< its own time was up
        bool gone = false;      ///< its connection has closed
        std::size_t hellos = 1; ///< one for each connection it made
        Clock::time_point answered{};
    };

    Roll(const Record& self, bool fresh)
        : self_(self),
          fresh_(fresh),
          read_(static_cast<std::size_t>(roll_parts(self.world_size))) {}

    /// In the order of the roll; they stay in place.
    [[nodiscard]] const std::deque<Entry>& entries() const noexcept { return entries_; }

    /// Null where nobody has said hello with this nonce.
    [[nodiscard]] Entry* find(std::string_view nonce) {
        const auto found = index_.find(std::string(nonce));
        return found == index_.end() ? nullptr : &entries_[found->second];
    }

    [[nodiscard]] bool has_rank(int rank) const { return latest_.contains(rank); }

    /// Takes what is new in a part of the roll, and adds what to answer those who must confirm.
    void take(std::size_t part, std::string_view list, Notes& answers) {
        // A fresh roll only grows.
        std::string_view rest = list;
        if (fresh_) rest.remove_prefix(std::min(read_[part], rest.size()));
        read_[part] = list.size();
        while (!rest.empty()) {
            Record record = to_record(Fields::take_text(rest));
            const std::string_view payload = Fields::take_text(rest);
            const auto [known, created] = index_.try_emplace(record.nonce, entries_.size());
            if (!created) {
                ++entries_[known->second].hellos;
                continue;
            }
            const bool self = record.nonce == self_.nonce;
            if (!self && !fresh_) answers.set(answer_key(record.nonce), encode_call(self_.nonce));
            latest_[record.rank] = entries_.size();
            Entry& entry = entries_.emplace_back();
            entry.record = std::move(record);
            entry.payload = payload;
            entry.present = self || fresh_;
            entry.answered = Clock::now();
        }
    }

    /// Calls `change(entry, times)` for each whose nonce is in the list.
    template <class Change>
    void mark(std::string_view list, Change change) {
        for (const auto& [nonce, times] : count_nonces(list))
            if (Entry* const entry = find(nonce)) change(*entry, times);
    }

    /// Who is here, by rank; with or without those that then gave up waiting.
    [[nodiscard]] RecordRefs living(bool and_gave_up) const {
        RecordRefs records;
        for (const Entry& entry : entries_)
            if (entry.present && (and_gave_up || !entry.gave_up)) records.push_back(&entry.record);
        sort_by_rank(records);
        return records;
    }

    /// Whose connection has ended and who has not said hello again.
    [[nodiscard]] RecordRefs gone() const {
        RecordRefs records;
        for (const Entry& entry : entries_)
            if (entry.gone && is_latest(entry)) records.push_back(&entry.record);
        return records;
    }

    /// Who has yet to confirm.
    [[nodiscard]] RecordRefs unconfirmed() const {
        RecordRefs records;
        for (const Entry& entry : entries_)
            if (!entry.present && !entry.gave_up && !entry.gone && is_latest(entry)) records.push_back(&entry.record);
        return records;
    }

    /// Who of the missing said hello, now or in an earlier run.
    [[nodiscard]] RecordRefs silent(const std::vector<int>& missing) const {
        RecordRefs records;
        for (const int rank : missing)
            if (const auto found = latest_.find(rank); found != latest_.end() && !entries_[found->second].gave_up)
                records.push_back(&entries_[found->second].record);
        return records;
    }

    /// A rank whose own deadline passed is gone; the world cannot form unless it was started again.
    [[nodiscard]] bool gave_up() const {
        return std::ranges::any_of(entries_, [&](const Entry& entry) { return entry.gave_up && is_latest(entry); });
    }

    /// Whether somebody more may still confirm: a second process of a rank, or a rank outside the world. Those that an
    /// earlier run left in the roll never do, so that this ends by itself.
    [[nodiscard]] bool suspects() const {
        using namespace std::chrono_literals;
        return std::ranges::any_of(entries_, [](const Entry& entry) {
            return !entry.present && !entry.gave_up && !entry.gone && Clock::now() < entry.answered + 500ms;
        });
    }

private:
    [[nodiscard]] bool is_latest(const Entry& entry) const {
        return &entries_[latest_.at(entry.record.rank)] == &entry;
    }

    const Record& self_;
    bool fresh_;
    std::deque<Entry> entries_;
    std::unordered_map<std::string, std::size_t> index_; ///< nonce -> entry
    std::map<int, std::size_t> latest_;                  ///< rank -> its last entry
    std::vector<std::size_t> read_;                      ///< bytes of each part of the roll
};

} // namespace muster::inline v0_1::detail
