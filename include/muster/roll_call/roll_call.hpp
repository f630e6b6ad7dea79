// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/roll_call/caller.hpp>
#include <muster/roll_call/open_files.hpp>
#include <muster/roll_call/options.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/responder.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/store/any_store.hpp>

#include <string_view>

namespace muster::inline v0_1 {

/// Meets all ranks of the world over `store`, compares what they say and gives every one the same answer: a session
/// in which each rank is present exactly once and all agree, or one error.
///
/// Sound on a store that an earlier run, or an earlier attempt of a restarted job, left full of keys: there a rank
/// counts only when it confirms, under a session id drawn afresh by rank 0, a nonce that it drew itself. On a fresh
/// store a hello is enough, and a process that ends is noticed at once.
///
/// `payload` is what this rank's backend brings for its peers (addresses, unique ids); rank 0 makes of all payloads
/// the answer in every rank's session.
///
/// On a fresh store rank 0 raises its process's soft limit on open files where the world needs that.
///
/// Collective: over the world. Blocks: once on a fresh store, otherwise twice; at most to the deadline and one second
/// in which a rank still listens for rank 0's verdict.
/// Throws: Error with errc::missing_ranks, duplicate_rank, disagreement or remote, the same text on every rank.
[[nodiscard]] inline Session call_roll(AnyStore& store, const Record& self, std::string_view payload,
                                       const RollCallOptions& options) {
    if (self.rank != 0) return detail::RollResponder(store, self, payload, options).answer();
    Record caller = self;
    // A fresh store is one that rank 0 serves.
    if (options.fresh && !caller.failure) caller.failure = detail::make_room_for_files(self.world_size);
    return detail::RollCaller(store, caller, payload, options).call();
}

} // namespace muster::inline v0_1
