// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "communicator.hpp"

namespace standin {

/// Ends all waits of the communicator for good.
void interrupt(ncclComm& comm);

/// Drops what is on streams now, and returns once none of it runs.
void drop_operations(ncclComm& comm);

} // namespace standin
