// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nccl.h>

#include <string>
#include <utility>

namespace standin {

/// Why a call or its background work fails.
struct Failure {
    ncclResult_t code;
    std::string text;
};

/// Keeps the text as ncclGetLastError's: one for the whole process.
void set_last_error(const std::string& text);

/// The code of a failure, its text kept.
inline ncclResult_t kept(const Failure& failure) {
    set_last_error(failure.text);
    return failure.code;
}

} // namespace standin
