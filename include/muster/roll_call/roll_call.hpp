// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/log.hpp>
#include <muster/roll_call/caller.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/responder.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/store/any_store.hpp>

#include <chrono>
#include <string_view>

namespace muster::inline v0_1 {

/// Meets all ranks of the world over `store`, compares what they say and gives every one the same answer: a session
/// in which each rank is present exactly once and all agree, or one error. Sound on a store that an earlier run, or
/// an earlier attempt of a restarted job, left full of keys: a rank counts only when it confirms, under a session id
/// drawn afresh by rank 0, a nonce that it drew itself.
///
/// `payload` is what the peers' backends need from this rank (addresses, unique ids); payload_of reads it.
///
/// Collective: over the world. Blocks: twice, at most to `deadline` and one second in which a rank still listens for
/// rank 0's verdict. `timeout` is the length of the wait, for texts; `serves` says that this rank's process serves the
/// store.
/// Throws: Error with errc::missing_ranks, duplicate_rank, disagreement or remote, the same text on every rank.
[[nodiscard]] inline Session call_roll(AnyStore& store, const Record& self, std::string_view payload, Deadline deadline,
                                       std::chrono::milliseconds timeout, const LogSink& log, bool serves = false) {
    return self.rank == 0 ? detail::RollCaller(store, self, payload, deadline, timeout, log, serves).call()
                          : detail::answer_roll(store, self, payload, deadline, timeout);
}

} // namespace muster::inline v0_1
