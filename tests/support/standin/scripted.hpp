// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nccl.h>

#include "calls.hpp"
#include "failure.hpp"
#include "socket.hpp"

namespace standin {

/// The code of an `error` action.
ncclResult_t scripted_error(const Action& action);

/// What the script has for a job before it does its work: waits, or throws the Failure of an `async` action.
void obey(const Action& action, const Cancel& cancel);

/// What a call on a non-blocking communicator returns: the state, and never yet an error that is to come later.
inline ncclResult_t told(const Action& action, ncclResult_t state) {
    return action.what == Do::async ? ncclInProgress : state;
}

} // namespace standin
