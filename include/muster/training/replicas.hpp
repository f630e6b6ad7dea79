// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/comm/concept.hpp>
#include <muster/comm/operands.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/training/digest.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1 {

namespace detail {

/// Global ranks that hold the same data, ascending.
struct Holders {
    Digest digest;
    std::vector<int> ranks;
};

/// Ordered by each one's first rank in the group.
[[nodiscard]] inline std::vector<Holders> holders_of(std::span<const Digest> digests, std::span<const int> ranks) {
    std::vector<Holders> all;
    for (std::size_t i = 0; i < digests.size(); ++i) {
        const auto found =
            std::find_if(all.begin(), all.end(), [&](const Holders& h) { return h.digest == digests[i]; });
        if (found == all.end())
            all.push_back({digests[i], {ranks[i]}});
        else
            found->ranks.push_back(ranks[i]);
    }
    for (Holders& each : all) std::sort(each.ranks.begin(), each.ranks.end());
    return all;
}

/// One line for each of `all`, as far as a person reads on.
[[nodiscard]] inline std::string holders_text(const std::vector<Holders>& all) {
    constexpr std::size_t most = 8;
    std::string text;
    for (std::size_t i = 0; i < std::min(most, all.size()); ++i)
        text += format("\n  {}: {} bytes, hash {}",
                       {ranks_text(all[i].ranks), all[i].digest.bytes, hex(all[i].digest.hash, 16)});
    return all.size() > most ? text + format("\n  and {} more", {all.size() - most}) : text;
}

/// Throws when not all ranks have one digest: it is about the ranks that differ from the most.
inline void refuse_differing(std::span<const Digest> digests, std::span<const int> ranks, int self,
                             std::string_view what) {
    const std::vector<Holders> all = holders_of(digests, ranks);
    if (all.size() == 1) return;
    const auto fewer = [](const Holders& a, const Holders& b) { return a.ranks.size() < b.ranks.size(); };
    const auto most = std::max_element(all.begin(), all.end(), fewer);
    std::vector<int> others;
    for (const Holders& each : all)
        if (&each != &*most) others.insert(others.end(), each.ranks.begin(), each.ranks.end());
    std::sort(others.begin(), others.end());
    throw Error(errc::disagreement, Stage::communicator,
                format("{} is not the same on {}, which must hold replicas: {} {} from {}{}\n  do: see that it "
                       "starts with the same values on all of them, or broadcast it, and that every update of it "
                       "is averaged over them",
                       {what, ranks_text({ranks.begin(), ranks.end()}), ranks_text(others),
                        others.size() == 1 ? "differs" : "differ", ranks_text(most->ranks), holders_text(all)}),
                {.rank = self, .ranks = others});
}

/// Throws when two ranks have one digest.
inline void refuse_equal(std::span<const Digest> digests, std::span<const int> ranks, int self, std::string_view what) {
    std::string same;
    std::vector<int> doubled;
    for (const Holders& each : holders_of(digests, ranks)) {
        if (each.ranks.size() == 1) continue;
        same += (same.empty() ? "" : "; and on ") + ranks_text(each.ranks);
        doubled.insert(doubled.end(), each.ranks.begin(), each.ranks.end());
    }
    if (doubled.empty()) return;
    std::sort(doubled.begin(), doubled.end());
    throw Error(errc::disagreement, Stage::communicator,
                format("{} is the same on {}\n  group: {}, which must hold different shards of it\n  do: see that "
                       "every rank fills or loads the shard of its own coordinate",
                       {what, same, ranks_text({ranks.begin(), ranks.end()})}),
                {.rank = self, .ranks = doubled});
}

} // namespace detail

/// Throws unless the buffer is the same, bit for bit, on all ranks of the group: a parameter along dp and cp, and along
/// tp where it is not sharded. `what` names it in the error.
///
/// For start-up and for once in a while: every rank hashes its bytes on the host, at about 1 GB/s, and 16 bytes of each
/// go to all. Device memory is copied to the host for it, as much of that as the buffer has.
/// Collective: over the group. Blocks: until what was called on the stream is done; at most the group's timeout.
/// Throws: errc::disagreement about the ranks that differ from the most, the same text on all ranks of the group.
template <Communicator C, Buffer B>
void require_replicated(C& group, B&& buffer, std::string_view what, typename C::Stream stream = {}) {
    const auto digests = detail::exchange_digests(group, detail::view_of<const element_t<B&>>(buffer), stream);
    const auto ranks = group.ranks();
    detail::refuse_differing(digests, ranks, ranks[static_cast<std::size_t>(group.rank())], what);
}

/// Throws if two ranks of the group hold the same data: they should hold different shards, as of a sharded parameter
/// along tp. Cost, Collective, Blocks: as require_replicated.
/// Throws: errc::disagreement about the ranks whose data is not theirs alone, the same text on all ranks of the group.
template <Communicator C, Buffer B>
void require_sharded(C& group, B&& buffer, std::string_view what, typename C::Stream stream = {}) {
    const auto digests = detail::exchange_digests(group, detail::view_of<const element_t<B&>>(buffer), stream);
    const auto ranks = group.ranks();
    detail::refuse_equal(digests, ranks, ranks[static_cast<std::size_t>(group.rank())], what);
}

} // namespace muster::inline v0_1
