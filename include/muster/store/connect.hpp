// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/handshake.hpp>
#include <muster/store/resolve.hpp>
#include <muster/store/stream.hpp>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace muster::inline v0_1::detail {

/// Why a server that answers cannot be used, for error texts.
struct Misfit {
    std::string_view what;
    std::string_view advice;
};

inline constexpr Misfit no_store{"is not a c10d store",
                                 "see whether MASTER_ADDR and MASTER_PORT name the store of this job; it must be "
                                 "muster's or that of torch 2.2 or later"};
inline constexpr Misfit old_store{"is the store of torch 2.1 or older, which speaks another protocol",
                                  "launch with torch 2.2 or later; or with --rdzv-backend=c10d, where a torchrun so "
                                  "old leaves it to rank 0 to serve the store"};

/// One try to reach a store at one address.
struct Attempt {
    Stream stream;                  ///< open when it succeeded
    std::string problem;            ///< why not
    const Misfit* misfit = nullptr; ///< set when trying again cannot help
};

/// A socket bound to a free port can connect to itself when nobody listens there, and would take the port away from
/// the server that is yet to start.
[[nodiscard]] inline bool connected_to_itself(int fd, const Address& peer) noexcept {
    Address self;
    self.size = sizeof self.storage;
    return ::getsockname(fd, self.get(), &self.size) == 0 && self.size == peer.size &&
           std::memcmp(&self.storage, &peer.storage, peer.size) == 0;
}

/// Connects without blocking; `problem` says why not.
[[nodiscard]] inline Fd connect_socket(const Address& address, Deadline deadline, std::string& problem) {
    Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const auto failed = [&](int error) {
        problem = errno_text(error);
        return Fd();
    };
    if (!fd) return failed(errno);
    const int on = 1;
    if (::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return failed(errno);
    if (::connect(fd.get(), address.get(), address.size) != 0) {
        // Interrupted, it goes on in the background like any non-blocking connect.
        if (errno != EINPROGRESS && errno != EINTR) return failed(errno);
        if (const Transfer wait = await_event(fd.get(), POLLOUT, deadline); !wait) {
            problem = to_string(wait);
            return Fd();
        }
        int error = 0;
        socklen_t size = sizeof error;
        if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return failed(errno);
        if (error != 0) return failed(error);
    }
    if (connected_to_itself(fd.get(), address)) return failed(ECONNREFUSED);
    return fd;
}

/// Whether a torch up to 2.1 serves there.
[[nodiscard]] inline bool is_old_store(const Address& address, Deadline deadline) {
    std::string problem;
    Fd fd = connect_socket(address, deadline, problem);
    if (!fd) return false;
    Stream stream(std::move(fd));
    return greet(stream, handshake_before_validate(), deadline).end == Greeting::End::store;
}

/// Connects and shakes hands: one round trip, two more where a server hangs up.
[[nodiscard]] inline Attempt try_address(const Address& address, Deadline deadline) {
    using namespace std::chrono_literals;
    Attempt attempt;
    Fd fd = connect_socket(address, deadline, attempt.problem);
    if (!fd) return attempt;
    Stream stream(std::move(fd));
    Greeting greeting = greet(stream, handshake(), deadline);
    attempt.problem = std::move(greeting.seen);
    switch (greeting.end) {
        case Greeting::End::store: attempt.stream = std::move(stream); break;
        case Greeting::End::foreign: attempt.misfit = &no_store; break;
        case Greeting::End::hung_up:
            // A store that starts, ends or has too much to do may hang up, too. A newer one that is back by now says
            // nothing to the old words: that costs a second, not the deadline.
            if (!is_old_store(address, deadline.at_most(1s))) break;
            attempt.misfit = &old_store;
            attempt.problem += " at VALIDATE; without it, it tells how many keys it has";
            break;
        case Greeting::End::silent: break;
    }
    return attempt;
}

/// One try at the first address, without a handshake; not open where that does not work at once.
[[nodiscard]] inline Stream connect_quickly(const std::string& host, std::uint16_t port, Deadline deadline) {
    const std::string bare = bare_host(host);
    if (bare.empty() || port == 0) return {};
    Resolution found = look_up(bare, port, AI_NUMERICHOST);
    if (found.addresses.empty()) found = resolve(bare, port, deadline);
    std::string problem;
    if (found.addresses.empty()) return {};
    Fd fd = connect_socket(found.addresses.front(), deadline.at_most(std::chrono::seconds(1)), problem);
    return fd ? Stream(std::move(fd)) : Stream();
}

using Resolve = std::function<Resolution(Deadline)>;

/// Tries all addresses of a store, again and again with back-off, until one speaks c10d or the deadline has passed.
/// `start` is when it was first tried, for the error's text.
/// Resolving, connecting and the handshake are one unit: whichever fails, the next try starts at the name.
[[nodiscard]] inline Stream connect_store(const std::string& where, const Resolve& resolve_name, Deadline deadline,
                                          Deadline::Clock::time_point start = Deadline::Clock::now()) {
    using namespace std::chrono_literals;
    using Seconds = std::chrono::duration<double>;
    std::minstd_rand random(std::random_device{}());
    std::uniform_real_distribution<double> jitter(0.5, 1.5);
    Seconds pause = 10ms;
    int attempts = 0;
    std::string tried;
    std::string last;
    for (;;) {
        const Resolution host = resolve_name(deadline);
        if (!host.problem.empty()) last = format("the name cannot be resolved: {}", {host.problem});
        if (!host.addresses.empty()) tried.clear();
        const Misfit* misfit = nullptr;
        std::string met;
        for (std::size_t i = 0; i < host.addresses.size(); ++i) {
            // An address that swallows everything leaves time for the others and for trying anew.
            const auto slice = deadline.remaining() / static_cast<std::int64_t>(host.addresses.size() - i);
            Attempt attempt = try_address(host.addresses[i], deadline.at_most(std::min(slice + 1ms, 20'000ms)));
            if (attempt.stream.is_open()) return std::move(attempt.stream);
            ++attempts;
            const std::string name = to_string(host.addresses[i]);
            tried += (tried.empty() ? "" : ", ") + name;
            last = format("{}: {}", {name, attempt.problem});
            if (attempt.misfit == nullptr) continue;
            misfit = attempt.misfit;
            met = last;
        }
        if (misfit != nullptr)
            throw Error(
                errc::protocol, Stage::store,
                format("what listens at {} {}\n  seen: {}\n  do: {}", {where, misfit->what, met, misfit->advice}));
        const auto left = std::chrono::duration_cast<Seconds>(deadline.remaining());
        std::this_thread::sleep_for(std::min(pause * jitter(random), left));
        pause = std::min(pause * 1.5, Seconds(1s));
        if (deadline.expired()) break;
    }
    throw Error(
        errc::connection, Stage::store,
        format("no store could be reached at {} within {}\n  addresses: {}; tries: {}\n  last seen: "
               "{}\n  do: see whether the process that serves it (rank 0, or the launcher) runs there, and "
               "whether MASTER_ADDR and MASTER_PORT name it",
               {where, seconds_text(Deadline::Clock::now() - start), tried.empty() ? "none" : tried, attempts, last}));
}

[[nodiscard]] inline Stream connect_store(const std::string& host, std::uint16_t port, Deadline deadline,
                                          Deadline::Clock::time_point start = Deadline::Clock::now()) {
    const std::string bare = bare_host(host);
    if (bare.empty() || port == 0)
        throw Error(errc::invalid_argument, Stage::store,
                    format("a store's address needs a host and a port that is not 0, got {}", {host_port(bare, port)}));
    return connect_store(
        host_port(bare, port), [&](Deadline d) { return resolve(bare, port, d); }, deadline, start);
}

} // namespace muster::inline v0_1::detail
