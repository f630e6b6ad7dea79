// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>

namespace muster::inline v0_1::detail {

/// Says of a store that rank 0 was to serve and that was not found, that it is rank 0 who did not come. Other errors
/// are thrown as they are.
[[noreturn]] inline void raise_unreachable(const Error& error, int rank) {
    if (error.code() != errc::connection) throw error;
    throw Error(errc::missing_ranks, Stage::rendezvous,
                format("rank 0, which serves the store, did not arrive: {}", {error.text()}), {rank, {0}, false});
}

} // namespace muster::inline v0_1::detail
