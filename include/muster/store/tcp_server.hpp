// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/store/listen.hpp>
#include <muster/store/service.hpp>
#include <muster/store/thread.hpp>

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace muster::inline v0_1 {

/// Serves a store to TcpStore and to the TCPStore of torch 2.5 and later, from one thread of its own.
///
/// It trusts nobody. A client that sends nothing costs a file descriptor and a few hundred bytes; one that sends
/// garbage, too much, half a request, or does not read its replies is dropped; the others do not notice. A request
/// and a reply have at most 256 MiB each, everything together the bytes that the options say.
class TcpStoreServer {
public:
    /// Listens at `host`, a name or address of this host; an empty one means all of its addresses, IPv4 and IPv6. Give
    /// an empty one where `host` may stand for a loopback address here and for another one elsewhere. Port 0 means
    /// any that is free; port() tells.
    /// Blocks: to the deadline where `host` is a name and the name server does not answer.
    /// Throws: Error with errc::connection when that cannot be bound.
    TcpStoreServer(const std::string& host, std::uint16_t port, TcpStoreServerOptions options = {},
                   Deadline deadline = Deadline::after(std::chrono::seconds(30))) {
        detail::Listener listener = detail::listen_on(host, port, deadline);
        port_ = listener.port;
        service_ = std::make_unique<detail::StoreService>(std::move(listener.fd), options);
        thread_ = start(*service_);
    }

    TcpStoreServer(TcpStoreServer&&) noexcept = default;
    TcpStoreServer& operator=(TcpStoreServer&& other) noexcept {
        if (this != &other) {
            close();
            port_ = other.port_;
            owner_ = other.owner_;
            service_ = std::move(other.service_);
            thread_ = std::move(other.thread_);
        }
        return *this;
    }

    /// Disconnects everybody. Blocks: no longer than the thread takes to notice.
    ~TcpStoreServer() { close(); }

    /// The port at which it listens.
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

    /// How many clients are connected and have shown that they speak the protocol.
    [[nodiscard]] std::size_t connections() const { return service_ ? service_->connections() : 0; }

    /// Takes no more connections, so that another server can be reached at the address; those that are there stay.
    void stop_listening() {
        if (service_) service_->stop_listening();
    }

    /// Waits until connections() is 0; false when it is not at the deadline. Stray connections are not waited for.
    [[nodiscard]] bool drain(Deadline deadline) const { return !service_ || service_->drain(deadline); }

    /// The same for the clients that left a will, as the ranks of a roll call do: nobody else is worth waiting for.
    [[nodiscard]] bool drain_wills(Deadline deadline) const { return !service_ || service_->drain_wills(deadline); }

private:
    static std::thread start(detail::StoreService& service) {
        try {
            return detail::start_thread([&service] { service.run(); });
        } catch (const std::system_error& error) {
            throw Error(errc::connection, Stage::store,
                        detail::format("cannot start the thread of a store server: {}", {error.what()}));
        }
    }

    void close() noexcept {
        if (!thread_.joinable()) return;
        if (::getpid() != owner_) { // a fork shares what is its parent's, and has no thread to join or detach
            (void)new (std::nothrow) std::thread(std::move(thread_));
            return;
        }
        service_->stop();
        thread_.join();
        service_.reset();
    }

    std::uint16_t port_ = 0;
    pid_t owner_ = ::getpid();
    std::unique_ptr<detail::StoreService> service_;
    std::thread thread_;
};

} // namespace muster::inline v0_1
