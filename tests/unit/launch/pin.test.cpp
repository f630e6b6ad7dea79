// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/pin.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

using muster::errc;
using muster::Error;
using muster::Launch;
using muster::detail::choose_device;

namespace {

/// Rank 5 as torchrun starts it.
Launch with_local_rank(int local_rank) {
    Launch launch;
    launch.rank = 5;
    launch.world_size = 8;
    launch.local_rank = local_rank;
    launch.launcher = "torchrun";
    launch.from.local_rank = "LOCAL_RANK";
    return launch;
}

/// Rank 5 of a launcher that does not tell.
Launch without_local_rank() {
    Launch launch = with_local_rank(0);
    launch.local_rank.reset();
    launch.launcher = "environment";
    launch.from.local_rank.clear();
    return launch;
}

/// The text of the Error that the choice throws; an empty text when it throws none.
std::string refusal(const Launch& launch, std::optional<int> wanted, int visible) {
    try {
        (void)choose_device(launch, wanted, visible);
        return {};
    } catch (const Error& error) {
        CHECK(error.code() == errc::device);
        CHECK(error.stage() == muster::Stage::device);
        CHECK(error.rank() == 5);
        CHECK(error.ranks() == std::vector{5});
        CHECK_FALSE(error.shared());
        return std::string(error.text());
    }
}

void check_choice(const Launch& launch, std::optional<int> wanted, int visible, int ordinal, std::string_view from) {
    const auto choice = choose_device(launch, wanted, visible);
    CHECK(choice.ordinal == ordinal);
    CHECK(choice.from == from);
}

} // namespace

TEST_CASE("a GPU that is asked for beats the local rank") {
    check_choice(with_local_rank(1), 3, 4, 3, "Options::device");
    check_choice(with_local_rank(1), 0, 4, 0, "Options::device");
    check_choice(without_local_rank(), 0, 1, 0, "Options::device");
    // Beyond what is visible, the local rank does not count.
    check_choice(with_local_rank(6), 2, 4, 2, "Options::device");
}

TEST_CASE("the local rank is the GPU's number, and says which variable it came from") {
    for (int local_rank = 0; local_rank < 8; ++local_rank)
        check_choice(with_local_rank(local_rank), {}, 8, local_rank, "LOCAL_RANK=" + std::to_string(local_rank));
    // Also where nobody knows the variable, as in a world of one.
    Launch launch;
    launch.local_rank = 0;
    check_choice(launch, {}, 4, 0, "the local rank=0");
}

TEST_CASE("the only visible GPU is it, whatever the local rank") {
    check_choice(with_local_rank(3), {}, 1, 0, "the only visible one");
    check_choice(without_local_rank(), {}, 1, 0, "the only visible one");
    check_choice(with_local_rank(0), {}, 1, 0, "LOCAL_RANK=0");
}

TEST_CASE("a local rank without a GPU is refused: no two ranks share one behind their backs") {
    const int visible = GENERATE(2, 4, 7);
    const int local_rank = visible + GENERATE(0, 1, 100);
    CHECK_FALSE(refusal(with_local_rank(local_rank), {}, visible).empty());
    CHECK(refusal(with_local_rank(visible - 1), {}, visible).empty());
}

TEST_CASE("a refused choice says what was seen and what to do") {
    Launch launch = with_local_rank(4);
    launch.environment = {{"CUDA_VISIBLE_DEVICES", "2,3"}};
    SECTION("the local rank") {
        CHECK(refusal(launch, {}, 2) ==
              "local rank 4 has no GPU of its own: this process sees 2\n  seen: LOCAL_RANK=4, CUDA_VISIBLE_DEVICES "
              "2,3\n  do: start at most 2 ranks on this host, or make more GPUs visible");
    }
    SECTION("a number that was asked for") {
        const int wanted = GENERATE(-1, 2, 64);
        CHECK(refusal(launch, wanted, 2) ==
              "GPU " + std::to_string(wanted) +
                  " was asked for, but this process sees 2\n  seen: CUDA_VISIBLE_DEVICES 2,3\n  do: give "
                  "Options::device a number from 0 to 1, or none");
    }
    SECTION("many GPUs and no local rank") {
        CHECK(refusal(without_local_rank(), {}, 2) ==
              "this process sees 2 GPUs and does not know which is its own\n  seen: CUDA_VISIBLE_DEVICES not set; no "
              "local rank from launcher 'environment'\n  do: set LOCAL_RANK, or Options::device");
    }
}
