// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nccl.h>

#include "communicator.hpp"

namespace standin {

/// Puts what the configuration says, the parent's where it is null, and lets the environment beat it as NCCL does.
/// Throws a Failure of ncclInvalidArgument.
void configure(ncclComm& comm, const ncclConfig_t* config, const ncclComm* parent);

} // namespace standin
