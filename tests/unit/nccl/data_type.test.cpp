// SPDX-License-Identifier: Apache-2.0
#include <muster/nccl/data_type.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <nccl.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

using muster::NcclElement;
using muster::NcclReducible;
using namespace muster::detail;

namespace {

/// T is reduced, and moved, as `type`.
template <class T>
consteval bool reduces_as(ncclDataType_t type) {
    return NcclReducible<T> && NcclElement<T> && nccl_type_of<T>() == type && nccl_move_type_of<T>() == type;
}

/// T is moved as `type` and not reduced.
template <class T>
consteval bool moves_as(ncclDataType_t type) {
    return !NcclReducible<T> && NcclElement<T> && nccl_move_type_of<T>() == type;
}

template <class... Ts>
constexpr bool no_elements = ((!NcclElement<Ts> && !NcclReducible<Ts>)&&...);

static_assert(reduces_as<float>(ncclFloat32));
static_assert(reduces_as<double>(ncclFloat64));
static_assert(reduces_as<__half>(ncclFloat16));
static_assert(reduces_as<__nv_bfloat16>(ncclBfloat16));
static_assert(reduces_as<signed char>(ncclInt8));
static_assert(reduces_as<unsigned char>(ncclUint8));
static_assert(reduces_as<char>(std::is_signed_v<char> ? ncclInt8 : ncclUint8));
static_assert(reduces_as<int>(ncclInt32));
static_assert(reduces_as<unsigned>(ncclUint32));
static_assert(reduces_as<long>(sizeof(long) == 8 ? ncclInt64 : ncclInt32));
static_assert(reduces_as<unsigned long>(sizeof(long) == 8 ? ncclUint64 : ncclUint32));
static_assert(reduces_as<long long>(ncclInt64));
static_assert(reduces_as<unsigned long long>(ncclUint64));
static_assert(reduces_as<std::int8_t>(ncclInt8));
static_assert(reduces_as<std::uint8_t>(ncclUint8));
static_assert(reduces_as<std::int32_t>(ncclInt32));
static_assert(reduces_as<std::uint32_t>(ncclUint32));
static_assert(reduces_as<std::int64_t>(ncclInt64));
static_assert(reduces_as<std::uint64_t>(ncclUint64));

static_assert(moves_as<std::int16_t>(ncclFloat16));
static_assert(moves_as<std::uint16_t>(ncclFloat16));
static_assert(moves_as<std::byte>(ncclUint8));
#if NCCL_VERSION_CODE >= 22403
static_assert(reduces_as<__nv_fp8_e4m3>(ncclFloat8e4m3));
static_assert(reduces_as<__nv_fp8_e5m2>(ncclFloat8e5m2));
#else
static_assert(moves_as<__nv_fp8_e4m3>(ncclUint8));
static_assert(moves_as<__nv_fp8_e5m2>(ncclUint8));
#endif

enum class Color : int { red };
struct Pixel {
    float value;
};
static_assert(no_elements<bool, wchar_t, char8_t, char16_t, char32_t, long double>);
static_assert(no_elements<const float, const int, volatile int, float&, float*, void*, std::nullptr_t, Color, Pixel>);
static_assert(no_elements<float2, __half2, __nv_bfloat162>);

static_assert(std::is_same_v<nccl_element_t<std::vector<float>&>, float>);
static_assert(std::is_same_v<nccl_element_t<const std::vector<std::byte>&>, std::byte>);
static_assert(std::is_same_v<nccl_element_t<std::span<const __half>>, __half>);

/// Bytes of an element that NCCL counts as `type`.
std::size_t size_of(ncclDataType_t type) {
    switch (type) {
        case ncclInt8:
        case ncclUint8: return 1;
        case ncclFloat16:
        case ncclBfloat16: return 2;
        case ncclInt32:
        case ncclUint32:
        case ncclFloat32: return 4;
        case ncclInt64:
        case ncclUint64:
        case ncclFloat64: return 8;
#if NCCL_VERSION_CODE >= 22403
        case ncclFloat8e4m3:
        case ncclFloat8e5m2: return 1;
#endif
        default: return 0;
    }
}

template <class... Ts>
void check_sizes() {
    const auto moves_whole = [](ncclDataType_t type, std::size_t size) {
        CAPTURE(static_cast<int>(type));
        CHECK(size_of(type) == size);
    };
    (moves_whole(nccl_move_type_of<Ts>(), sizeof(Ts)), ...);
}

} // namespace

TEST_CASE("an element moves as a type of its own size") {
    check_sizes<float, double, __half, __nv_bfloat16, __nv_fp8_e4m3, __nv_fp8_e5m2, std::byte>();
    check_sizes<char, signed char, unsigned char, short, unsigned short, int, unsigned, long, unsigned long, long long,
                unsigned long long>();
}
