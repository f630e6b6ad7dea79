// SPDX-License-Identifier: Apache-2.0
#include <muster/topology/errors.hpp>
#include <muster/topology/topology.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <optional>
#include <string>
#include <string_view>

using muster::Axis;
using muster::Cp;
using muster::Dp;
using muster::dynamic;
using muster::errc;
using muster::Error;
using muster::Pp;
using muster::Stage;
using muster::Topology;
using muster::Topology3D;
using muster::Tp;

namespace {

// The error that `call` throws; none, and the checks on it fail, when it throws none.
template <class Call>
std::optional<Error> error_of(Call call) {
    try {
        static_cast<void>(call());
    } catch (const Error& error) {
        return error;
    }
    return std::nullopt;
}

void check_error(const std::optional<Error>& error, errc code, std::string_view text) {
    REQUIRE(error.has_value());
    CHECK(error->code() == code);
    CHECK(error->stage() == Stage::topology);
    CHECK(error->text() == text);
}

using OpenDp = Topology3D<2, dynamic, 1>;
using Open = Topology<Axis<Dp>, Axis<Tp>, Axis<Cp>, Axis<Pp>>;

} // namespace

TEST_CASE("a world that is not the product") {
    SECTION("one open axis fits exactly") {
        check_error(error_of([] { return OpenDp::for_world(6, 2); }), errc::world_mismatch,
                    "world size 6 does not equal DP (2) * TP (2) * CP (1) = 4\n"
                    "  nearest that fit: DP=3 with 6 ranks, or 4 ranks");
    }
    SECTION("the origin of the numbers follows the first line, indented") {
        check_error(error_of([] {
                        return OpenDp::for_world(6, std::array{2},
                                                 "world size: 6, from WORLD_SIZE (torchrun)\nDP: 2, from DP_SIZE");
                    }),
                    errc::world_mismatch,
                    "world size 6 does not equal DP (2) * TP (2) * CP (1) = 4\n"
                    "  world size: 6, from WORLD_SIZE (torchrun)\n"
                    "  DP: 2, from DP_SIZE\n"
                    "  nearest that fit: DP=3 with 6 ranks, or 4 ranks");
    }
    SECTION("no axis fits exactly: the worlds below and above") {
        check_error(error_of([] { return Topology3D<2, 2, 1>::for_world(7); }), errc::world_mismatch,
                    "world size 7 does not equal DP (2) * TP (2) * CP (1) = 4\n"
                    "  nearest that fit: DP=3 with 6 ranks, DP=4 with 8 ranks, or 4 ranks");
    }
    SECTION("the extent that the axis has is not offered a second time") {
        check_error(error_of([] { return Topology3D<2, 2, 1>::for_world(3); }), errc::world_mismatch,
                    "world size 3 does not equal DP (2) * TP (2) * CP (1) = 4\n"
                    "  nearest that fit: DP=1 with 2 ranks, or 4 ranks");
    }
    SECTION("an axis that the type fixes is not offered when another is open") {
        // TP=3 would fit exactly.
        check_error(error_of([] { return Topology3D<4, dynamic, 1>::for_world(6, 2); }), errc::world_mismatch,
                    "world size 6 does not equal DP (2) * TP (4) * CP (1) = 8\n"
                    "  nearest that fit: DP=1 with 4 ranks, or 8 ranks");
    }
    SECTION("when the type fixes all, the first that fits exactly") {
        check_error(error_of([] { return Topology3D<2, 3, 2>::for_world(6); }), errc::world_mismatch,
                    "world size 6 does not equal DP (3) * TP (2) * CP (2) = 12\n"
                    "  nearest that fit: TP=1 with 6 ranks, or 12 ranks");
    }
    SECTION("one axis, one rank") {
        check_error(error_of([] { return Topology<Axis<Dp, 1>>::for_world(2); }), errc::world_mismatch,
                    "world size 2 does not equal DP (1)\n"
                    "  nearest that fit: DP=2 with 2 ranks, or 1 rank");
    }
    SECTION("products beyond int and beyond 64 bits") {
        check_error(error_of([] { return Open::for_world(6, 100000, 100000, 1, 1); }), errc::world_mismatch,
                    "world size 6 does not equal DP (100000) * TP (100000) * CP (1) * PP (1) = 10000000000\n"
                    "  nearest that fit: DP=1 with 100000 ranks");
        constexpr int most = 2147483647;
        check_error(error_of([] { return Open::for_world(most, most, most, most, 1); }), errc::world_mismatch,
                    "world size 2147483647 does not equal DP (2147483647) * TP (2147483647) * CP (2147483647) * "
                    "PP (1) = more than 9223372036854775807\n"
                    "  nearest that fit: none, for a world has at most 2147483647 ranks");
    }
}

TEST_CASE("a world that leaves a remainder") {
    SECTION("the worlds below and above") {
        check_error(error_of([] { return Topology3D<3, dynamic, 1>::for_world(8); }), errc::world_mismatch,
                    "world size 8 is not divisible by TP (3) * CP (1) = 3, so DP cannot be inferred\n"
                    "  nearest that fit: DP=2 with 6 ranks, or DP=3 with 9 ranks");
    }
    SECTION("a world that is too small") {
        check_error(error_of([] { return Topology<Axis<Tp, 5>, Axis<Dp>>::for_world(3); }), errc::world_mismatch,
                    "world size 3 is not divisible by TP (5), so DP cannot be inferred\n"
                    "  nearest that fit: DP=1 with 5 ranks");
    }
    SECTION("with the origin of the numbers") {
        check_error(error_of([] { return OpenDp::for_world(5, std::array{dynamic}, "world size: 5, from srun"); }),
                    errc::world_mismatch,
                    "world size 5 is not divisible by TP (2) * CP (1) = 2, so DP cannot be inferred\n"
                    "  world size: 5, from srun\n"
                    "  nearest that fit: DP=2 with 4 ranks, or DP=3 with 6 ranks");
    }
}

TEST_CASE("numbers that are none of a topology") {
    check_error(error_of([] { return Topology3D<2, 2, 1>::for_world(0, {}, "world size: 0, from WORLD_SIZE"); }),
                errc::invalid_argument,
                "world size 0 is no number of ranks: it must be at least 1\n  world size: 0, from WORLD_SIZE");
    check_error(error_of([] { return OpenDp::for_world(-4); }), errc::invalid_argument,
                "world size -4 is no number of ranks: it must be at least 1");
    check_error(error_of([] { return OpenDp::for_world(4, 0); }), errc::invalid_argument,
                "DP is 0, but an extent must be at least 1 (1 when the axis is not used)");
    check_error(error_of([] { return OpenDp::for_world(4, -1); }), errc::invalid_argument,
                "DP is -1, but an extent must be at least 1 (1 when the axis is not used)");
    check_error(error_of([] { return Open::for_world(8, 2, dynamic, 1, dynamic); }), errc::invalid_argument,
                "TP and PP cannot both be inferred from world size 8: give all extents but one");
}

TEST_CASE("ranks and coordinates outside the topology") {
    static constexpr OpenDp t = OpenDp::for_world(8);
    const std::string range = "is outside the topology dp=4 tp=2 cp=1, whose ranks are 0 to 7";
    check_error(error_of([] { return t.coordinate(8); }), errc::invalid_argument, "rank 8 " + range);
    check_error(error_of([] { return t.coordinate(-1); }), errc::invalid_argument, "rank -1 " + range);
    check_error(error_of([] { return t.coordinate<Tp>(8); }), errc::invalid_argument, "rank 8 " + range);
    check_error(error_of([] { return t.group<Tp>(9); }), errc::invalid_argument, "rank 9 " + range);
    check_error(error_of([] {
                    return t.rank_of({4, 0, 0});
                }),
                errc::invalid_argument,
                "the DP coordinate 4 is outside the topology dp=4 tp=2 cp=1, where it is 0 to 3");
    check_error(error_of([] {
                    return t.rank_of({0, -1, 0});
                }),
                errc::invalid_argument,
                "the TP coordinate -1 is outside the topology dp=4 tp=2 cp=1, where it is 0 to 1");
    check_error(error_of([] {
                    return t.rank_of({0, 0, 1});
                }),
                errc::invalid_argument,
                "the CP coordinate 1 is outside the topology dp=4 tp=2 cp=1, where it is 0 to 0");
}

TEST_CASE("a conversion to a type that says otherwise") {
    const auto t = OpenDp::for_world(8);
    check_error(error_of([&] { return Topology3D<2, 2, 1>(t); }), errc::invalid_argument,
                "the topology dp=4 tp=2 cp=1 cannot be converted: its DP is 4, the new type fixes DP to 2");
}

TEST_CASE("the text of a mismatch without an exception") {
    constexpr std::array<std::string_view, 2> names{"dp_shard", "tp"};
    constexpr std::array<int, 2> types{dynamic, 4};
    constexpr std::array<int, 2> extents{3, 4};
    CHECK(muster::detail::mismatch_text(8, {names, types}, extents, "DP_SHARD: 3, from the constructor") ==
          "world size 8 does not equal DP_SHARD (3) * TP (4) = 12\n"
          "  DP_SHARD: 3, from the constructor\n"
          "  nearest that fit: DP_SHARD=2 with 8 ranks, or 12 ranks");
}
