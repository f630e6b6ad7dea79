// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/record.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1::detail {

/// An error as one rank writes it for all: everything of an Error but the reader's own rank.
struct Finding {
    errc code = errc::backend;
    Stage stage = Stage::roll_call;
    std::string text;
    std::vector<int> ranks;

    [[nodiscard]] std::string encode() const {
        Fields fields;
        fields.set("code", static_cast<int>(code));
        fields.set("stage", static_cast<int>(stage));
        fields.set("text", text);
        fields.set("ranks", joined(ranks, " "));
        return fields.encode();
    }

    [[nodiscard]] static Finding decode(const Fields& fields) {
        Finding finding{static_cast<errc>(fields.number("code", 0)),
                        static_cast<Stage>(fields.number("stage", 0)),
                        fields.get("text"),
                        {}};
        std::istringstream ranks(fields.get("ranks"));
        for (int rank = 0; ranks >> rank;) finding.ranks.push_back(rank);
        return finding;
    }

    /// Post: shared() holds, for every rank throws this text.
    [[noreturn]] void raise(int rank) const { throw Error(code, stage, text, {rank, ranks, true}); }
};

/// Records by reference: there may be thousands, and each is looked at many times.
using RecordRefs = std::vector<const Record*>;

[[nodiscard]] inline RecordRefs refs(std::span<const Record> records) {
    RecordRefs result;
    result.reserve(records.size());
    for (const Record& record : records) result.push_back(&record);
    return result;
}

/// Records of one rank stay in their order.
inline void sort_by_rank(RecordRefs& records) {
    std::stable_sort(records.begin(), records.end(),
                     [](const Record* a, const Record* b) { return a->rank < b->rank; });
}

/// "0 (gpu01:4121), 1 (gpu01:4122)": at most a screenful; the rest as a number.
[[nodiscard]] inline std::string process_list(const RecordRefs& records) {
    constexpr std::size_t most = 16;
    std::vector<std::string> parts;
    for (std::size_t i = 0; i < std::min(most, records.size()); ++i)
        parts.push_back(format("{} ({})", {records[i]->rank, process_name(*records[i])}));
    if (records.size() > most) parts.push_back(format("and {} more", {records.size() - most}));
    return joined(parts, ", ");
}

[[nodiscard]] inline std::vector<int> ranks_of(const RecordRefs& records) {
    std::vector<int> ranks;
    ranks.reserve(records.size());
    for (const Record* record : records) ranks.push_back(record->rank);
    std::sort(ranks.begin(), ranks.end());
    ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
    return ranks;
}

using FactOf = std::string (*)(const Record&);

/// Nothing when all values, one for each record, are the same; otherwise who says what, the largest group first.
/// `source` says of a group's first record where the value comes from.
[[nodiscard]] inline std::optional<Finding> compare(const RecordRefs& records, std::string_view what,
                                                    const std::vector<std::string>& values, std::string_view advice,
                                                    FactOf source = nullptr) {
    std::map<std::string, RecordRefs> groups;
    for (std::size_t i = 0; i < records.size(); ++i) groups[values[i]].push_back(records[i]);
    if (groups.size() < 2) return std::nullopt;
    Finding finding{errc::disagreement, Stage::roll_call, format("ranks disagree on {}", {what}), {}};
    for (bool first = true; !groups.empty(); first = false) {
        auto largest = groups.begin();
        for (auto each = groups.begin(); each != groups.end(); ++each)
            if (each->second.size() > largest->second.size()) largest = each;
        const auto& [value, group] = *largest;
        const std::string from = source != nullptr ? source(*group.front()) : std::string();
        finding.text += format("\n  {}{}: {} {}",
                               {value.empty() ? "none" : value, from.empty() ? from : format(", from {}", {from}),
                                group.size() == 1 ? "rank" : "ranks", process_list(group)});
        if (!first)
            for (const Record* record : group) finding.ranks.push_back(record->rank);
        groups.erase(largest);
    }
    std::sort(finding.ranks.begin(), finding.ranks.end());
    finding.text += format("\n  do: {}", {advice});
    return finding;
}

[[nodiscard]] inline std::optional<Finding> compare(const RecordRefs& records, std::string_view what, FactOf fact,
                                                    std::string_view advice, FactOf source = nullptr) {
    std::vector<std::string> values;
    values.reserve(records.size());
    for (const Record* record : records) values.push_back(fact(*record));
    return compare(records, what, values, advice, source);
}

/// Ranks that no world of their own size has: launch() refuses them, so that these records come from something else.
[[nodiscard]] inline std::optional<Finding> find_strangers(const RecordRefs& records) {
    RecordRefs strangers;
    for (const Record* record : records)
        if (record->rank < 0 || record->rank >= record->world_size) strangers.push_back(record);
    if (strangers.empty()) return std::nullopt;
    return Finding{errc::disagreement, Stage::roll_call,
                   format("somebody claims to be what is no rank of its world of {}: {}\n  do: look for another "
                          "program that uses this address",
                          {strangers.front()->world_size, process_list(strangers)}),
                   ranks_of(strangers)};
}

/// Two processes of one rank; only the first such rank is spelled out, the others are listed.
[[nodiscard]] inline std::optional<Finding> find_duplicates(const RecordRefs& records) {
    std::map<int, RecordRefs> claims;
    for (const Record* record : records) claims[record->rank].push_back(record);
    std::vector<int> doubled;
    std::vector<std::string> lines;
    for (const auto& [rank, claimants] : claims) {
        if (claimants.size() < 2) continue;
        doubled.push_back(rank);
        std::vector<std::string> processes;
        for (const Record* record : claimants) processes.push_back(process_name(*record));
        lines.push_back(format("rank {}: {}", {rank, joined(processes, ", ")}));
    }
    if (doubled.empty()) return std::nullopt;
    return Finding{errc::duplicate_rank, Stage::roll_call,
                   format("{} {} claimed by more than one process\n  {}\n  do: give every process a RANK of its "
                          "own; end an earlier run that still uses this address",
                          {ranks_text(doubled), doubled.size() == 1 ? "is" : "are", joined(lines, "\n  ")}),
                   doubled};
}

/// Ranks that failed before the roll call and came to tell. The same text from all stands alone, without names.
[[nodiscard]] inline std::optional<Finding> find_failures(const RecordRefs& records) {
    std::map<std::string, RecordRefs> groups;
    const Record* first = nullptr;
    for (const Record* record : records) {
        if (!record->failure) continue;
        if (first == nullptr) first = record;
        groups[record->failure->text].push_back(record);
    }
    if (first == nullptr) return std::nullopt;
    const auto& same = groups.begin()->second;
    if (groups.size() == 1 && same.size() == records.size())
        return Finding{first->failure->code, first->failure->stage, first->failure->text, ranks_of(records)};
    Finding finding{errc::remote, first->failure->stage, "not all ranks came to the roll call in order", {}};
    for (const auto& [text, group] : groups) {
        finding.text += format("\n  {} {} failed before it: {}",
                               {group.size() == 1 ? "rank" : "ranks", process_list(group), indented(text)});
        for (const Record* record : group) finding.ranks.push_back(record->rank);
    }
    std::sort(finding.ranks.begin(), finding.ranks.end());
    return finding;
}

/// Ranks that chose one device; only the first such device is spelled out.
[[nodiscard]] inline std::optional<Finding> find_shared_devices(const RecordRefs& records) {
    std::map<std::string, RecordRefs> users;
    for (const Record* record : records)
        if (!record->exclusive.empty()) users[record->exclusive].push_back(record);
    auto shared = users.begin();
    while (shared != users.end() && shared->second.size() < 2) ++shared;
    if (shared == users.end()) return std::nullopt;
    const auto& [device, group] = *shared;
    Finding finding{errc::device, Stage::roll_call, {}, ranks_of(group)};
    finding.text = finding.ranks.size() == 2
                       ? format("ranks {} and {} both", {finding.ranks.front(), finding.ranks.back()})
                       : format("{} all", {ranks_text(finding.ranks)});
    finding.text += format(" use GPU {} on host {}", {device, group.front()->host});
    for (const Record* record : group)
        finding.text += format("\n  rank {} ({}): {}", {record->rank, process_name(*record), record->device_source});
    finding.text +=
        "\n  do: give every rank of a host a GPU of its own: a LOCAL_RANK of its own, or another "
        "CUDA_VISIBLE_DEVICES";
    return finding;
}

/// The one thing to tell all ranks about those that are here: the first of the checks that fails, the likeliest cause
/// of the others first. Nothing when all is well.
[[nodiscard]] inline std::optional<Finding> examine(const RecordRefs& records) {
    if (auto found = compare(
            records, "the roll call protocol", [](const Record& r) { return std::to_string(r.protocol); },
            "build all ranks from one version of muster"))
        return found;
    if (auto found = compare(
            records, "the version of muster", [](const Record& r) { return r.library; },
            "build all ranks from one version of muster"))
        return found;
    if (auto found = compare(
            records, "the world size", [](const Record& r) { return std::to_string(r.world_size); },
            "start all ranks with one world size; end an earlier run that still uses this address",
            [](const Record& r) { return r.launch_sources; }))
        return found;
    if (auto found = find_strangers(records)) return found;
    if (auto found = find_duplicates(records)) return found;
    if (auto found = find_failures(records)) return found;
    if (auto found = compare(
            records, "the backend", [](const Record& r) { return r.backend; }, "run one program on all ranks"))
        return found;
    if (auto found = compare(
            records, "the mesh", [](const Record& r) { return r.mesh; },
            "give every rank the same axes, extents and order"))
        return found;
    std::set<std::string> names;
    for (const Record* record : records)
        for (const auto& fact : record->must_equal) names.insert(fact.first);
    for (const std::string& name : names) {
        std::vector<std::string> values;
        for (const Record* record : records) {
            const auto fact = record->must_equal.find(name);
            values.push_back(fact == record->must_equal.end() ? std::string() : fact->second);
        }
        if (auto found = compare(records, name, values, format("make {} the same on all ranks", {name}))) return found;
    }
    return find_shared_devices(records);
}

/// Who of the world is not among `present`.
[[nodiscard]] inline std::vector<int> absent(int world_size, const RecordRefs& present) {
    std::vector<int> missing;
    const auto here = ranks_of(present);
    for (int rank = 0; rank < world_size; ++rank)
        if (!std::binary_search(here.begin(), here.end(), rank)) missing.push_back(rank);
    return missing;
}

/// What to say when the time is up: who did not come, and of whom something was seen all the same.
[[nodiscard]] inline Finding missing_ranks(int world_size, RecordRefs present, std::chrono::milliseconds timeout,
                                           const RecordRefs& seen = {}) {
    sort_by_rank(present);
    const auto missing = absent(world_size, present);
    if (missing.empty())
        return {errc::timeout,
                Stage::roll_call,
                format("all {} ranks came, but not within {}: some had given up waiting when the last came\n  do: "
                       "start the ranks closer together, or raise the timeout",
                       {world_size, duration_text(timeout)}),
                {}};
    return {errc::missing_ranks, Stage::roll_call,
            format("{} of {} ranks did not arrive within {}: {}\n  arrived: {}{}\n  do: see whether the processes "
                   "of {} were started, are still alive and can reach rank 0's address",
                   {missing.size(), world_size, duration_text(timeout), rank_list(missing),
                    present.empty() ? "none" : process_list(present),
                    seen.empty() ? std::string()
                                 : format("\n  said hello, now or in an earlier run, but did not answer when "
                                          "called: {}",
                                          {process_list(seen)}),
                    ranks_text(missing)}),
            missing};
}

/// Ranks whose processes ended in the middle of init: rank 0's server saw their connections close.
[[nodiscard]] inline Finding ended_ranks(int world_size, const RecordRefs& ended, Stage stage, std::string_view when) {
    return {errc::missing_ranks, stage,
            format("{} of {} ranks ended without a word {}: {}\n  seen: the connection to rank 0's store closed\n  "
                   "do: see the output and the exit code of the process, and the kernel's log where it may have "
                   "been killed for want of memory",
                   {ended.size(), world_size, when, process_list(ended)}),
            ranks_of(ended)};
}

} // namespace muster::inline v0_1::detail
