// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/roll_call/record.hpp>
#include <muster/topology/nodes.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// Where the ranks of a roll call sit: on one node where both host name and boot id are the same. Nodes go by their
/// host names; one whose name another node has too shows its boot id.
[[nodiscard]] inline Nodes nodes_of(std::span<const Record> records) {
    std::vector<const Record*> first; // of each node
    std::vector<int> node_of_rank;
    for (const Record& record : records) {
        // From the last on: consecutive ranks mostly share a node.
        std::size_t end = first.size();
        while (end > 0 && !same_node(*first[end - 1], record)) --end;
        if (end == 0) {
            first.push_back(&record);
            end = first.size();
        }
        node_of_rank.push_back(static_cast<int>(end) - 1);
    }
    std::vector<std::string> names;
    for (const Record* record : first) {
        const auto namesakes =
            std::count_if(first.begin(), first.end(), [&](const Record* other) { return other->host == record->host; });
        names.push_back(namesakes == 1 ? record->host : record->host + " (boot id " + record->boot_id + ')');
    }
    return Nodes::by_rank(std::move(node_of_rank), std::move(names));
}

} // namespace muster::inline v0_1
