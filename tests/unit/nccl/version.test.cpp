// SPDX-License-Identifier: Apache-2.0
#include <muster/nccl/version.hpp>

#include <catch2/catch_test_macros.hpp>
#include <nccl.h>

#include <filesystem>
#include <string>
#include <vector>

using muster::errc;
using muster::Error;
using namespace muster::detail;

static_assert(nccl_version(2, 18, 5) == 21805);
static_assert(nccl_version(NCCL_MAJOR, NCCL_MINOR, NCCL_PATCH) == NCCL_VERSION_CODE);
static_assert(nccl_version(2, 27, 3) == NCCL_VERSION(2, 27, 3));

namespace {

/// The text of the Error that the check throws; an empty text when it throws none.
std::string refusal(int found, int header) {
    try {
        require_nccl_library(found, header, "/opt/libnccl.so.2", 3);
        return {};
    } catch (const Error& error) {
        CHECK(error.code() == errc::backend);
        CHECK(error.stage() == muster::Stage::device);
        CHECK(error.rank() == 3);
        CHECK(error.ranks() == std::vector{3});
        return std::string(error.text());
    }
}

} // namespace

TEST_CASE("versions as people write them") {
    CHECK(nccl_version_text(21805) == "2.18.5");
    CHECK(nccl_version_text(22809) == "2.28.9");
    CHECK(nccl_version_text(23012) == "2.30.12");
    CHECK(nccl_version_text(30000) == "3.0.0");
}

TEST_CASE("a library as new as its header, or newer, is in order") {
    CHECK(refusal(22809, 22809).empty());
    CHECK(refusal(22810, 22809).empty());
    CHECK(refusal(23003, 21805).empty());
    CHECK(refusal(nccl_floor, nccl_floor).empty());
}

TEST_CASE("an older library is refused with both versions and its file") {
    CHECK(refusal(22703, 22809) ==
          "NCCL 2.27.3 is too old: this program was built with nccl.h 2.28.9\n  seen: /opt/libnccl.so.2\n  do: put "
          "the libnccl.so.2 of 2.28.9 or newer first in LD_LIBRARY_PATH, or build with the older nccl.h");
    CHECK_FALSE(refusal(22808, 22809).empty());
    // One that does not tell its version.
    CHECK_FALSE(refusal(0, nccl_floor).empty());
    CHECK_FALSE(refusal(nccl_floor - 1, nccl_floor - 1).empty());
}

TEST_CASE("the library that is loaded tells its version and its file") {
    CHECK(nccl_library_version() >= NCCL_VERSION_CODE);
    const std::filesystem::path file = nccl_library_path();
    CAPTURE(file);
    REQUIRE(std::filesystem::exists(file));
    CHECK_FALSE(std::filesystem::equivalent(file, "/proc/self/exe"));
}
