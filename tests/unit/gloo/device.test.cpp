// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo/device.hpp>
#include <muster/gloo/route.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <string_view>

#include "../../support/gloo_ranks.hpp"

using muster::errc;
using muster::GlooDevice;
using muster::GlooDeviceOptions;
using support::error_of;

namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

} // namespace

TEST_CASE("without options a device is loopback and says so") {
    const GlooDevice device;
    CHECK((contains(device.text(), "127.0.0.1") || contains(device.text(), "::1")));
    CHECK(contains(device.text(), "loopback, because no address was given"));
    CHECK(device.native_handle() != nullptr);
}

TEST_CASE("the first option that is set decides") {
    GlooDeviceOptions options{.hostname = "127.0.0.2", .interface = "none-such", .address = "127.0.0.3"};
    const GlooDevice by_hostname(options);
    CHECK(contains(by_hostname.text(), "addr=[127.0.0.2]"));
    CHECK(contains(by_hostname.text(), "from the hostname 127.0.0.2"));
    options = {.interface = "lo", .address = "127.0.0.3"};
    const GlooDevice by_interface(options);
    CHECK(contains(by_interface.text(), "iface=lo"));
    CHECK(contains(by_interface.text(), "from the interface lo"));
    options = {.address = "127.0.0.3"};
    const GlooDevice by_address(options);
    CHECK(contains(by_address.text(), "addr=[127.0.0.3]"));
    CHECK(contains(by_address.text(), "toward the rendezvous"));
}

TEST_CASE("copies share one device") {
    const GlooDevice device;
    const auto copy = device; // NOLINT(performance-unnecessary-copy-initialization)
    CHECK(copy.native_handle() == device.native_handle());
}

TEST_CASE("what cannot be used is refused by name") {
    auto error = error_of([] { GlooDevice(GlooDeviceOptions{.interface = "none-such"}); });
    INFO(error.what());
    CHECK(error.code() == errc::connection);
    CHECK(contains(error.what(), "Gloo cannot use the interface none-such: "));
    CHECK(contains(error.what(), "these are: "));
    CHECK(contains(error.what(), "lo"));

    error = error_of([] { GlooDevice(GlooDeviceOptions{.hostname = "no.such.host.invalid"}); });
    CHECK(error.code() == errc::connection);
    CHECK(contains(error.what(), "Gloo cannot use the address no.such.host.invalid: "));

    error = error_of([] { GlooDevice(GlooDeviceOptions{.address = "203.0.113.7"}); });
    CHECK(error.code() == errc::connection);
    CHECK(contains(error.what(), "it is no address of this host"));
}

TEST_CASE("the address that leads out of this host is one of this host") {
    const std::string address = muster::detail::local_address_outward();
    if (address.empty()) return; // a host without a network
    CHECK(address != "127.0.0.1");
    CHECK(address != "::1");
    const GlooDevice device({.address = address});
    CHECK(contains(device.text(), address));
}
