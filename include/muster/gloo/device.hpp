// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/gloo/error.hpp>
#include <muster/gloo/local_address.hpp>
#include <muster/gloo/sigpipe.hpp>

#include <gloo/transport/context.h>
#include <gloo/transport/device.h>
#include <gloo/transport/tcp/attr.h>
#include <gloo/transport/tcp/device.h>

#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// Which local address carries Gloo's connections. The first one that is set counts:
///
///   hostname        a name or numeric address of this host
///   interface       a network interface: eth0, ib0
///   address         the local address that routes to the rendezvous endpoint: right when a job spans hosts, because
///                   every other rank reached that endpoint too
///   (none)          127.0.0.1, or ::1 on a host without IPv4: right when all ranks are on one host
struct GlooDeviceOptions {
    /// As above; empty: not set.
    std::string hostname = {};
    std::string interface = {};
    std::string address = {};
};

/// The transport that Gloo's connections of this process share: one thread and one local address. Copies share it.
class GlooDevice {
public:
    /// Blocks: as long as the system takes to look `hostname` up. Throws: errc::connection when the address or the
    /// interface is not this host's, errc::backend with what Gloo said.
    explicit GlooDevice(const GlooDeviceOptions& options = {}) : shared_(std::make_shared<Shared>()) {
        ::gloo::transport::tcp::attr attributes;
        std::string origin;
        try {
            if (!options.hostname.empty()) {
                attributes.hostname = detail::local_numeric_address(options.hostname);
                origin = detail::format("from the hostname {}", {options.hostname});
            } else if (!options.interface.empty()) {
                attributes.hostname = detail::interface_address(options.interface);
                origin = detail::format("from the interface {}", {options.interface});
            } else if (!options.address.empty()) {
                attributes.hostname = detail::local_numeric_address(options.address);
                origin = "the local address toward the rendezvous";
            } else {
                attributes.hostname = loopback();
                origin = "loopback, because no address was given";
            }
            const detail::SigpipeGuard guard; // Gloo's thread starts under it
            shared_->device = ::gloo::transport::tcp::CreateDevice(attributes);
            shared_->text = detail::format("{} ({})", {shared_->device->str(), origin});
        } catch (const Error&) {
            throw;
        } catch (const std::exception& error) {
            throw Error(
                errc::backend, Stage::communicator,
                detail::format("Gloo cannot open a device {}\n  Gloo: {}", {origin, detail::gloo_text(error.what())}));
        }
    }

    /// The interface and address in use and why, for logs and reports.
    [[nodiscard]] const std::string& text() const noexcept { return shared_->text; }

    /// Gloo's own device.
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
