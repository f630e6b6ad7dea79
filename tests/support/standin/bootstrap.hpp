// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nccl.h>

#include <cstdint>
#include <span>
#include <vector>

#include "communicator.hpp"

namespace standin {

/// Where a rank listens and what it runs on.
struct Seat {
    sockaddr_in address{};
    std::uint64_t host = 0;
    std::uint64_t bus = 0;
    std::int64_t color = 0;
    std::int64_t key = 0;
};

/// Starts a root in a thread of its own and describes it.
ncclUniqueId make_root();

/// The hash of the communicator that these ids make.
std::uint64_t hash_of(std::span<const ncclUniqueId> ids);

/// Gives the communicator its mesh. Both run until they are done, or throw a Failure.
void join_by_root(ncclComm& comm, const ncclUniqueId& id, int size, int rank);

/// What one rank of the parent says for a child; `call` is 1 for a split and 2 for a shrink.
struct ChildRequest {
    std::uint32_t call = 1;
    std::uint64_t number = 0;
    int color = 0;
    int key = 0;
    std::vector<int> excluded; // ranks of the parent that take no part
};

/// The child may be null: then this rank only takes part in the exchange.
void join_by_parent(ncclComm& parent, ncclComm* child, const ChildRequest& request);

} // namespace standin
