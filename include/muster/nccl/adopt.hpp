// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/checks.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/limits.hpp>
#include <muster/nccl/state.hpp>

#include <nccl.h>

#include <cstddef>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// The state of a communicator that somebody else owns; its ranks count from 0 where none are given.
/// Throws: Error(errc::backend) when NCCL does not know the handle.
[[nodiscard]] inline std::shared_ptr<NcclState> adopt_nccl(ncclComm_t handle, std::vector<int> ranks,
                                                           const NcclLimits& limits) {
    int size = 0;
    int rank = 0;
    int device = 0;
    const auto ask = [](const char* call, ncclResult_t result) { check_nccl(call, result, Stage::communicator, -1); };
    ask("ncclCommCount", ncclCommCount(handle, &size));
    ask("ncclCommUserRank", ncclCommUserRank(handle, &rank));
    ask("ncclCommCuDevice", ncclCommCuDevice(handle, &device));
    if (ranks.empty()) {
        ranks.resize(static_cast<std::size_t>(size));
        std::iota(ranks.begin(), ranks.end(), 0);
    }
    if (ranks.size() != static_cast<std::size_t>(size))
        throw_invalid(rank, format("from_native_handle: {} ranks were given for an NCCL communicator of {}",
                                   {ranks.size(), size}));
    auto state = std::make_shared<NcclState>(NcclGroupOfRanks{std::move(ranks), rank, device, "view"}, limits, nullptr);
    state->adopt(handle, false);
    return state;
}

} // namespace muster::inline v0_1::detail
