// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "calls.hpp"
#include "device.hpp"

/// First line of each function of the runtime: counts it, and returns the error that the script has for it.
#define STANDIN_CUDA(name)                                                                                         \
    if (const auto action = STANDIN_CALLED(name, ::standin::caller_rank()); action.what == ::standin::Do::error) { \
        return ::standin::keep(static_cast<cudaError_t>(action.value));                                            \
    }                                                                                                              \
    static_assert(true)
