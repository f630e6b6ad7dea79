// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/comm/concept.hpp>

#include <concepts>
#include <ranges>

namespace muster::inline v0_1 {

/// Satisfied by a list of buffers that a communicator writes, such as a model's gradients: a std::vector of std::span,
/// or of containers.
template <class Bs>
concept MutableBuffers = std::ranges::input_range<Bs> && MutableBuffer<std::ranges::range_reference_t<Bs>>;

/// Each buffer, in place, joined by `op` over all ranks. All ranks give as many buffers, of the same sizes, in the same
/// order.
///
/// NCCL launches all of them as one group: with many small buffers that is most of the time. Gloo reduces one after
/// the other.
/// Collective: over the group. Blocks, Throws: as all_reduce; after an error some of the buffers may be reduced.
template <Communicator C, MutableBuffers Bs, class Op>
void all_reduce_coalesced(C& group, Bs&& buffers, Op op, typename C::Stream stream = {}) {
    const auto reduce_each = [&] {
        for (auto&& buffer : buffers) group.all_reduce(buffer, op, stream);
    };
    if constexpr (requires { typename C::Group; }) {
        if (group.size() > 1) {
            typename C::Group launched_as_one;
            reduce_each();
            return launched_as_one.end();
        }
    }
    reduce_each();
}

} // namespace muster::inline v0_1
