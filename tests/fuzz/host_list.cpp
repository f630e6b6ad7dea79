// SPDX-License-Identifier: Apache-2.0
// Any text as a host list of Slurm.
#include <muster/core/error.hpp>
#include <muster/launch/host_list.hpp>

#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz.hpp"

using fuzz::require;
using muster::detail::HostList;

namespace {

void check(const HostList& list) {
    constexpr std::size_t most = 200;
    const std::vector<std::string> hosts = list.first(most);
    require(list.size() >= 1, "a list names a host");
    require(hosts.size() == std::min<std::uint64_t>(list.size(), most), "as many hosts as were counted, up to the cap");
    require(list.front() == hosts.front(), "the first host is the first");
    const std::vector<std::string> few = list.first(hosts.size() / 2);
    require(std::equal(few.begin(), few.end(), hosts.begin()) && few.size() == hosts.size() / 2,
            "fewer hosts are the beginning of more");
    for (const std::string& host : hosts) {
        require(!host.empty() && host.size() <= HostList::longest_name, "a host name is neither empty nor too long");
        require(host.find_first_of("[], \t\n") == std::string::npos, "a host name has no signs of a list");
    }
    // Names are lists of themselves.
    require(HostList(fmt::format("{}", fmt::join(hosts, ","))).first(most) == hosts, "what is written out stays");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        check(HostList(text));
    } catch (const muster::Error& error) {
        require(error.code() == muster::errc::invalid_launch, "a list that is refused is an invalid launch");
    }
    return 0;
}
