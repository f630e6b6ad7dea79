// SPDX-License-Identifier: Apache-2.0
// memory RANKS   how much the resident memory of a process that only serves a store grows, at its highest, while so
// many ranks in another process hold a whole init's roll call over it: connect, roll call, everybody's payload to rank
// 0, commit. Prints MiB.
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/rendezvous/endpoint.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/roll_call.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/store/tcp_server.hpp>

#include <fmt/format.h>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include "world.hpp"

namespace {

using muster::Deadline;

constexpr std::chrono::seconds timeout{60};

/// kB of a line of /proc/self/status.
long status_of(const std::string& name) {
    std::ifstream file("/proc/self/status");
    for (std::string word; file >> word;) {
        if (word != name + ":") continue;
        long value = 0;
        if (file >> value) return value;
    }
    throw std::runtime_error("/proc/self/status does not tell " + name);
}

class Pipe {
public:
    Pipe() {
        if (::pipe(ends_) != 0) throw std::runtime_error("cannot make a pipe");
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    template <class T>
    void put(T value) {
        if (::write(ends_[1], &value, sizeof value) != sizeof value) throw std::runtime_error("cannot write to a pipe");
    }
    template <class T>
    [[nodiscard]] T take() {
        T value{};
        if (::read(ends_[0], &value, sizeof value) != sizeof value) throw std::runtime_error("the server ended");
        return value;
    }
    void close_writer() {
        ::close(ends_[1]);
        ends_[1] = -1;
    }

private:
    int ends_[2] = {-1, -1};
};

/// The server's process: port out, growth out when told that all is done.
void serve(Pipe& out, Pipe& in) {
    std::ofstream("/proc/self/clear_refs") << "5"; // the highest so far is the present again
    const long before = status_of("VmRSS");
    const muster::TcpStoreServer server("127.0.0.1", 0);
    out.put(server.port());
    (void)in.take<char>();
    out.put(status_of("VmHWM") - before);
}

void call(int ranks, std::uint16_t port) {
    (void)rendezvous::run(ranks, [&](int rank, const rendezvous::Message&) {
        const Deadline deadline = Deadline::after(timeout);
        muster::Launch launch;
        launch.rank = rank;
        launch.world_size = ranks;
        launch.endpoint = {"127.0.0.1", port};
        launch.endpoint_is_served = true;
        auto meeting = std::make_unique<muster::Meeting>(muster::detail::meet_at_endpoint(launch, deadline));
        const auto gift = rendezvous::gift_of(rank);
        const auto session =
            call_roll(meeting->store, make_record(launch), {gift.data(), gift.size()}, deadline, timeout, {}, false);
        if (rank == 0) (void)muster::detail::payloads(meeting->store, session, deadline);
        commit(meeting->store, session, deadline, timeout, {});
        return meeting;
    });
}

std::string measure(int ranks) {
    Pipe from_server;
    Pipe to_server;
    const pid_t server = ::fork();
    if (server < 0) throw std::runtime_error("cannot fork");
    if (server == 0) {
        int status = 1;
        try {
            to_server.close_writer(); // so that the end of the other process is seen
            serve(from_server, to_server);
            status = 0;
        } catch (const std::exception& error) {
            std::fprintf(stderr, "server: %s\n", error.what());
        }
        ::_exit(status);
    }
    from_server.close_writer();
    call(ranks, from_server.take<std::uint16_t>());
    to_server.put('.');
    const long grown = from_server.take<long>();
    int status = 0;
    if (::waitpid(server, &status, 0) != server || status != 0) throw std::runtime_error("the server failed");
    return fmt::format(R"({{"mib":{:.1f}}})", static_cast<double>(grown) / 1024);
}

} // namespace

int main(int argc, char** argv) { return rendezvous::program(argc, argv, measure); }
