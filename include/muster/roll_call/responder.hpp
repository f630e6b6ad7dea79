// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/text.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/roll_call/verdict.hpp>
#include <muster/store/any_store.hpp>

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1::detail {

// The keys that stand outside any session. Only texts that name a nonce drawn by the reader are believed.
inline constexpr std::string_view roll_key = "roll";     ///< list of records, appended to by every rank
inline constexpr std::string_view formed_key = "formed"; ///< what the last rank 0 here did, for error texts

/// Set after the record was appended to the roll, so that rank 0 can wait for it.
[[nodiscard]] inline std::string hello_key(int rank) { return fmt::format("hello/{}", rank); }
[[nodiscard]] inline std::string answer_key(std::string_view nonce) { return fmt::format("answer/{}", nonce); }
[[nodiscard]] inline std::string verdict_key(std::string_view session) { return fmt::format("{}/verdict", session); }

/// List of nonces, each after '+' for "here" or '-' for "gave up".
[[nodiscard]] inline std::string present_key(std::string_view session) { return fmt::format("{}/present", session); }

[[nodiscard]] inline std::string encode_verdict(const std::vector<Record>& records) {
    Fields verdict;
    std::string list;
    for (const Record& record : records) Fields::put_text(list, to_fields(record).encode());
    verdict.set("records", list);
    return verdict.encode();
}

/// The session that a verdict declares; throws the error that it declares.
[[nodiscard]] inline Session read_verdict(std::string_view bytes, std::string id, int rank) {
    const Fields verdict = Fields::decode(bytes);
    if (verdict.all().contains("code")) Finding::decode(verdict).raise(rank);
    Session session{std::move(id), rank, {}};
    const std::string list = verdict.get("records");
    for (std::string_view rest = list; !rest.empty();)
        session.records.push_back(to_record(Fields::decode(Fields::take_text(rest))));
    return session;
}

/// Says hello with what this rank is.
inline void say_hello(AnyStore& store, const Record& self, Deadline deadline) {
    std::string entry;
    Fields::put_text(entry, to_fields(self).encode());
    store.append(roll_key, entry, deadline);
    store.set(hello_key(self.rank), self.nonce, deadline);
}

/// What rank 0 leaves behind for those who come after the roll call.
[[nodiscard]] inline std::string encode_formed(const Record& rank_0, std::string_view outcome, bool stands) {
    Fields formed;
    formed.set("session", rank_0.nonce);
    formed.set("text", fmt::format("rank 0 ({}) {}", process_name(rank_0), outcome));
    if (stands) formed.set("stands", "yes");
    return formed.encode();
}

[[nodiscard]] inline Fields read_formed(AnyStore& store, Deadline deadline) {
    const std::vector<std::string> formed{std::string(formed_key)};
    return store.check(formed, deadline) ? Fields::decode(store.get(formed_key, deadline)) : Fields();
}

/// The end of a process that finds a world in which its rank is another process, or nobody.
[[noreturn]] inline void one_too_many(const Record& self, const Session& formed) {
    const auto& records = formed.records;
    const std::string owner =
        self.rank < formed.world_size()
            ? fmt::format("rank {} there is {}", self.rank, process_name(records[static_cast<std::size_t>(self.rank)]))
            : fmt::format("there is no rank {}", self.rank);
    throw Error(errc::duplicate_rank, Stage::roll_call,
                fmt::format("rank {} ({}) is one process too many: rank 0 ({}) formed a world of {} ranks without it; "
                            "{}\n  do: give every process a RANK of its own, and every job an address of its own",
                            self.rank, process_name(self), process_name(records[0]), formed.world_size(), owner),
                {self.rank, {self.rank}, false});
}

/// Throws where a world has formed without this process and still stands: then there is nothing to wait for. A store
/// that a launcher serves may hold a world that is gone; one that rank 0 serves ends with rank 0.
inline void refuse_if_formed(AnyStore& store, const Record& self, Deadline deadline) {
    const Fields formed = read_formed(store, deadline);
    if (formed.get("stands").empty()) return;
    const std::string id = formed.get("session");
    one_too_many(self, read_verdict(store.get(verdict_key(id), deadline), id, self.rank));
}

[[noreturn]] inline void nobody_called(AnyStore& store, const Record& self, Deadline deadline,
                                       std::chrono::milliseconds timeout) {
    const std::string seen = read_formed(store, deadline).get("text");
    throw Error(errc::missing_ranks, Stage::roll_call,
                fmt::format("1 of {} ranks did not arrive within {}: 0\n  the store is there, but rank 0 does not call "
                            "the roll\n  seen of rank 0 there: {}\n  do: see whether the process of rank 0 was "
                            "started, is still alive and uses this address; see whether this process is one too many",
                            self.world_size, duration_text(timeout), seen.empty() ? "nothing" : seen),
                {self.rank, {0}, false});
}

/// The part of every rank but 0.
[[nodiscard]] inline Session answer_roll(AnyStore& store, const Record& self, std::string_view payload,
                                         Deadline deadline, std::chrono::milliseconds timeout) {
    using namespace std::chrono_literals;
    const Deadline grace = deadline.extended_by(listening_time);
    const std::vector<std::string> answer{answer_key(self.nonce)};
    // The hello is repeated, for rank 0 of an earlier attempt may have cleared the roll after it was said.
    say_hello(store, self, grace);
    for (auto pause = 1000ms; !store.wait(answer, grace.at_most(pause)); pause = 5000ms) {
        if (grace.expired()) nobody_called(store, self, grace.extended_by(listening_time), timeout);
        refuse_if_formed(store, self, grace.extended_by(listening_time));
        say_hello(store, self, grace.extended_by(listening_time));
    }
    const std::string id = store.get(answer[0], grace);

    store.append(present_key(id), "+" + self.nonce, grace);
    store.set(presence_key(id, self.nonce), fmt::format("+{}", payload), grace);
    const std::vector<std::string> verdict{verdict_key(id)};
    if (!store.wait(verdict, deadline)) {
        store.append(present_key(id), "-" + self.nonce, grace.extended_by(listening_time));
        if (!store.wait(verdict, grace))
            throw Error(errc::timeout, Stage::roll_call,
                        fmt::format("rank 0 called the roll, but gave no verdict within {}\n  do: see whether the "
                                    "process of rank 0 is still alive",
                                    duration_text(timeout)),
                        {self.rank, {0}, false});
    }
    Session session = read_verdict(store.get(verdict[0], grace.extended_by(listening_time)), id, self.rank);
    // Another process of this rank may have been quicker to confirm.
    if (self.rank >= session.world_size() || session.records[static_cast<std::size_t>(self.rank)] != self)
        one_too_many(self, session);
    return session;
}

} // namespace muster::inline v0_1::detail
