// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/comm/data_type.hpp>
#include <muster/comm/operands.hpp>
#include <muster/gloo/arithmetic.hpp>
#include <muster/gloo/state.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace muster::inline v0_1::detail {

template <class B>
struct GlooElement {
    static_assert(HostElement<element_t<B&>>,
                  "muster: the elements of a Gloo communicator's buffers are integers, float or double (not bool, wide "
                  "characters or long double)");
    using type = element_t<B&>;
};

/// Element type of a buffer, refused in words when Gloo's communicator has no use for it.
template <class B>
using gloo_element_t = typename GlooElement<std::remove_reference_t<B>>::type;

/// `part` is what each rank contributes or gets.
template <class Op = void, class T>
[[nodiscard]] GlooCall gloo_call(std::string_view name, std::span<T> part, int root = -1) {
    std::uint8_t number = 0;
    if constexpr (!std::is_void_v<Op>) number = operation_number<Op>;
    return {name, part.size_bytes(), type_number<std::remove_const_t<T>>, number, root};
}

} // namespace muster::inline v0_1::detail
