// SPDX-License-Identifier: Apache-2.0
#include <muster/roll_call/verdict.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <cstddef>
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

TEST_CASE("a world in order is a world in order") { CHECK_FALSE(examine(refs(world(4)))); }

TEST_CASE("missing ranks are all named, and so are those that arrived") {
    auto present = world(8);
    present.erase(present.begin() + 5);
    present.erase(present.begin() + 3);
    CHECK(absent(8, refs(present)) == std::vector{3, 5});
    const Finding finding = missing_ranks(8, refs(present), std::chrono::seconds(30));
    CHECK(finding.code == errc::missing_ranks);
    CHECK(finding.ranks == std::vector{3, 5});
    CHECK_THAT(finding.text, StartsWith("2 of 8 ranks did not arrive within 30 s: 3, 5\n  arrived: 0 (gpu01:4000), "
                                        "1 (gpu01:4001), 2 (gpu01:4002), 4 (gpu02:4004)"));
}

TEST_CASE("nobody is missing when the last came after others had given up") {
    const auto records = world(4);
    const Finding finding = missing_ranks(4, refs(records), std::chrono::seconds(30));
    CHECK(finding.code == errc::timeout);
    CHECK_THAT(finding.text, StartsWith("all 4 ranks came, but not within 30 s"));
}

TEST_CASE("a long list of processes ends in a number") {
    const auto records = world(1000);
    CHECK_THAT(missing_ranks(2000, refs(records), std::chrono::seconds(30)).text,
               ContainsSubstring("15 (gpu01:4015), and 984 more"));
}

TEST_CASE("disagreement names the smaller groups") {
    auto records = world(4);
    SECTION("the world size, and where it came from") {
        records[2].world_size = 8;
        records[2].launch_sources = "RANK, WORLD_SIZE";
        const auto finding = examine(refs(records));
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
        CHECK_THAT(examine(refs(records))->text, StartsWith("ranks disagree on the mesh"));
        CHECK(examine(refs(records))->ranks == std::vector{1});
    }
    SECTION("the version") {
        records[3].library = "0.0.9";
        CHECK_THAT(examine(refs(records))->text, StartsWith("ranks disagree on the version of muster"));
    }
    SECTION("the protocol, which comes before everything that a newer one may have changed") {
        records[3].protocol = 2;
        records[3].world_size = -1;
        CHECK_THAT(examine(refs(records))->text, StartsWith("ranks disagree on the roll call protocol"));
    }
    SECTION("a fact of the backend, also where only some have it") {
        for (auto& record : records) record.must_equal["NCCL version"] = "2.28.9";
        CHECK_FALSE(examine(refs(records)));
        records[0].must_equal["NCCL version"] = "2.27.3";
        CHECK_THAT(examine(refs(records))->text, StartsWith("ranks disagree on NCCL version"));
        records[0].must_equal.clear();
        CHECK_THAT(examine(refs(records))->text, ContainsSubstring("none: rank 0"));
    }
    SECTION("where a number comes from may differ") {
        records[1].launch_sources = "OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE";
        CHECK_FALSE(examine(refs(records)));
    }
}

TEST_CASE("a doubled rank names both processes") {
    auto records = world(4);
    records.push_back(records[2]);
    records.back().pid = 99;
    const auto finding = examine(refs(records));
    REQUIRE(finding);
    CHECK(finding->code == errc::duplicate_rank);
    CHECK(finding->ranks == std::vector{2});
    CHECK_THAT(finding->text, ContainsSubstring("rank 2: gpu02:4002, gpu02:99"));
}

TEST_CASE("a GPU that several ranks chose is named with all of them, and what chose it") {
    auto records = world(4);
    for (std::size_t rank = 0; rank < 4; ++rank) {
        records[rank].exclusive = "GPU-" + std::to_string(rank);
        records[rank].device_source = "LOCAL_RANK=" + std::to_string(rank % 2);
    }
    CHECK_FALSE(examine(refs(records)));
    SECTION("two ranks") {
        records[3].exclusive = records[2].exclusive;
        const auto finding = examine(refs(records));
        REQUIRE(finding);
        CHECK(finding->code == errc::device);
        CHECK(finding->stage == Stage::roll_call);
        CHECK(finding->ranks == std::vector{2, 3});
        CHECK(finding->text ==
              "ranks 2 and 3 both use GPU GPU-2 on host gpu02\n  rank 2 (gpu02:4002): LOCAL_RANK=0\n  rank 3 "
              "(gpu02:4003): LOCAL_RANK=1\n  do: give every rank of a host a GPU of its own: a LOCAL_RANK of its own, "
              "or another CUDA_VISIBLE_DEVICES");
    }
    SECTION("three ranks, whose host has two names: only the GPU counts") {
        for (const std::size_t rank : {0U, 1U, 3U}) records[rank].exclusive = "GPU-x";
        const auto finding = examine(refs(records));
        REQUIRE(finding);
        CHECK(finding->ranks == std::vector{0, 1, 3});
        CHECK_THAT(finding->text, StartsWith("ranks 0, 1, 3 all use GPU GPU-x on host gpu01\n"
                                             "  rank 0 (gpu01:4000): LOCAL_RANK=0\n"
                                             "  rank 1 (gpu01:4001): LOCAL_RANK=1\n"
                                             "  rank 3 (gpu02:4003): LOCAL_RANK=1\n  do: "));
    }
    SECTION("of several such GPUs one is spelled out") {
        records[1].exclusive = records[0].exclusive;
        records[3].exclusive = records[2].exclusive;
        CHECK(examine(refs(records))->ranks == std::vector{0, 1});
    }
    SECTION("a device that may be shared has no name to compare") {
        for (auto& record : records) record.exclusive.clear();
        CHECK_FALSE(examine(refs(records)));
        records[1].exclusive = "GPU-1"; // also where others say nothing
        CHECK_FALSE(examine(refs(records)));
    }
    SECTION("what is likelier to be the cause comes first") {
        for (auto& record : records) record.exclusive = "GPU-0";
        records[1].mesh = "dp=4 tp=1 cp=1";
        CHECK(examine(refs(records))->code == errc::disagreement);
    }
}

TEST_CASE("a record travels, with what says of its device") {
    Record sent = world(2)[1];
    sent.device = "cuda:2,0000:41:00.0,GPU-8f3c";
    sent.exclusive = "GPU-8f3c";
    sent.device_source = "LOCAL_RANK=2, CUDA_VISIBLE_DEVICES 0,1,2";
    sent.must_equal = {{"the version of NCCL", "2.28.9"}};
    sent.failure = {errc::device, Stage::device, "no device"};
    const Record read = to_record(to_fields(sent).encode());
    CHECK(read.rank == 1);
    CHECK(read.device == sent.device);
    CHECK(read.exclusive == sent.exclusive);
    CHECK(read.device_source == sent.device_source);
    CHECK(read.must_equal == sent.must_equal);
    REQUIRE(read.failure);
    CHECK(read.failure->code == errc::device);
    CHECK(read.failure->text == "no device");
    // A record that lacks them, as an older muster sends it.
    const Record bare = to_record(Fields().encode());
    CHECK(bare.exclusive.empty());
    CHECK(bare.device_source.empty());
    CHECK_FALSE(bare.failure);
}

TEST_CASE("a rank that no world has is no rank") {
    for (const int rank : {-1, 4, 1000}) {
        auto records = world(4);
        records[3].rank = rank;
        const auto finding = examine(refs(records));
        REQUIRE(finding);
        CHECK(finding->code == errc::disagreement);
        CHECK(finding->ranks == std::vector{rank});
        CHECK_THAT(finding->text, StartsWith("somebody claims to be what is no rank of its world of 4"));
    }
}

TEST_CASE("failures before the roll call") {
    auto records = world(4);
    SECTION("one rank is named") {
        records[1].failure = {errc::device, Stage::device, "no device\n  seen: none"};
        const auto finding = examine(refs(records));
        REQUIRE(finding);
        CHECK(finding->code == errc::remote);
        CHECK(finding->stage == Stage::device);
        CHECK(finding->ranks == std::vector{1});
        CHECK_THAT(finding->text, ContainsSubstring("\n  rank 1 (gpu01:4001) failed before it: no device\n    seen"));
    }
    SECTION("the same mistake on all ranks stands alone") {
        for (auto& record : records) record.failure = {errc::world_mismatch, Stage::topology, "world size 4 ..."};
        const auto finding = examine(refs(records));
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
