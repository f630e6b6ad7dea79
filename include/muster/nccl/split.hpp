// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/checks.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/nccl/abort.hpp>
#include <muster/nccl/config.hpp>
#include <muster/nccl/device_guard.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/state.hpp>

#include <nccl.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// A child of `parent` that NCCL makes when `start(slot, config)` asks for it; null when NCCL makes none for this rank.
/// `ranks` are its members, global, in the order of the new group.
/// Throws: Error(errc::backend, timeout or closed); the parent cannot be used after that, and its abort reaches the
/// child.
template <class Start>
[[nodiscard]] std::shared_ptr<NcclState> make_child(NcclState& parent, const char* operation, std::vector<int> ranks,
                                                    std::string label, const NcclConfig& config, Start start) {
    return parent.inside(operation, [&]() -> std::shared_ptr<NcclState> {
        const Deadline deadline = Deadline::after(parent.limits.timeout);
        const DeviceGuard current(parent.device);
        const auto names = nccl_names(config, label, parent.names);
        auto native = native_config(config, *names, nccl_library_version());
        const NcclSlot slot = std::make_shared<ncclComm_t>(nullptr);
        parent.expect_child({slot, names});
        // On success the parent may still be in progress; only its state says when the slot holds the child.
        parent.settle(operation, start(slot.get(), &native), deadline);
        parent.expect_child({});
        if (*slot == nullptr) return nullptr;

        int rank = 0;
        int size = 0;
        const auto inspect = [&](std::string_view call, ncclResult_t result) {
            if (result == ncclSuccess) return;
            (void)abort_nccl({{*slot}}, parent.device,
                             parent.limits.abort_timeout); // the error below is the one to tell
            parent.fail_with(call, result);
        };
        inspect(operation, parent.poll(*slot, deadline));
        inspect("ncclCommUserRank", ncclCommUserRank(*slot, &rank));
        inspect("ncclCommCount", ncclCommCount(*slot, &size));
        if (static_cast<std::size_t>(size) != ranks.size() ||
            ranks[static_cast<std::size_t>(rank)] != parent.global_rank()) {
            (void)abort_nccl({{*slot}}, parent.device, parent.limits.abort_timeout);
            parent.fail(errc::disagreement,
                        format("{} {}: NCCL made a group of {} with this rank as number {}, expected {}\n  do: see "
                               "whether all ranks split alike",
                               {operation, parent.whose(), size, rank, ranks_text(ranks)}));
        }
        auto child = std::make_shared<NcclState>(
            NcclGroupOfRanks{std::move(ranks), rank, parent.device, std::move(label)}, parent.limits, names);
        child->adopt(*slot);
        return child;
    });
}

/// The group of this rank's colour, whose ranks are known; null for no_color.
/// Collective: over the parent, of which every rank must come, no_color too.
[[nodiscard]] inline std::shared_ptr<NcclState> split_nccl(NcclState& parent, int color, int key,
                                                           std::vector<int> ranks, std::string label,
                                                           const NcclConfig& config) {
    return make_child(parent, "split", std::move(ranks), std::move(label), config,
                      [&](ncclComm_t* slot, ncclConfig_t* native) {
                          return ncclCommSplit(parent.handle(), color, key, slot, native);
                      });
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
/// The group without the ranks of `excluded`, which are numbers in it and do not come. See NcclCommunicator::shrink.
[[nodiscard]] inline std::shared_ptr<NcclState> shrink_nccl(NcclState& parent, std::vector<int> excluded, bool abort,
                                                            const NcclConfig& config) {
    for (const int rank : excluded) check_member("shrink", "excluded rank", rank, parent.size(), parent);
    // NCCL counts a rank as often as it is named.
    std::sort(excluded.begin(), excluded.end());
    excluded.erase(std::unique(excluded.begin(), excluded.end()), excluded.end());
    std::vector<int> ranks;
    for (int rank = 0; rank < parent.size(); ++rank)
        if (!std::binary_search(excluded.begin(), excluded.end(), rank))
            ranks.push_back(parent.ranks[static_cast<std::size_t>(rank)]);
    if (excluded.empty() || std::binary_search(excluded.begin(), excluded.end(), parent.rank))
        throw_invalid(parent.global_rank(), "shrink: other ranks than this one must be excluded");
    if (abort) parent.reopen();
    return make_child(parent, "shrink", std::move(ranks), parent.label + "/shrink", config,
                      [&](ncclComm_t* slot, ncclConfig_t* native) {
                          return ncclCommShrink(parent.handle(), excluded.data(), static_cast<int>(excluded.size()),
                                                slot, native, abort ? NCCL_SHRINK_ABORT : NCCL_SHRINK_DEFAULT);
                      });
}
#endif

/// A group of one, which owns no communicator.
[[nodiscard]] inline std::shared_ptr<NcclState> alone_nccl(const NcclState& parent, std::string label) {
    return std::make_shared<NcclState>(NcclGroupOfRanks{{parent.global_rank()}, 0, parent.device, std::move(label)},
                                       parent.limits, nullptr);
}

} // namespace muster::inline v0_1::detail
