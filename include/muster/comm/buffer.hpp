// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ranges>
#include <span>
#include <type_traits>

namespace muster::inline v0_1 {

/// Memory that a communicator reads: a contiguous sized range (std::span, std::vector, std::array) that outlives the
/// call. Its element type decides the data type.
template <class B>
concept Buffer = std::ranges::contiguous_range<B> && std::ranges::sized_range<B> &&
    (std::is_lvalue_reference_v<B> || std::ranges::borrowed_range<B>);

/// Memory that a communicator writes.
template <class B>
concept MutableBuffer = Buffer<B> && !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<B>>>;

/// Element type of a buffer, without const.
template <Buffer B>
using element_t = std::remove_cvref_t<std::ranges::range_reference_t<B>>;

} // namespace muster::inline v0_1
