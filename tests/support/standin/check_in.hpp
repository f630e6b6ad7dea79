// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "bootstrap.hpp"

namespace standin {

/// What a rank says to the root.
struct CheckIn {
    static constexpr std::int32_t right_type = 1;

    std::uint64_t magic = 0;
    std::int32_t type = right_type;
    std::int32_t length = 0;
    std::int32_t rank = 0;
    std::int32_t size = 0;
    std::int32_t root = 0;
    std::int32_t roots = 1;
    Seat seat;
};

} // namespace standin
