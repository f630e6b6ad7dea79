// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// Items separated by ';'. Each may end in @rank, which makes it that rank's alone.
//
//   version=21805     what ncclGetVersion says; functions that came later are then a broken rule
//   devices=4         the number of devices; 8 without it
//   no-driver         as on a machine without a driver
//   same-uuid         all devices say the same UUID
//   mig               all devices are slices of one: one bus id, many UUIDs
//   rules=count       broken rules do not end the process
//   launch=immediate  collectives of a non-blocking communicator return ncclSuccess; `thread` is the way of NCCL 2.22
//   finalize=local    ncclCommFinalize does not wait for the other ranks; `global` is what the manual says
//   duplicates=allowed  several ranks may have one device
//
//   FUNCTION[#nth][@rank]:ACTION  where nth counts the rank's calls of it from 1, and ACTION is one of
//       progress=MS   in progress for MS more, then on
//       stay          in progress until aborted
//       error=CODE    the call does nothing and returns CODE
//       async=CODE    the call is accepted; then the communicator ends in CODE
//       hang          the call never returns
//       die           the process ends at the call with status 13
//       dies=MS       the process ends so MS after the call
namespace standin {

/// Ranks above it share its place.
inline constexpr int max_rank = 63;

enum class Do { nothing, progress, stay, error, async, hang, die, dies };

struct Action {
    Do what = Do::nothing;
    int value = 0;
};

struct Fault {
    std::string function;
    int nth = 0;   // 0: each
    int rank = -1; // -1: all
    Action action;
};

struct Setting {
    std::string name;
    std::string value;
    int rank = -1;
};

/// One script, never changed once it is read.
class Script {
public:
    Script() = default;

    /// Throws std::invalid_argument with the item that it cannot read.
    explicit Script(std::string_view text);

    /// The value for the rank, null when nothing sets it; the last item counts.
    const std::string* find(std::string_view name, int rank) const;
    int number(std::string_view name, int rank, int otherwise) const;

    std::vector<Fault> faults;
    bool counts_rules = false;
    std::array<bool, max_rank + 2> launches_at_once{}; // by rank + 1

private:
    void read(std::string_view item);
    std::vector<Setting> settings_;
};

/// The script in force.
const Script& script();

/// The rank of the calling thread's calls that have no communicator, -1 when there is none.
int caller_rank();

/// rank + 1, within an array of max_rank + 2.
inline std::size_t rank_slot(int rank) {
    if (rank < -1) return 0;
    return static_cast<std::size_t>((rank > max_rank ? max_rank : rank) + 1);
}

} // namespace standin
