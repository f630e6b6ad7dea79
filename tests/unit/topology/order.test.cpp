// SPDX-License-Identifier: Apache-2.0
#include <muster/topology.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using muster::Axis;
using muster::Cp;
using muster::Dp;
using muster::Ep;
using muster::megatron_order;
using muster::OrderedTopology;
using muster::Pp;
using muster::Topology;
using muster::Tp;

// The example in the documentation of Megatron's initialize_model_parallel: 16 ranks, TP 2, PP 4.
using Documented = OrderedTopology<megatron_order("tp-cp-ep-dp-pp"), Axis<Tp, 2>, Axis<Dp>, Axis<Pp, 4>>;
static_assert(std::same_as<Documented, Topology<Axis<Pp, 4>, Axis<Dp>, Axis<Ep, 1>, Axis<Cp, 1>, Axis<Tp, 2>>>);
static_assert(Documented::for_world(16).group<Tp>(3) == std::vector{2, 3});
static_assert(Documented::for_world(16).group<Dp>(4) == std::vector{4, 6});
static_assert(Documented::for_world(16).group<Pp>(0) == std::vector{0, 4, 8, 12});
static_assert(std::same_as<OrderedTopology<megatron_order("cp-tp-dp"), Axis<Dp, 2>, Axis<Tp, 2>, Axis<Cp, 2>>,
                           muster::Topology3D<2, 2, 2>>);

TEST_CASE("Megatron's order names the fastest axis first") {
    const auto order = megatron_order("tp-cp-ep-dp-pp");
    CHECK(order.count == 5);
    CHECK(order.name(0) == "pp");
    CHECK(order.name(4) == "tp");
    CHECK(megatron_order("tp").name(0) == "tp");
    CHECK(megatron_order("tp-dp") != megatron_order("dp-tp"));
}

TEST_CASE("an order with a mistake is refused with the token") {
    const auto [order, words] =
        GENERATE(std::pair<std::string, std::string>{"tp-xx-dp", "\"tp-xx-dp\" names \"xx\", which is no axis"},
                 std::pair<std::string, std::string>{"tp-tp-dp", "\"tp-tp-dp\" names \"tp\" twice"},
                 std::pair<std::string, std::string>{"", "names \"\", which is no axis"},
                 std::pair<std::string, std::string>{"tp-", "\"tp-\" names \"\", which is no axis"},
                 std::pair<std::string, std::string>{"TP-dp", "names \"TP\", which is no axis"},
                 std::pair<std::string, std::string>{"tp-cp-ep-dp-pp-tp", "names \"tp\" twice"},
                 std::pair<std::string, std::string>{"tp cp", "names \"tp cp\", which is no axis"});
    try {
        (void)megatron_order(order);
        FAIL("no error");
    } catch (const muster::Error& error) {
        CHECK(error.code() == muster::errc::invalid_argument);
        CHECK_THAT(std::string(error.text()), ContainsSubstring(words));
    }
}
