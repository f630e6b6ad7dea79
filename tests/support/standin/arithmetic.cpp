// SPDX-License-Identifier: Apache-2.0
#include "arithmetic.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

namespace standin {
namespace {

/// A binary floating-point type of up to 16 bits. Without infinity all ones of the exponent are numbers too, and the
/// greatest pattern is the one that is none. In a type of 8 bits what is too great becomes the greatest number.
template <class Bits, int ExponentBits, int MantissaBits, bool Infinity>
struct Small {
    Bits bits;

    static constexpr int bias = (1 << (ExponentBits - 1)) - 1;
    static constexpr int top = (1 << ExponentBits) - 1;
    static constexpr int mantissas = 1 << MantissaBits;
    static constexpr unsigned sign_bit = 1u << (ExponentBits + MantissaBits);

    static float decode(Bits bits) {
        const int exponent = static_cast<int>(bits >> MantissaBits) & top;
        const int mantissa = static_cast<int>(bits) & (mantissas - 1);
        float value = 0;
        if (exponent == 0)
            value = std::ldexp(static_cast<float>(mantissa), 1 - bias - MantissaBits);
        else if (Infinity && exponent == top)
            value = mantissa == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
        else if (!Infinity && exponent == top && mantissa == mantissas - 1)
            value = std::numeric_limits<float>::quiet_NaN();
        else
            value = std::ldexp(static_cast<float>(mantissas + mantissa), exponent - bias - MantissaBits);
        return (bits & sign_bit) != 0 ? -value : value;
    }

    /// To the nearest, ties to the even one.
    static Bits encode(float value) {
        const unsigned sign = std::signbit(value) ? sign_bit : 0;
        constexpr unsigned infinity = static_cast<unsigned>(top) << MantissaBits;
        constexpr unsigned over = !Infinity ? sign_bit - 2 : sizeof(Bits) == 1 ? infinity - 1 : infinity;
        if (std::isnan(value)) return static_cast<Bits>(sign | (sign_bit - 1));
        value = std::fabs(value);
        if (value == 0) return static_cast<Bits>(sign);
        if (std::isinf(value)) return static_cast<Bits>(sign | over);
        int exponent = 0;
        (void)std::frexp(value, &exponent); // value < 2^exponent
        exponent = std::max(exponent - 1, 1 - bias);
        const auto steps = static_cast<unsigned>(std::nearbyint(std::ldexp(value, MantissaBits - exponent)));
        // Steps beyond the mantissa carry into the exponent by themselves.
        const unsigned pattern = (static_cast<unsigned>(exponent + bias - 1) << MantissaBits) + steps;
        return static_cast<Bits>(sign | std::min(pattern, over));
    }
};

using Half = Small<std::uint16_t, 5, 10, true>;
using Bfloat16 = Small<std::uint16_t, 8, 7, true>;
using Float8e4m3 = Small<std::uint8_t, 4, 3, false>;
using Float8e5m2 = Small<std::uint8_t, 5, 2, true>;

/// What is computed with: unsigned for the sums of integers, which wrap, and float for the small ones.
template <class T>
auto load(T value) {
    if constexpr (std::is_arithmetic_v<T>)
        return value;
    else
        return T::decode(value.bits);
}

template <class T, class Wide>
T store(Wide value) {
    if constexpr (std::is_arithmetic_v<T>)
        return static_cast<T>(value);
    else
        return T{T::encode(static_cast<float>(value))};
}

template <class Wide>
Wide combine(Wide a, Wide b, Reduction op) {
    if (op == Reduction::max) return a < b ? b : a;
    if (op == Reduction::min) return b < a ? b : a;
    if constexpr (std::is_integral_v<Wide>) {
        const auto left = static_cast<std::uint64_t>(a);
        const auto right = static_cast<std::uint64_t>(b);
        return static_cast<Wide>(op == Reduction::prod ? left * right : left + right);
    } else {
        return op == Reduction::prod ? a * b : a + b;
    }
}

template <class T>
T at(const void* data, std::size_t i) {
    T value;
    std::memcpy(&value, static_cast<const char*>(data) + i * sizeof(T), sizeof(T));
    return value;
}

template <class T>
void put(void* data, std::size_t i, T value) {
    std::memcpy(static_cast<char*>(data) + i * sizeof(T), &value, sizeof(T));
}

template <class T>
void reduce_as(void* result, const char* const* parts, int n, std::size_t count, Reduction op) {
    for (std::size_t i = 0; i < count; ++i) {
        auto wide = load(at<T>(parts[0], i));
        for (int part = 1; part < n; ++part) wide = combine(wide, load(at<T>(parts[part], i)), op);
        if (op == Reduction::avg) wide = static_cast<decltype(wide)>(wide / static_cast<decltype(wide)>(n));
        put(result, i, store<T>(wide));
    }
}

template <class T>
void multiply_as(void* data, const Scalar& scalar, std::size_t count) {
    const auto factor = load(at<T>(scalar.bytes.data(), 0));
    for (std::size_t i = 0; i < count; ++i) {
        put(data, i, store<T>(combine(load(at<T>(data, i)), factor, Reduction::prod)));
    }
}

/// fn(T{}) for the C++ type of the elements.
template <class Fn>
void with_type(ncclDataType_t type, Fn fn) {
    switch (type) {
        case ncclInt8: return fn(std::int8_t{});
        case ncclUint8: return fn(std::uint8_t{});
        case ncclInt32: return fn(std::int32_t{});
        case ncclUint32: return fn(std::uint32_t{});
        case ncclInt64: return fn(std::int64_t{});
        case ncclUint64: return fn(std::uint64_t{});
        case ncclFloat16: return fn(Half{});
        case ncclFloat32: return fn(float{});
        case ncclFloat64: return fn(double{});
        case ncclBfloat16: return fn(Bfloat16{});
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 24, 3)
        case ncclFloat8e4m3: return fn(Float8e4m3{});
        case ncclFloat8e5m2: return fn(Float8e5m2{});
#endif
        default: return;
    }
}

} // namespace

std::size_t size_of(ncclDataType_t type) {
    std::size_t size = 0;
    with_type(type, [&](auto element) { size = sizeof(element); });
    return size;
}

void multiply(void* data, const Scalar& scalar, std::size_t count, ncclDataType_t type) {
    with_type(type, [&](auto element) { multiply_as<decltype(element)>(data, scalar, count); });
}

void reduce(void* result, const char* const* parts, int n, std::size_t count, ncclDataType_t type, Reduction op) {
    with_type(type, [&](auto element) { reduce_as<decltype(element)>(result, parts, n, count, op); });
}

float from_half(std::uint16_t bits) { return Half::decode(bits); }

std::uint16_t to_half(float value) { return Half::encode(value); }

} // namespace standin
