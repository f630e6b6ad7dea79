// SPDX-License-Identifier: Apache-2.0
// memory RANKS   how much the resident memory of rank 0's process grows, at its highest, from before it serves the
// store until all ranks have committed; the other ranks are threads of another process. Prints MiB.
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/rendezvous/endpoint.hpp>
#include <muster/roll_call/commit.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/roll_call.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/store/listen.hpp>

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
        if (::read(ends_[0], &value, sizeof value) != sizeof value) throw std::runtime_error("rank 0 ended");
        return value;
    }
    void close_writer() {
        ::close(ends_[1]);
        ends_[1] = -1;
    }

private:
    int ends_[2] = {-1, -1};
};

muster::Launch launch_of(int rank, int ranks, std::uint16_t port) {
    muster::Launch launch;
    launch.rank = rank;
    launch.world_size = ranks;
    launch.endpoint = {"127.0.0.1", port};
    return launch;
}

/// A rank's part of an init, without a backend.
muster::Meeting take_part(const muster::Launch& launch) {
    const Deadline deadline = Deadline::after(timeout);
    muster::Meeting meeting = muster::detail::meet_at_endpoint(launch, deadline);
    const auto gift = rendezvous::gift_of(launch.rank);
    const auto session = call_roll(
        meeting.store, make_record(launch), {gift.data(), gift.size()},
        {.deadline = deadline, .timeout = timeout, .fresh = meeting.fresh(), .combine = [](const auto& gifts) {
             return gifts.front();
         }});
    commit(meeting.store, session, deadline);
    return meeting;
}

/// Rank 0's process: tells the growth when all have committed.
void serve(int ranks, std::uint16_t port, Pipe& out) {
    std::ofstream("/proc/self/clear_refs") << "5"; // the highest so far is the present again
    const long before = status_of("VmRSS");
    const muster::Meeting meeting = take_part(launch_of(0, ranks, port));
    out.put(status_of("VmHWM") - before);
}

std::string measure(int ranks) {
    const std::uint16_t port = muster::detail::listen_on("127.0.0.1", 0).port; // free again at once
    Pipe from_server;
    const pid_t server = ::fork();
    if (server < 0) throw std::runtime_error("cannot fork");
    if (server == 0) {
        int status = 1;
        try {
            serve(ranks, port, from_server);
            status = 0;
        } catch (const std::exception& error) {
            std::fprintf(stderr, "rank 0: %s\n", error.what());
        }
        ::_exit(status);
    }
    from_server.close_writer();
    (void)rendezvous::run(ranks - 1, [&](int rank, const rendezvous::Message&) {
        return std::make_unique<muster::Meeting>(take_part(launch_of(rank + 1, ranks, port)));
    });
    const long grown = from_server.take<long>();
    int status = 0;
    if (::waitpid(server, &status, 0) != server || status != 0) throw std::runtime_error("rank 0 failed");
    return fmt::format(R"({{"mib":{:.1f}}})", static_cast<double>(grown) / 1024);
}

} // namespace

int main(int argc, char** argv) { return rendezvous::program(argc, argv, measure); }
