// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo/arithmetic.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cstdint>
#include <limits>
#include <set>
#include <span>

using namespace muster::detail;
using muster::Avg;
using muster::Max;
using muster::Min;
using muster::PremulSum;
using muster::Prod;
using muster::Sum;

static_assert(combine<Sum>(2, 3) == 5 && combine<Prod>(2, 3) == 6 && combine<Min>(2, 3) == 2 &&
              combine<Max>(2, 3) == 3);
static_assert(combine<Avg>(2, 3) == 5 && combine<PremulSum<int>>(2, 3) == 5);
static_assert(combine<Sum>(0.5, 0.25) == 0.75);

// Integers wrap, whatever they are promoted to.
static_assert(add(std::numeric_limits<int>::max(), 1) == std::numeric_limits<int>::min());
static_assert(multiply(std::uint16_t{65535}, std::uint16_t{65535}) == 1);
static_assert(add(std::int8_t{127}, std::int8_t{1}) == -128);
static_assert(multiply(std::numeric_limits<std::int64_t>::min(), std::int64_t{-1}) ==
              std::numeric_limits<std::int64_t>::min());

TEST_CASE("combine_all may write onto its operands") {
    std::array a{1, 2, 3};
    const std::array b{10, 20, 30};
    combine_all<Sum, int>(a.data(), a.data(), b.data(), a.size());
    CHECK(a == std::array{11, 22, 33});
    combine_all<Max, int>(a.data(), b.data(), a.data(), a.size());
    CHECK(a == std::array{11, 22, 33});
}

TEST_CASE("averages round toward zero in groups larger than the type") {
    std::array<std::int8_t, 3> small{-7, 7, 127};
    finish<Avg, std::int8_t>(small, 2);
    CHECK(small == std::array<std::int8_t, 3>{-3, 3, 63});
    finish<Avg, std::int8_t>(small, 300);
    CHECK(small == std::array<std::int8_t, 3>{0, 0, 0});
    std::array<std::uint64_t, 1> large{std::numeric_limits<std::uint64_t>::max()};
    finish<Avg, std::uint64_t>(large, 2);
    CHECK(large[0] == std::numeric_limits<std::uint64_t>::max() / 2);
    std::array<float, 1> real{1.0F};
    finish<Avg, float>(real, 4);
    CHECK(real[0] == 0.25F);
    finish<Sum, float>(real, 4);
    CHECK(real[0] == 0.25F);
}

TEST_CASE("prepare multiplies or copies") {
    const std::array in{1, 2, 3};
    std::array out{0, 0, 0};
    prepare(std::span<const int>(in), std::span<int>(out), Sum{});
    CHECK(out == in);
    prepare(std::span<const int>(out), std::span<int>(out), muster::premul_sum(3));
    CHECK(out == std::array{3, 6, 9});
}

TEST_CASE("types and operations that cannot meet have different numbers") {
    CHECK(std::set{type_number<std::int8_t>, type_number<std::uint8_t>, type_number<std::int32_t>,
                   type_number<std::uint32_t>, type_number<float>, type_number<std::int64_t>,
                   type_number<std::uint64_t>, type_number<double>, type_number<std::int16_t>,
                   type_number<std::uint16_t>}
              .size() == 10);
    CHECK(type_number<long> == type_number<std::int64_t>);
    CHECK(std::set{operation_number<Sum>, operation_number<Prod>, operation_number<Min>, operation_number<Max>,
                   operation_number<Avg>, operation_number<PremulSum<int>>}
              .size() == 6);
}
