// SPDX-License-Identifier: Apache-2.0
#include <muster/roll_call/nodes.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <utility>
#include <vector>

using muster::nodes_of;
using muster::Record;

namespace {

/// Host name and boot id of each rank.
std::vector<Record> records(const std::vector<std::pair<std::string, std::string>>& places) {
    std::vector<Record> all;
    for (const auto& [host, boot_id] : places) {
        Record record;
        record.rank = static_cast<int>(all.size());
        record.host = host;
        record.boot_id = boot_id;
        all.push_back(record);
    }
    return all;
}

} // namespace

TEST_CASE("one host name with one boot id is one node") {
    const auto nodes = nodes_of(records({{"gpu02", "b"}, {"gpu02", "b"}, {"gpu01", "a"}, {"gpu02", "b"}}));
    nodes.check(4);
    CHECK_FALSE(nodes.cross(std::vector{0, 1, 3}));
    CHECK(nodes.node_of(2) == 1);
    CHECK(nodes.name(0) == "gpu02");
    CHECK(nodes.name(1) == "gpu01");
}

TEST_CASE("machines of one name are told apart") {
    const auto nodes = nodes_of(records({{"image", "a"}, {"image", "b"}, {"other", "b"}}));
    CHECK(nodes.cross(std::vector{0, 1}));
    CHECK(nodes.cross(std::vector{1, 2}));
    CHECK(nodes.name(0) == "image (boot id a)");
    CHECK(nodes.name(1) == "image (boot id b)");
    CHECK(nodes.name(2) == "other");
}
