// SPDX-License-Identifier: Apache-2.0
// The small floating-point types against the conversions of CUDA's own headers.
#include <catch2/catch_test_macros.hpp>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cmath>

#include "clique.hpp"

using namespace clique;

namespace {

template <class T>
struct Small;
template <>
struct Small<__half> {
    static constexpr auto type = ncclFloat16;
};
template <>
struct Small<__nv_bfloat16> {
    static constexpr auto type = ncclBfloat16;
};
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 24, 3)
template <>
struct Small<__nv_fp8_e4m3> {
    static constexpr auto type = ncclFloat8e4m3;
};
template <>
struct Small<__nv_fp8_e5m2> {
    static constexpr auto type = ncclFloat8e5m2;
};
#endif

/// Values over the whole range of the type, from the smallest to beyond the greatest.
std::vector<float> inputs(float greatest) {
    std::vector<float> all = {0.0f, -0.0f, 1.0f, -1.0f, 0.1f, 1.0f / 3.0f, greatest, -greatest};
    for (float x = greatest; x > 1e-8f; x /= 1.37f) {
        all.push_back(x);
        all.push_back(-x);
    }
    return all;
}

/// Sums, products, greatest, least and mean over ranks, each element made from the inputs by rank.
template <class T>
void check_type(float greatest) {
    const auto numbers = inputs(greatest);
    for (int size = 1; size <= 3; ++size) {
        run(size, [&](const Rank& rank) {
            const auto element = [&](int of, std::size_t i) {
                return T(numbers[(i + static_cast<std::size_t>(of) * 5) % numbers.size()]);
            };
            std::vector<T> mine;
            for (std::size_t i = 0; i < numbers.size(); ++i) mine.push_back(element(rank.rank, i));
            for (const auto op : {ncclSum, ncclProd, ncclMax, ncclMin, ncclAvg}) {
                const Buffer<T> data(mine);
                rank.done(
                    ncclAllReduce(data.get(), data.get(), mine.size(), Small<T>::type, op, rank.comm, rank.stream),
                    "op");
                const auto results = data.values();
                for (std::size_t i = 0; i < results.size(); ++i) {
                    float wide = static_cast<float>(element(0, i));
                    for (int other = 1; other < rank.size; ++other) {
                        const auto next = static_cast<float>(element(other, i));
                        if (op == ncclProd)
                            wide *= next;
                        else if (op == ncclMax)
                            wide = std::max(wide, next);
                        else if (op == ncclMin)
                            wide = std::min(wide, next);
                        else
                            wide += next;
                    }
                    if (op == ncclAvg) wide /= static_cast<float>(rank.size);
                    const auto expected = static_cast<float>(T(wide));
                    const auto got = static_cast<float>(results[i]);
                    check(got == expected || (std::isnan(got) && std::isnan(expected)),
                          std::to_string(op) + " of " + std::to_string(size) + ": " + std::to_string(got) + ", not " +
                              std::to_string(expected));
                }
            }
        });
    }
}

} // namespace

TEST_CASE("half precision") { check_type<__half>(65504.0f); }

TEST_CASE("bfloat16") { check_type<__nv_bfloat16>(3e38f); }

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 24, 3)
TEST_CASE("float8 e4m3") { check_type<__nv_fp8_e4m3>(448.0f); }

TEST_CASE("float8 e5m2") { check_type<__nv_fp8_e5m2>(57344.0f); }
#endif
