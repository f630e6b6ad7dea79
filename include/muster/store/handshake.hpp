// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/format.hpp>
#include <muster/store/printable.hpp>
#include <muster/store/stream.hpp>
#include <muster/store/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace muster::inline v0_1::detail {

/// How many times the first words ask for the number of keys.
inline constexpr std::size_t handshake_questions = 4;

/// The first words to a server: VALIDATE and questions for the number of keys, to be sent in one piece, for torch's
/// libuv server refuses a VALIDATE that comes in parts. Every torch from 2.2 on answers; PING is there from 2.5 on
/// only. A torch up to 2.1 reads SET and the length of a key, closes the connection, and nothing else happens: the
/// questions are the upper half of that length, which so is 2^58 and more than any machine can allocate.
[[nodiscard]] inline std::string handshake() {
    std::string words = RequestWriter(Opcode::validate).number(wire_magic).bytes();
    for (std::size_t i = 0; i < handshake_questions; ++i) words += RequestWriter(Opcode::num_keys).bytes();
    return words;
}

/// The same questions to a torch up to 2.1, whose codes are lower by one and which wants no VALIDATE. A newer one
/// closes the connection or is silent.
[[nodiscard]] inline std::string handshake_before_validate() {
    return std::string(handshake_questions, static_cast<char>(Opcode::num_keys) - 1);
}

/// What a server answers to the first words.
struct Greeting {
    enum class End {
        store,   ///< as a store does
        foreign, ///< as no store does
        hung_up, ///< nothing: the connection is closed
        silent,  ///< nothing in time
    };
    End end = End::store;
    std::string seen; ///< unless store
};

[[nodiscard]] inline Greeting greet(Stream& stream, std::string_view words, Deadline deadline) {
    std::string answer;
    Transfer transfer = stream.send(words, deadline);
    while (transfer && answer.size() < handshake_questions * sizeof(std::int64_t)) {
        char byte = 0;
        transfer = stream.receive(&byte, 1, deadline);
        if (!transfer) break;
        const bool upper_half = answer.size() % sizeof(std::int64_t) >= sizeof(std::int32_t);
        answer += byte;
        if (upper_half && byte != 0) { // no store has 2^32 keys
            answer += stream.pending();
            return {Greeting::End::foreign, format("it sent {}", {printable(answer)})};
        }
    }
    if (transfer) return {};
    std::string seen = format("connected, but then: {}", {to_string(transfer)});
    if (!answer.empty()) seen += format(", after {}", {printable(answer)});
    return {transfer.end == Transfer::End::timeout ? Greeting::End::silent : Greeting::End::hung_up, std::move(seen)};
}

} // namespace muster::inline v0_1::detail
