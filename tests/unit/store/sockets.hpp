// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/store/connect.hpp>
#include <muster/store/handshake.hpp>
#include <muster/store/listen.hpp>
#include <muster/store/resolve.hpp>
#include <muster/store/stream.hpp>
#include <muster/store/wire.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

/// A connection that sends and reads whatever a test wants.
class RawClient {
public:
    explicit RawClient(std::uint16_t port, const std::string& host = "127.0.0.1") {
        const auto found = muster::detail::look_up(host, port, AI_NUMERICHOST);
        std::string problem = found.problem;
        if (problem.empty())
            stream_ = muster::detail::Stream(muster::detail::connect_socket(found.addresses.at(0), late(), problem));
        if (!stream_.is_open()) throw std::runtime_error("no connection: " + problem);
    }

    static muster::Deadline late() { return muster::Deadline::after(std::chrono::seconds(30)); }

    /// VALIDATE alone, as torch sends it.
    RawClient& introduce() {
        using namespace muster::detail;
        return send(RequestWriter(Opcode::validate).number(wire_magic).bytes());
    }

    /// False when the other side does not take it all.
    bool try_send(std::string_view bytes, muster::Deadline deadline = late()) {
        return static_cast<bool>(stream_.send(bytes, deadline));
    }

    RawClient& send(std::string_view bytes) {
        if (!try_send(bytes)) throw std::runtime_error("the bytes cannot be sent");
        return *this;
    }

    std::string read(std::size_t n) {
        std::string bytes(n, '\0');
        if (const auto got = stream_.receive(bytes.data(), n, late()); !got)
            throw std::runtime_error("the bytes do not come: " + muster::detail::to_string(got));
        return bytes;
    }

    /// Whether the other side closes the connection, before the deadline and before it sends anything.
    bool is_cut_off(muster::Deadline deadline = late()) {
        char byte;
        const auto got = stream_.receive(&byte, 1, deadline);
        return got.end == muster::detail::Transfer::End::closed || got.end == muster::detail::Transfer::End::failed;
    }

    int fd() const { return stream_.fd(); }
    void close() { stream_.close(); }

private:
    muster::detail::Stream stream_;
};

/// A store's part of the handshake. False when the client says something else.
inline bool shake_hands(muster::detail::Stream& stream) {
    const std::string expected = muster::detail::handshake();
    std::string words(expected.size(), '\0');
    return stream.receive(words.data(), words.size(), RawClient::late()) && words == expected &&
           stream.send(std::string(muster::detail::handshake_questions * sizeof(std::int64_t), '\0'),
                       RawClient::late());
}

/// Accepts one connection after the other and does with it what a test wants, until the test ends.
class FakeServer {
public:
    using Talk = std::function<void(muster::detail::Stream&)>;

    explicit FakeServer(Talk talk, const std::string& host = "127.0.0.1")
        : listener_(muster::detail::listen_on(host, 0)),
          thread_([this, talk = std::move(talk)] { run(talk); }) {}

    ~FakeServer() {
        ::shutdown(listener_.fd.get(), SHUT_RDWR); // ends the poll and the accept
        thread_.join();
    }

    std::uint16_t port() const { return listener_.port; }

private:
    void run(const Talk& talk) {
        for (;;) {
            (void)muster::detail::await_event(listener_.fd.get(), POLLIN, RawClient::late());
            muster::detail::Fd fd(::accept4(listener_.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!fd) return;
            muster::detail::Stream stream(std::move(fd));
            talk(stream);
        }
    }

    muster::detail::Listener listener_;
    std::thread thread_;
};
