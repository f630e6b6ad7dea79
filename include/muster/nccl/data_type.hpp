// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/comm/reduction.hpp>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <nccl.h>

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace muster::inline v0_1 {

namespace detail {

template <class T, class... Others>
inline constexpr bool is_any_of = (std::same_as<T, Others> || ...);

/// Integers with arithmetic of their own, as on the other backends.
template <class T>
inline constexpr bool is_number = std::integral<T>&& std::same_as<T, std::remove_cv_t<T>> &&
                                  !is_any_of<T, bool, wchar_t, char8_t, char16_t, char32_t>;

/// NCCL's number of an element type; ncclNumTypes for those that it does not have.
template <class T>
[[nodiscard]] consteval ncclDataType_t nccl_type_of() {
    if constexpr (std::same_as<T, float>) return ncclFloat32;
    if constexpr (std::same_as<T, double>) return ncclFloat64;
    if constexpr (std::same_as<T, __half>) return ncclFloat16;
    if constexpr (std::same_as<T, __nv_bfloat16>) return ncclBfloat16;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 24, 3)
    if constexpr (std::same_as<T, __nv_fp8_e4m3>) return ncclFloat8e4m3;
    if constexpr (std::same_as<T, __nv_fp8_e5m2>) return ncclFloat8e5m2;
#endif
    if constexpr (is_number<T>) {
        if constexpr (sizeof(T) == 1) return std::is_signed_v<T> ? ncclInt8 : ncclUint8;
        if constexpr (sizeof(T) == 4) return std::is_signed_v<T> ? ncclInt32 : ncclUint32;
        if constexpr (sizeof(T) == 8) return std::is_signed_v<T> ? ncclInt64 : ncclUint64;
    }
    return ncclNumTypes;
}

/// The type under which NCCL moves elements that it only moves: one of the same size does as well.
template <class T>
[[nodiscard]] consteval ncclDataType_t nccl_move_type_of() {
    if constexpr (nccl_type_of<T>() != ncclNumTypes) return nccl_type_of<T>();
    if constexpr (is_number<T> && sizeof(T) == 2) return ncclFloat16;
    if constexpr (is_any_of<T, std::byte, __nv_fp8_e4m3, __nv_fp8_e5m2>) return ncclUint8;
    return ncclNumTypes;
}

} // namespace detail

/// Satisfied by the element types that NCCL reduces: integers of 1, 4 and 8 bytes, float, double, __half,
/// __nv_bfloat16, and with NCCL 2.24.3 __nv_fp8_e4m3 and __nv_fp8_e5m2. `char` is the 8-bit integer that it is on the
/// platform. Source: ncclDataType_t in nccl.h.
template <class T>
concept NcclReducible = detail::nccl_type_of<T>()
!= ncclNumTypes;

/// Satisfied by the element types that NCCL moves: those that it reduces, integers of 2 bytes, std::byte and every fp8.
/// Not bool, wide characters or long double: as on the other backends.
template <class T>
concept NcclElement = detail::nccl_move_type_of<T>()
!= ncclNumTypes;

namespace detail {

/// Element type of a buffer, refused in words when NCCL has no use for it.
template <class B>
struct NcclElementOf {
    static_assert(NcclElement<element_t<B&>>,
                  "muster: the elements of an NCCL communicator's buffers are integers, std::byte, float, double, "
                  "__half, __nv_bfloat16 or fp8 (not bool, wide characters or long double)");
    using type = element_t<B&>;
};

template <class B>
using nccl_element_t = typename NcclElementOf<std::remove_reference_t<B>>::type;

template <class Op, class T>
constexpr void require_nccl_reduction() {
    static_assert(NcclReducible<T>,
                  "muster: NCCL does not reduce this element type: it has no 16-bit integers, no std::byte, and fp8 "
                  "only since 2.24.3");
    static_assert(Reduction<Op, T>,
                  "muster: the operation must be sum, prod, min, max, avg or premul_sum(factor) with a factor of the "
                  "element type");
}

} // namespace detail
} // namespace muster::inline v0_1
