// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nccl.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace standin {

/// 0 for what is no type.
std::size_t size_of(ncclDataType_t type);

enum class Reduction : std::int32_t { sum, prod, max, min, avg, premultiplied };

/// One element of any type.
struct Scalar {
    std::array<char, 8> bytes{};
};

/// Multiplies each element by the scalar, in the arithmetic of the type.
void multiply(void* data, const Scalar& scalar, std::size_t count, ncclDataType_t type);

/// result = parts[0] op parts[1] op ...; result may be one of the parts. Integers wrap; small floating-point types are
/// added up as float and rounded once.
void reduce(void* result, const char* const* parts, int n, std::size_t count, ncclDataType_t type, Reduction op);

/// What the small floating-point types mean.
float from_half(std::uint16_t bits);
std::uint16_t to_half(float value);

} // namespace standin
