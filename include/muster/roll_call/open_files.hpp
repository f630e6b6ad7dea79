// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/roll_call/record.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace muster::inline v0_1::detail {

/// Makes room for the connections of a world whose store this process serves: raises the soft limit on open files, as
/// servers do. Where the hard one is too low, what to tell all ranks: those that find no room would look missing.
[[nodiscard]] inline std::optional<Record::Failure> make_room_for_files(int world_size) {
    const auto ranks = static_cast<std::uint64_t>(std::max(world_size, 0));
    const std::uint64_t least = ranks + 7;   // the standard streams, the server's own three, this rank's as a client
    const std::uint64_t enough = ranks + 64; // the program's files, and the first of the backend's
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= enough) return std::nullopt;
    rlimit raised = limit;
    raised.rlim_cur = std::min<std::uint64_t>(enough, limit.rlim_max);
    const bool is_raised = ::setrlimit(RLIMIT_NOFILE, &raised) == 0;
    if ((is_raised ? raised : limit).rlim_cur >= least) return std::nullopt;
    return Record::Failure{errc::invalid_launch, Stage::rendezvous,
                           format("rank 0 serves the store and needs a connection for each of {} ranks, but may not "
                                  "have so many files open\n  seen: a hard limit of {}; needed: {} at least\n  do: "
                                  "raise it on rank 0's host (ulimit -n {}), or let a launcher serve the store",
                                  {world_size, limit.rlim_max, least, enough})};
}

} // namespace muster::inline v0_1::detail
