// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/gloo/error.hpp>

#include <fmt/format.h>
#include <gloo/transport/context.h>
#include <gloo/transport/device.h>
#include <gloo/transport/tcp/attr.h>
#include <gloo/transport/tcp/device.h>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// Which local address carries Gloo's connections. The first one that is set counts:
///
///   hostname        a name or numeric address of this host
///   interface  a network interface: eth0, ib0
///   address         the local address that routes to the rendezvous endpoint: right when a job spans hosts, because
///                   every other rank reached that endpoint too
///   (none)          127.0.0.1, or ::1 on a host without IPv4: right when all ranks are on one host
struct GlooDeviceOptions {
    std::string hostname = {};
    std::string interface = {};
    std::string address = {};
};

namespace detail {

/// The first numeric address of `host` that this machine can bind. Gloo of 2022 must never see a name: it takes the
/// result of a look-up that failed for an address.
inline std::string local_numeric_address(const std::string& host) {
    const auto refuse = [&](const std::string& why) -> std::string {
        throw Error(errc::connection, Stage::communicator,
                    fmt::format("Gloo cannot use the address {}: {}\n  give the address or the interface of this host "
                                "that the other ranks can reach",
                                host, why));
    };
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int rc = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); rc != 0) {
        return refuse(rc == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(rc));
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
    int error = 0;
    for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
        const int fd = ::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
        if (fd < 0) {
            error = errno;
            continue;
        }
        const bool bound = ::bind(fd, one->ai_addr, one->ai_addrlen) == 0;
        if (!bound) error = errno;
        ::close(fd); // nothing was written, so there is nothing to lose
        if (!bound) continue;
        char text[NI_MAXHOST];
        const int rc = ::getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
        if (rc == 0) return text;
    }
    return refuse(fmt::format("it is no address of this host ({})", std::strerror(error)));
}

} // namespace detail

/// The transport that Gloo's connections of this process share: one thread and one local address. Copies share it.
class GlooDevice {
public:
    /// Blocks: as long as the system takes to look `hostname` up. Throws: errc::connection when the address is not
    /// this host's, errc::backend with what Gloo said.
    explicit GlooDevice(const GlooDeviceOptions& options = {}) : shared_(std::make_shared<Shared>()) {
        ::gloo::transport::tcp::attr attributes;
        std::string origin;
        try {
            if (!options.hostname.empty()) {
                attributes.hostname = detail::local_numeric_address(options.hostname);
                origin = fmt::format("from the hostname {}", options.hostname);
            } else if (!options.interface.empty()) {
                attributes.iface = options.interface;
                origin = fmt::format("from the interface {}", options.interface);
            } else if (!options.address.empty()) {
                attributes.hostname = detail::local_numeric_address(options.address);
                origin = "the local address toward the rendezvous";
            } else {
                attributes.hostname = loopback();
                origin = "loopback, because no address was given";
            }
            shared_->device = ::gloo::transport::tcp::CreateDevice(attributes);
            shared_->text = fmt::format("{} ({})", shared_->device->str(), origin);
        } catch (const Error&) {
            throw;
        } catch (const std::exception& error) {
            throw Error(
                errc::backend, Stage::communicator,
                fmt::format("Gloo cannot open a device {}\n  Gloo: {}", origin, detail::gloo_text(error.what())));
        }
    }

    /// The interface and address in use and why, for logs and reports.
    [[nodiscard]] const std::string& text() const noexcept { return shared_->text; }

    [[nodiscard]] const std::shared_ptr<::gloo::transport::Device>& native_handle() const noexcept {
        return shared_->device;
    }

    /// Keeps connections that were given up while they were being made until the device ends: Gloo of 2025 and later
    /// may still call them.
    void retire(std::shared_ptr<::gloo::transport::Context> unfinished) const {
        const std::lock_guard lock(shared_->mutex);
        shared_->retired.push_back(std::move(unfinished));
    }

private:
    static std::string loopback() {
        try {
            return detail::local_numeric_address("127.0.0.1");
        } catch (const Error&) {
            return detail::local_numeric_address("::1");
        }
    }

    struct Shared {
        std::shared_ptr<::gloo::transport::Device> device;
        std::string text;
        std::mutex mutex;
        std::vector<std::shared_ptr<::gloo::transport::Context>> retired; // goes before the device
    };
    std::shared_ptr<Shared> shared_;
};

} // namespace muster::inline v0_1
