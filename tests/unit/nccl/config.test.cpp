// SPDX-License-Identifier: Apache-2.0
#include <muster/nccl/config.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <nccl.h>

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

using muster::errc;
using muster::Error;
using muster::NcclConfig;
using namespace muster::detail;

namespace {

constexpr int unset = NCCL_CONFIG_UNDEF_INT;
constexpr int newest = nccl_version(99, 0, 0);

/// ncclConfig_t of the oldest nccl.h: takes any version's initializer and keeps the members that all have.
struct Oldest {
    template <class... Others>
    Oldest(std::size_t, unsigned, unsigned, int blocks, int cluster, int least, int most, const char* net, int share,
           Others...)
        : blocking(blocks),
          cgaClusterSize(cluster),
          minCTAs(least),
          maxCTAs(most),
          netName(net),
          splitShare(share) {}

    int blocking, cgaClusterSize, minCTAs, maxCTAs;
    const char* netName;
    int splitShare;
};

/// One that has all the members that muster knows, whatever this nccl.h has.
struct Newest : Oldest {
    using Oldest::Oldest;

    const char* commName = nullptr;
    int shrinkShare = unset;
    int trafficClass = unset, collnetEnable = unset, CTAPolicy = unset, nvlsCTAs = unset;
    int nChannelsPerNetPeer = unset, nvlinkCentricSched = unset;
    int graphUsageMode = unset, numRmaCtx = unset;
    int maxP2pPeers = unset, graphStreamOrdering = unset;
    int launchOrderImplicit = unset, numRmaSig = unset, rmaEagerInit = unset, hostCftMode = unset;
    int nvlsHostMode = unset;
};

/// A setting, the version that brought it, and its member, which not every struct has.
template <class Member>
struct Setting {
    std::optional<int> NcclConfig::*option;
    std::string_view name;
    int since;
    Member member;
};
template <class Member>
Setting(std::optional<int> NcclConfig::*, const char*, int, Member) -> Setting<Member>;

// Source: nccl.h of the versions named.
// clang-format off
const std::tuple settings{
    Setting{&NcclConfig::traffic_class, "traffic_class", nccl_version(2, 26, 2),
            [](auto& n) -> decltype((n.trafficClass)) { return n.trafficClass; }},
    Setting{&NcclConfig::collnet_enable, "collnet_enable", nccl_version(2, 27, 3),
            [](auto& n) -> decltype((n.collnetEnable)) { return n.collnetEnable; }},
    Setting{&NcclConfig::cta_policy, "cta_policy", nccl_version(2, 27, 3),
            [](auto& n) -> decltype((n.CTAPolicy)) { return n.CTAPolicy; }},
    Setting{&NcclConfig::nvls_ctas, "nvls_ctas", nccl_version(2, 27, 3),
            [](auto& n) -> decltype((n.nvlsCTAs)) { return n.nvlsCTAs; }},
    Setting{&NcclConfig::n_channels_per_net_peer, "n_channels_per_net_peer", nccl_version(2, 28, 3),
            [](auto& n) -> decltype((n.nChannelsPerNetPeer)) { return n.nChannelsPerNetPeer; }},
    Setting{&NcclConfig::nvlink_centric_sched, "nvlink_centric_sched", nccl_version(2, 28, 3),
            [](auto& n) -> decltype((n.nvlinkCentricSched)) { return n.nvlinkCentricSched; }},
    Setting{&NcclConfig::graph_usage_mode, "graph_usage_mode", nccl_version(2, 29, 2),
            [](auto& n) -> decltype((n.graphUsageMode)) { return n.graphUsageMode; }},
    Setting{&NcclConfig::num_rma_ctx, "num_rma_ctx", nccl_version(2, 29, 2),
            [](auto& n) -> decltype((n.numRmaCtx)) { return n.numRmaCtx; }},
    Setting{&NcclConfig::max_p2p_peers, "max_p2p_peers", nccl_version(2, 30, 3),
            [](auto& n) -> decltype((n.maxP2pPeers)) { return n.maxP2pPeers; }},
    Setting{&NcclConfig::graph_stream_ordering, "graph_stream_ordering", nccl_version(2, 30, 7),
            [](auto& n) -> decltype((n.graphStreamOrdering)) { return n.graphStreamOrdering; }},
    Setting{&NcclConfig::launch_order_implicit, "launch_order_implicit", nccl_version(2, 31, 2),
            [](auto& n) -> decltype((n.launchOrderImplicit)) { return n.launchOrderImplicit; }},
    Setting{&NcclConfig::num_rma_sig, "num_rma_sig", nccl_version(2, 31, 2),
            [](auto& n) -> decltype((n.numRmaSig)) { return n.numRmaSig; }},
    Setting{&NcclConfig::rma_eager_init, "rma_eager_init", nccl_version(2, 31, 2),
            [](auto& n) -> decltype((n.rmaEagerInit)) { return n.rmaEagerInit; }},
    Setting{&NcclConfig::host_cft_mode, "host_cft_mode", nccl_version(2, 31, 2),
            [](auto& n) -> decltype((n.hostCftMode)) { return n.hostCftMode; }},
    Setting{&NcclConfig::nvls_host_mode, "nvls_host_mode", nccl_version(2, 32, 3),
            [](auto& n) -> decltype((n.nvlsHostMode)) { return n.nvlsHostMode; }},
};
// clang-format on

template <class Fn>
void for_each_setting(Fn fn) {
    std::apply([&](const auto&... each) { (fn(each), ...); }, settings);
}

template <class Native, class Member>
constexpr bool has(const Setting<Member>&) {
    return std::invocable<Member, Native&>;
}

/// As NCCL leaves it where the struct does not have it.
template <class Native, class Member>
int value_of(Native& native, const Setting<Member>& setting) {
    if constexpr (std::invocable<Member, Native&>)
        return setting.member(native);
    else
        return unset;
}

template <class Native = ncclConfig_t>
Native convert(const NcclConfig& config, int library = newest) {
    static const NcclNames names{"name of the communicator", "name of the network", nullptr};
    return native_config<Native>(config, names, library);
}

/// The text of the Error that the settings cause; an empty text when they cause none.
template <class Native>
std::string refusal(const NcclConfig& config, int library = newest) {
    try {
        (void)convert<Native>(config, library);
        return {};
    } catch (const Error& error) {
        CHECK(error.code() == errc::invalid_argument);
        CHECK(error.stage() == muster::Stage::communicator);
        return std::string(error.text());
    }
}

std::string needs(std::string_view name, int since, const std::string& but) {
    return "NcclConfig::" + std::string(name) + " needs NCCL " + nccl_version_text(since) + ", but " + but +
           "\n  do: leave it unset, or use a newer NCCL";
}

NcclConfig with_ctas(std::optional<int> least, std::optional<int> most) {
    NcclConfig config;
    config.min_ctas = least;
    config.max_ctas = most;
    return config;
}

} // namespace

TEMPLATE_TEST_CASE("nothing blocks, nothing is shared, and the rest is NCCL's to choose", "", ncclConfig_t, Oldest,
                   Newest) {
    auto native = convert<TestType>({});
    CHECK(native.blocking == 0);
    CHECK(native.splitShare == 0);
    if constexpr (requires { native.shrinkShare; }) CHECK(native.shrinkShare == 0);
    CHECK(native.cgaClusterSize == unset);
    CHECK(native.minCTAs == unset);
    CHECK(native.maxCTAs == unset);
    CHECK(native.netName == NCCL_CONFIG_UNDEF_PTR);
    for_each_setting([&](const auto& setting) { CHECK(value_of(native, setting) == unset); });
}

TEST_CASE("the settings start from NCCL's own initializer") {
    const ncclConfig_t wanted = NCCL_CONFIG_INITIALIZER;
    const ncclConfig_t native = convert({});
    CHECK(native.size == wanted.size);
    CHECK(native.magic == wanted.magic);
    CHECK(native.version == wanted.version);
}

TEMPLATE_TEST_CASE("settings that every version has", "", ncclConfig_t, Oldest, Newest) {
    NcclConfig config;
    SECTION("the cluster size") {
        config.cga_cluster_size = 0;
        CHECK(convert<TestType>(config, nccl_floor).cgaClusterSize == 0);
    }
    SECTION("the network, by the name that lives as long as the communicator") {
        config.net_name = "Socket";
        const auto names = nccl_names(config, "tp");
        const auto native = native_config<TestType>(config, *names, nccl_floor);
        CHECK(std::string(native.netName) == "Socket");
        CHECK(native.netName == names->net.c_str());
    }
}

TEMPLATE_TEST_CASE("each setting lands in its own member and in no other", "", ncclConfig_t, Newest) {
    for_each_setting([](const auto& setting) {
        CAPTURE(setting.name);
        if (!has<TestType>(setting)) return;
        NcclConfig config;
        config.*setting.option = 7;
        auto native = convert<TestType>(config, setting.since);
        for_each_setting([&](const auto& other) {
            CAPTURE(other.name);
            CHECK(value_of(native, other) == (other.name == setting.name ? 7 : unset));
        });
        CHECK(native.blocking == 0);
        CHECK(native.minCTAs == unset);
        CHECK(native.splitShare == 0);
    });
}

TEST_CASE("a setting that the library is too old for is refused by name") {
    for_each_setting([](const auto& setting) {
        NcclConfig config;
        config.*setting.option = 0;
        CHECK(refusal<Newest>(config, setting.since - 1) ==
              needs(setting.name, setting.since, "the library is " + nccl_version_text(setting.since - 1)));
        CHECK(refusal<Newest>(config, setting.since).empty());
    });
}

TEST_CASE("a setting that the program's nccl.h lacks is refused by name, whatever the library") {
    for_each_setting([](const auto& setting) {
        NcclConfig config;
        config.*setting.option = 0;
        CHECK(refusal<Oldest>(config) ==
              needs(setting.name, setting.since, "this program's nccl.h is " + nccl_version_text(NCCL_VERSION_CODE)));
    });
}

TEST_CASE("this nccl.h has the settings of its version") {
    for_each_setting([](const auto& setting) {
        CAPTURE(setting.name, NCCL_VERSION_CODE);
        CHECK(has<ncclConfig_t>(setting) == (NCCL_VERSION_CODE >= setting.since));
    });
}

TEST_CASE("fewest and most thread blocks are always given together") {
    // NCCL takes a fewest alone for a fewest above its own most.
    const auto [least, most] = GENERATE(std::pair{1, 64}, std::pair{4, 64}, std::pair{64, 64});
    const auto only_least = convert(with_ctas(least, {}));
    CHECK(only_least.minCTAs == least);
    CHECK(only_least.maxCTAs == most);
    const auto only_most = convert(with_ctas({}, most));
    CHECK(only_most.minCTAs == 1);
    CHECK(only_most.maxCTAs == most);
    const auto both = convert(with_ctas(least, most));
    CHECK(both.minCTAs == least);
    CHECK(both.maxCTAs == most);
}

TEST_CASE("no range of thread blocks is refused with both ends") {
    const auto words = [](int least, int most) {
        return "NcclConfig: min_ctas " + std::to_string(least) + " and max_ctas " + std::to_string(most) +
               " are no range of thread blocks\n  wanted: 1 <= min_ctas <= max_ctas";
    };
    CHECK(refusal<ncclConfig_t>(with_ctas(8, 4)) == words(8, 4));
    CHECK(refusal<ncclConfig_t>(with_ctas(0, 4)) == words(0, 4));
    CHECK(refusal<ncclConfig_t>(with_ctas(-1, {})) == words(-1, 64));
    CHECK(refusal<ncclConfig_t>(with_ctas(65, {})) == words(65, 64));
    CHECK(refusal<ncclConfig_t>(with_ctas({}, 0)) == words(1, 0));
    CHECK(refusal<ncclConfig_t>(with_ctas(4, 4)).empty());
}

TEST_CASE("the communicator's name, where NCCL takes one") {
    const int since = nccl_version(2, 27, 3);
    NcclConfig named;
    named.comm_name = "mine";
    SECTION("given or not, it is the one in the names") {
        for (const NcclConfig& config : {NcclConfig(), named}) {
            const auto names = nccl_names(config, "tp");
            CHECK(native_config<Newest>(config, *names, since).commName == names->comm.c_str());
        }
    }
    SECTION("none to choose is none to give") {
        CHECK(native_config<Newest>({}, NcclNames{}, since).commName == nullptr);
    }
    SECTION("the library's own choice is not given where it would not be heard") {
        CHECK(convert<Newest>({}, since - 1).commName == nullptr);
        CHECK(refusal<Oldest>({}).empty());
    }
    SECTION("the program's choice is refused there") {
        CHECK(refusal<Newest>(named, since - 1) == needs("comm_name", since, "the library is 2.27.2"));
        CHECK(refusal<Oldest>(named) ==
              needs("comm_name", since, "this program's nccl.h is " + nccl_version_text(NCCL_VERSION_CODE)));
    }
    SECTION("this nccl.h has it since then") {
        const auto has_name = [](const auto& native) {
            return requires { native.commName; };
        };
        CHECK(has_name(convert({})) == (NCCL_VERSION_CODE >= since));
    }
}

TEST_CASE("names: the settings', else the axis' and none") {
    CHECK(nccl_names({}, "tp")->comm == "tp");
    CHECK(nccl_names({}, "tp")->net.empty());
    NcclConfig config;
    config.comm_name = "mine";
    config.net_name = "IB";
    CHECK(nccl_names(config, "tp")->comm == "mine");
    CHECK(nccl_names(config, "tp")->net == "IB");
}

TEST_CASE("a child's names keep its parent's, and theirs") {
    auto world = nccl_names({}, "world");
    auto parent = nccl_names({}, "tp", world);
    const std::weak_ptr<const NcclNames> old = world;
    const char* const text = world->comm.c_str();
    const auto child = nccl_names({}, "tp/split", std::move(parent));
    world.reset();
    REQUIRE(old.lock());
    CHECK(child->parent->parent == old.lock());
    CHECK(std::string(text) == "world"); // what NCCL still points to
}
