// SPDX-License-Identifier: Apache-2.0
#include <muster/nccl/device.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cuda_runtime_api.h>

#include <cstddef>

using muster::detail::uuid_text;

namespace {

cudaUUID_t counting_from(unsigned first) {
    cudaUUID_t uuid{};
    for (std::size_t i = 0; i < sizeof uuid.bytes; ++i) uuid.bytes[i] = static_cast<char>(first + 0x11 * i);
    return uuid;
}

} // namespace

TEST_CASE("a UUID reads as in nvidia-smi and CUDA_VISIBLE_DEVICES") {
    CHECK(uuid_text(counting_from(0), false) == "GPU-00112233-4455-6677-8899-aabbccddeeff");
    CHECK(uuid_text(counting_from(0), true) == "MIG-00112233-4455-6677-8899-aabbccddeeff");
    // Each byte has two digits, of either half of the char's range.
    CHECK(uuid_text(counting_from(1), false) == "GPU-01122334-4556-6778-899a-abbccddeef00");
}
