// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/keys.hpp>
#include <muster/roll_call/options.hpp>
#include <muster/roll_call/outcome.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/roll_call/verdict.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/exchange.hpp>
#include <muster/store/printable.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace muster::inline v0_1::detail {

// What the two sides of the roll call say to each other.

/// A hello: what this rank is and brings. On a fresh store it leaves a will, by which rank 0 learns of its end.
[[nodiscard]] inline Notes hello_notes(const Record& self, std::string_view payload, bool fresh) {
    Notes hello;
    std::string entry;
    Fields::put_text(entry, to_fields(self).encode());
    Fields::put_text(entry, payload);
    hello.append(roll_key(roll_part(self.rank)), std::move(entry));
    hello.set(hello_key(self.rank), self.nonce);
    if (fresh) hello.set(will_key(gone_key), self.nonce);
    return hello;
}

/// Digits of a nonce that tell the processes of one rank apart.
inline constexpr std::size_t mark_digits = 8;

/// The verdict that all is well. Where ranks had to confirm, it says whose confirmation counted.
[[nodiscard]] inline std::string encode_verdict(const Session& session, bool confirmed) {
    Fields verdict;
    verdict.set("size", session.size);
    verdict.set("rank_0", session.rank_0);
    verdict.set("answer", session.answer);
    std::string marks;
    if (confirmed)
        for (const Record& record : session.records) marks += record.nonce.substr(0, mark_digits);
    verdict.set("members", marks);
    return verdict.encode();
}

/// The session that a verdict declares; throws the error that it declares, and errc::protocol where it is none.
[[nodiscard]] inline Session read_verdict(std::string_view bytes, std::string id, const Record& self,
                                          const RollCallOptions& options) {
    const Fields verdict = Fields::decode(bytes);
    if (verdict.has("code")) Finding::decode(verdict).raise(self.rank);
    const int size = verdict.number("size", 0);
    if (size < 1)
        throw Error(errc::protocol, Stage::roll_call,
                    format("the verdict of the roll call is of a world of size {}\n  do: look for another program "
                           "that uses the same store and keys",
                           {printable(verdict.get("size"))}));
    return {.id = std::move(id),
            .rank = self.rank,
            .size = size,
            .self = process_name(self),
            .rank_0 = verdict.get("rank_0"),
            .answer = verdict.get("answer"),
            .timeout = options.timeout,
            .log = options.log};
}

/// Rank 0's answer to a hello where the roll may be full of the dead: who lives, confirms.
[[nodiscard]] inline std::string encode_call(std::string_view session) {
    Fields answer;
    answer.set("session", session);
    answer.set("confirm", "yes");
    return answer.encode();
}

/// Rank 0's answer to a hello elsewhere: the verdict; a large one is left for the ranks to fetch.
[[nodiscard]] inline std::string encode_answer(std::string_view session, std::string_view verdict) {
    constexpr std::size_t most = 4096;
    Fields answer;
    answer.set("session", session);
    if (verdict.size() <= most) answer.set("verdict", verdict);
    return answer.encode();
}

/// Whether it is this process that the verdict takes for its rank.
[[nodiscard]] inline bool is_member(std::string_view verdict, const Record& self) {
    const std::string members = Fields::decode(verdict).get("members");
    const std::size_t at = static_cast<std::size_t>(self.rank) * mark_digits;
    return at + mark_digits <= members.size() && self.nonce.compare(0, mark_digits, members, at, mark_digits) == 0;
}

/// What rank 0 leaves behind for those who come after the roll call.
[[nodiscard]] inline std::string encode_formed(const Record& rank_0, std::string_view outcome, bool stands) {
    Fields formed;
    formed.set("session", rank_0.nonce);
    formed.set("text", format("rank 0 ({}) {}", {process_name(rank_0), outcome}));
    if (stands) formed.set("stands", "yes");
    return formed.encode();
}

[[nodiscard]] inline Fields read_formed(AnyStore& store, Deadline deadline) {
    const std::string key(formed_key);
    return has(store, key, deadline) ? Fields::decode(store.get(key, deadline)) : Fields();
}

} // namespace muster::inline v0_1::detail
