// SPDX-License-Identifier: Apache-2.0
#include <muster/roll_call/verdict.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <string>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using muster::errc;
using muster::Record;
using muster::Stage;
using namespace muster::detail;

namespace {

std::vector<Record> world(int size) {
    std::vector<Record> records;
    for (int rank = 0; rank < size; ++rank) {
        Record record;
        record.rank = rank;
        record.world_size = size;
        record.nonce = std::to_string(rank);
        record.host = rank < size / 2 ? "gpu01" : "gpu02";
        record.pid = 4000 + rank;
        record.launch_sources = "RANK, WORLD_SIZE";
        record.backend = "gloo";
        record.mesh = "dp=2 tp=2 cp=1";
        records.push_back(record);
    }
    return records;
}

} // namespace

TEST_CASE("a world in order is a world in order") { CHECK_FALSE(examine(world(4))); }

TEST_CASE("missing ranks are all named, and so are those that arrived") {
    auto present = world(8);
    present.erase(present.begin() + 5);
    present.erase(present.begin() + 3);
    CHECK(absent(8, present) == std::vector{3, 5});
    const Finding finding = missing_ranks(8, present, std::chrono::seconds(30));
    CHECK(finding.code == errc::missing_ranks);
    CHECK(finding.ranks == std::vector{3, 5});
    CHECK_THAT(finding.text, StartsWith("2 of 8 ranks did not arrive within 30 s: 3, 5\n  arrived: 0 (gpu01:4000), "
                                        "1 (gpu01:4001), 2 (gpu01:4002), 4 (gpu02:4004)"));
}

TEST_CASE("nobody is missing when the last came after others had given up") {
    const Finding finding = missing_ranks(4, world(4), std::chrono::seconds(30));
    CHECK(finding.code == errc::timeout);
    CHECK_THAT(finding.text, StartsWith("all 4 ranks came, but not within 30 s"));
}

TEST_CASE("a long list of processes ends in a number") {
    CHECK_THAT(missing_ranks(2000, world(1000), std::chrono::seconds(30)).text,
               ContainsSubstring("15 (gpu01:4015), and 984 more"));
}

TEST_CASE("disagreement names the smaller groups") {
    auto records = world(4);
    SECTION("the world size, and where it came from") {
        records[2].world_size = 8;
        records[2].launch_sources = "RANK, WORLD_SIZE";
        const auto finding = examine(records);
        REQUIRE(finding);
        CHECK(finding->code == errc::disagreement);
        CHECK(finding->ranks == std::vector{2});
        CHECK_THAT(finding->text, StartsWith("ranks disagree on the world size\n"
                                             "  4, from RANK, WORLD_SIZE: ranks 0 (gpu01:4000), 1 (gpu01:4001), 3 "
                                             "(gpu02:4003)\n"
                                             "  8, from RANK, WORLD_SIZE: rank 2 (gpu02:4002)\n  do: "));
    }
    SECTION("the mesh") {
        records[1].mesh = "dp=1 tp=4 cp=1";
        CHECK_THAT(examine(records)->text, StartsWith("ranks disagree on the mesh"));
        CHECK(examine(records)->ranks == std::vector{1});
    }
    SECTION("the version") {
        records[3].library = "0.0.9";
        CHECK_THAT(examine(records)->text, StartsWith("ranks disagree on the version of muster"));
    }
    SECTION("the protocol, which comes before everything that a newer one may have changed") {
        records[3].protocol = 2;
        records[3].world_size = -1;
        CHECK_THAT(examine(records)->text, StartsWith("ranks disagree on the roll call protocol"));
    }
    SECTION("a fact of the backend, also where only some have it") {
        for (auto& record : records) record.must_equal["NCCL version"] = "2.28.9";
        CHECK_FALSE(examine(records));
        records[0].must_equal["NCCL version"] = "2.27.3";
        CHECK_THAT(examine(records)->text, StartsWith("ranks disagree on NCCL version"));
        records[0].must_equal.clear();
        CHECK_THAT(examine(records)->text, ContainsSubstring("none: rank 0"));
    }
    SECTION("where a number comes from may differ") {
        records[1].launch_sources = "OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE";
        CHECK_FALSE(examine(records));
    }
}

TEST_CASE("a doubled rank names both processes") {
    auto records = world(4);
    records.push_back(records[2]);
    records.back().pid = 99;
    const auto finding = examine(records);
    REQUIRE(finding);
    CHECK(finding->code == errc::duplicate_rank);
    CHECK(finding->ranks == std::vector{2});
    CHECK_THAT(finding->text, ContainsSubstring("rank 2: gpu02:4002, gpu02:99"));
}

TEST_CASE("failures before the roll call") {
    auto records = world(4);
    SECTION("one rank is named") {
        records[1].failure = {errc::device, Stage::device, "no device\n  seen: none"};
        const auto finding = examine(records);
        REQUIRE(finding);
        CHECK(finding->code == errc::remote);
        CHECK(finding->stage == Stage::device);
        CHECK(finding->ranks == std::vector{1});
        CHECK_THAT(finding->text, ContainsSubstring("\n  rank 1 (gpu01:4001) failed before it: no device\n    seen"));
    }
    SECTION("the same mistake on all ranks stands alone") {
        for (auto& record : records) record.failure = {errc::world_mismatch, Stage::topology, "world size 4 ..."};
        const auto finding = examine(records);
        REQUIRE(finding);
        CHECK(finding->code == errc::world_mismatch);
        CHECK(finding->text == "world size 4 ...");
    }
}

TEST_CASE("a finding travels") {
    const Finding sent{errc::missing_ranks, Stage::commit, "text\n  more", {3, 5, 1000}};
    const Finding read = Finding::decode(Fields::decode(sent.encode()));
    CHECK(read.code == sent.code);
    CHECK(read.stage == sent.stage);
    CHECK(read.text == sent.text);
    CHECK(read.ranks == sent.ranks);
    try {
        read.raise(1);
    } catch (const muster::Error& error) {
        CHECK(error.rank() == 1);
        CHECK(error.shared());
        CHECK(error.ranks() == sent.ranks);
        CHECK(error.text() == sent.text);
    }
}
