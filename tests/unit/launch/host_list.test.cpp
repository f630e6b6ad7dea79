// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/host_list.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "environments.hpp"

using Catch::Matchers::ContainsSubstring;
using muster::detail::expand_host_list;
using muster::detail::HostList;
using Hosts = std::vector<std::string>;

namespace {

std::string refusal_of_list(const std::string& text) {
    return muster_test::refusal_of([&] { return expand_host_list(text, 4); });
}

} // namespace

TEST_CASE("host lists as Slurm writes them") {
    struct Case {
        const char* text;
        Hosts hosts;
    };
    const auto& [text, hosts] = GENERATE(
        Case{"alpha", {"alpha"}}, Case{"alpha,beta", {"alpha", "beta"}}, Case{"alpha beta", {"alpha", "beta"}},
        Case{"alpha , beta", {"alpha", "beta"}}, Case{" alpha ", {"alpha"}},
        Case{"1.2.3.[100-102]", {"1.2.3.100", "1.2.3.101", "1.2.3.102"}},
        Case{"1.2.3.[089, 100-101]", {"1.2.3.089", "1.2.3.100", "1.2.3.101"}}, Case{"host[22]", {"host22"}},
        Case{"host[1,5-7]", {"host1", "host5", "host6", "host7"}}, Case{"host[5-6,1]", {"host5", "host6", "host1"}},
        Case{"alpha[3,1], beta", {"alpha3", "alpha1", "beta"}},
        Case{"machine2-[02-4]vm1", {"machine2-02vm1", "machine2-03vm1", "machine2-04vm1"}},
        Case{"compute!:b24_[1-2].r", {"compute!:b24_1.r", "compute!:b24_2.r"}},
        Case{"n[8-11]", {"n8", "n9", "n10", "n11"}}, Case{"n[08-11]", {"n08", "n09", "n10", "n11"}},
        Case{"n[098-101]", {"n098", "n099", "n100", "n101"}}, Case{"n[0]", {"n0"}}, Case{"n[00-01]", {"n00", "n01"}},
        Case{"[1-2]", {"1", "2"}}, Case{"[1-2]n,m", {"1n", "2n", "m"}},
        Case{"rack[0-1]node[1-2,5]",
             {"rack0node1", "rack0node2", "rack0node5", "rack1node1", "rack1node2", "rack1node5"}},
        Case{"a[1][2-3]b", {"a12b", "a13b"}}, Case{"fd00::[1-2]", {"fd00::1", "fd00::2"}}, Case{"n[1,1]", {"n1", "n1"}},
        Case{"n[18446744073709551615]", {"n18446744073709551615"}});
    CAPTURE(text);
    CHECK(expand_host_list(text, 100) == hosts);
    CHECK(HostList(text).size() == hosts.size());
    CHECK(HostList(text).front() == hosts.front());
    CHECK(expand_host_list(text, 1) == Hosts{hosts.front()});
    CHECK(expand_host_list(text, 0).empty());
}

TEST_CASE("what is no host list is refused at its place") {
    struct Case {
        const char* text;
        const char* why;
        int at;
    };
    const auto [text, why, at] = GENERATE(
        Case{"", "a host name is empty", 1}, Case{"  ", "a host name is empty", 3},
        Case{",", "a host name is empty", 1}, Case{"a,", "a host name is empty", 3},
        Case{"a,,b", "a host name is empty", 3}, Case{",a", "a host name is empty", 1},
        Case{"invalid[]", "neither a number nor a range", 9}, Case{"n[1,]", "neither a number nor a range", 5},
        Case{"n[,1]", "neither a number nor a range", 3}, Case{"n[1-]", "neither a number nor a range", 5},
        Case{"n[-1]", "neither a number nor a range", 3}, Case{"n[a-c]", "neither a number nor a range", 3},
        Case{"n[1-2-3]", "neither a number nor a range", 6}, Case{"n[1 2]", "neither a number nor a range", 5},
        Case{"n[+1]", "neither a number nor a range", 3}, Case{"n[0x1]", "neither a number nor a range", 4},
        Case{"n[[1]]", "neither a number nor a range", 3}, Case{"n[1", "a bracket is not closed", 2},
        Case{"n[", "a bracket is not closed", 3}, Case{"n[1,", "a bracket is not closed", 5},
        Case{"n[1-", "a bracket is not closed", 5}, Case{"n]", "closed that was not opened", 2},
        Case{"n[1]]", "closed that was not opened", 5}, Case{"a,n[1]2]", "closed that was not opened", 8},
        Case{"n[5-3]", "a range that goes down", 3}, Case{"n[18446744073709551616]", "a number that is too large", 3},
        Case{"n[0-99999999999999999999]", "a number that is too large", 5},
        Case{"a\nb", "a character that no host name has", 2}, Case{"a\x7f", "a character that no host name has", 2});
    const auto refused = refusal_of_list(text);
    CHECK_THAT(refused, ContainsSubstring("the host list is invalid: "));
    CHECK_THAT(refused, ContainsSubstring(why));
    CHECK_THAT(refused, ContainsSubstring("at character " + std::to_string(at) + "\n"));
}

TEST_CASE("huge lists cost nothing until they are expanded") {
    CHECK(HostList("n[0-4294967295]").size() == std::uint64_t{1} << 32U);
    CHECK(expand_host_list("n[0-4294967295]", 3) == Hosts{"n0", "n1", "n2"});
    CHECK(HostList("n[0-18446744073709551615]").size() == std::numeric_limits<std::uint64_t>::max());
    CHECK(HostList("a[0-4294967295]b[0-4294967295]c[0-4294967295]").size() ==
          std::numeric_limits<std::uint64_t>::max());
    CHECK(HostList("a[0-18446744073709551615],b").size() == std::numeric_limits<std::uint64_t>::max());
    CHECK(expand_host_list("n[18446744073709551614-18446744073709551615],m", 9) ==
          Hosts{"n18446744073709551614", "n18446744073709551615", "m"});
    CHECK(expand_host_list("n[000000000000000000000000000001-2]", 9).back() == "n000000000000000000000000000002");
}

TEST_CASE("a name longer than any host's is refused, also one that digits make so") {
    const std::string longest(HostList::longest_name, 'x');
    CHECK(expand_host_list(longest, 1) == Hosts{longest});
    CHECK_THAT(refusal_of_list(longest + "x"), ContainsSubstring("has more than 255 characters"));
    CHECK_THAT(refusal_of_list(longest + "[1]"), ContainsSubstring("has more than 255 characters"));
    CHECK_THAT(refusal_of_list(longest.substr(1) + "[9-10]"), ContainsSubstring("has more than 255 characters"));
    CHECK_THAT(refusal_of_list("n[" + std::string(300, '0') + "]"), ContainsSubstring("has more than 255 characters"));
    // The text is quoted only in part.
    CHECK(refusal_of_list(std::string(100000, 'x')).size() < 400);
}

TEST_CASE("any text is expanded or refused, and never beyond the cap") {
    std::mt19937 random(20240521);
    const std::string alphabet = "ab019[]-, ";
    int expanded = 0;
    for (int round = 0; round < 20000; ++round) {
        std::string text(random() % 14, ' ');
        for (char& c : text) c = alphabet[random() % alphabet.size()];
        try {
            const HostList list(text);
            const auto hosts = list.first(50);
            REQUIRE(hosts.size() == std::min<std::uint64_t>(list.size(), 50));
            for (const auto& host : hosts) REQUIRE((!host.empty() && host.find_first_of("[], ") == std::string::npos));
            ++expanded;
        } catch (const muster::Error& error) {
            REQUIRE(error.code() == muster::errc::invalid_launch);
        }
    }
    CHECK(expanded > 1000);
}
