// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/port_file.hpp>
#include <muster/rendezvous/tcp.hpp>
#include <muster/store/tcp_server.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../../support/child.hpp"
#include "../../support/folder.hpp"
#include "meet.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace std::chrono_literals;
using muster::Deadline;
using muster::Endpoint;
using muster::Environment;
using muster::errc;
using muster::Error;
using muster::Launch;
using muster::TcpRendezvous;
using muster::TcpStoreServer;
using muster::detail::PortFile;
using support::Folder;
namespace fs = std::filesystem;

namespace {

/// A host's own folder, and the policies of a job that use it.
struct Host {
    Folder folder;

    [[nodiscard]] Environment environment(const std::string& job = "job") const {
        return {{"XDG_RUNTIME_DIR", folder.path().string()}, {"TORCHELASTIC_RUN_ID", job}};
    }

    /// As torchrun starts them, `local_size` of them on this host.
    [[nodiscard]] TcpRendezvous rank(int rank, int world_size, int local_size, const std::string& host = "127.0.0.1",
                                     const std::string& job = "job") const {
        Environment all = environment(job);
        for (const auto& [name, value] :
             {std::pair{"RANK", rank}, std::pair{"WORLD_SIZE", world_size}, std::pair{"LOCAL_RANK", rank % local_size},
              std::pair{"LOCAL_WORLD_SIZE", local_size}})
            all.set(name, std::to_string(value));
        return {.host = host, .port = 0, .environment = all};
    }

    [[nodiscard]] fs::path file(const std::string& job = "job") const {
        return folder.path() / ("muster-" + std::to_string(::geteuid())) / (job + ".port");
    }
};

std::string refusal(errc code, const TcpRendezvous& policy, Deadline deadline) {
    try {
        (void)policy.connect(policy.launch(), deadline);
    } catch (const Error& error) {
        CHECK(error.code() == code);
        return std::string(error.text());
    }
    FAIL("it did not throw");
    return {};
}

Launch launch_in(const Host& host) {
    Launch launch;
    launch.environment = host.environment();
    launch.job = "job";
    return launch;
}

} // namespace

TEST_CASE("ranks on one host find the port that the system gave") {
    const Host host;
    std::vector<TcpRendezvous> ranks;
    for (int rank = 0; rank < 4; ++rank) ranks.push_back(host.rank(rank, 4, 4));
    for (int round = 0; round < 2; ++round) {
        for (const Met& met : meet_all(ranks)) {
            CHECK(met.text.empty());
            CHECK(met.session.world_size() == 4);
        }
        CHECK(fs::is_empty(host.file().parent_path())); // withdrawn
    }
    struct stat status {};
    REQUIRE(::stat(host.file().parent_path().c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
}

TEST_CASE("a loopback address is one host, whatever the launcher says") {
    const Host host;
    std::vector<TcpRendezvous> ranks;
    for (int rank = 0; rank < 2; ++rank)
        ranks.push_back(
            {.host = "localhost", .port = 0, .rank = rank, .world_size = 2, .environment = host.environment()});
    for (const Met& met : meet_all(ranks)) CHECK(met.text.empty());
}

TEST_CASE("rank 0 serves the address that was asked for and no other of its host") {
    const Host host;
    Endpoint served;
    TcpRendezvous policy = host.rank(0, 2, 2);
    policy.on_serving = [&](const Endpoint& endpoint) { served = endpoint; };
    const auto meeting = policy.connect(policy.launch(), Deadline::after(10s));
    CHECK(served.host == "127.0.0.1");
    CHECK(served.port > 0);
    CHECK(meeting.serves());
    CHECK_NOTHROW(muster::TcpStore("127.0.0.1", served.port, Deadline::after(10s)));
    try {
        const muster::TcpStore stranger("127.0.0.2", served.port, Deadline::after(300ms));
        FAIL("it is served at 127.0.0.2 too");
    } catch (const Error& error) {
        CHECK(error.code() == errc::connection);
        CHECK_THAT(std::string(error.text()), ContainsSubstring("Connection refused"));
    }
    const TcpStoreServer other("127.0.0.2", served.port); // it is free
}

TEST_CASE("a program may tell the port itself") {
    const Host host;
    std::promise<Endpoint> told;
    auto first = std::async(std::launch::async, [&] {
        // Two hosts as far as the launcher knows.
        TcpRendezvous policy = host.rank(0, 2, 1, "127.0.0.1");
        policy.on_serving = [&](const Endpoint& endpoint) { told.set_value(endpoint); };
        return meet(policy);
    });
    const Endpoint endpoint = told.get_future().get();
    TcpRendezvous policy = host.rank(1, 2, 1);
    policy.port = endpoint.port;
    const Met second = meet(policy);
    CHECK(second.text.empty());
    CHECK(first.get().text.empty());
}

TEST_CASE("a port that nobody can learn is refused at once") {
    const Host host;
    for (int rank = 0; rank < 2; ++rank) {
        const std::string text =
            refusal(errc::invalid_launch, host.rank(rank, 2, 1, "192.0.2.1"), Deadline::after(60s));
        CHECK_THAT(text, ContainsSubstring("port 0 at 192.0.2.1 cannot be told to ranks on other hosts"));
        CHECK_THAT(text, ContainsSubstring("ranks on this host: 1"));
    }
    TcpRendezvous unknown{
        .host = "192.0.2.1", .port = 0, .rank = 1, .world_size = 2, .environment = host.environment()};
    CHECK_THAT(refusal(errc::invalid_launch, unknown, Deadline::after(60s)),
               ContainsSubstring("ranks on this host: not known"));
}

TEST_CASE("what an earlier run left is not believed") {
    const Host host;
    const TcpStoreServer stranger("127.0.0.1", 0); // at the port that the old file tells
    SECTION("its process is dead") {
        support::Child child([&](const support::Child::Say&) {
            PortFile(launch_in(host)).publish(stranger.port());
            return std::string("published");
        });
        REQUIRE(child.text() == "published");
    }
    SECTION("its process has another's number") {
        PortFile(launch_in(host)).publish(stranger.port());
        std::string text;
        {
            std::ifstream file(host.file(), std::ios::binary);
            text.assign(std::istreambuf_iterator<char>(file), {});
        }
        const std::string started = muster::detail::this_process().started;
        const auto at = text.find("started");
        text.at(text.find(started, at) + started.size() - 1) ^= 1;
        std::ofstream(host.file(), std::ios::binary) << text;
    }
    SECTION("it is cut off") {
        PortFile(launch_in(host)).publish(stranger.port());
        fs::resize_file(host.file(), 20);
    }
    SECTION("it is another's") {
        PortFile(launch_in(host)).publish(stranger.port());
        std::ofstream(host.file()) << "hello";
    }
    CHECK_FALSE(PortFile(launch_in(host)).read());
    auto late = std::async(std::launch::async, [&] { return meet(host.rank(1, 2, 2)); });
    CHECK(late.wait_for(100ms) == std::future_status::timeout);
    CHECK(meet(host.rank(0, 2, 2)).text.empty());
    CHECK(late.get().text.empty());
    CHECK(stranger.connections() == 0);
}

TEST_CASE("a port where nobody answers any more is looked up again") {
    const Host host;
    std::uint16_t free = 0;
    {
        const TcpStoreServer probe("127.0.0.1", 0);
        free = probe.port();
    }
    PortFile stale(launch_in(host));
    stale.publish(free); // by this process, which lives
    auto late = std::async(std::launch::async, [&] { return meet(host.rank(1, 2, 2)); });
    CHECK(late.wait_for(50ms) == std::future_status::timeout);
    stale.withdraw();
    CHECK(meet(host.rank(0, 2, 2)).text.empty());
    CHECK(late.get().text.empty());
}

TEST_CASE("two jobs of one name at one time are told so, others keep apart") {
    const Host host;
    PortFile other(launch_in(host));
    other.publish(1234);
    const std::string text = refusal(errc::connection, host.rank(0, 2, 2), Deadline::after(60s));
    CHECK_THAT(text, ContainsSubstring(host.file().string() + " is in use by process " + std::to_string(::getpid())));
    CHECK_THAT(text, ContainsSubstring("two jobs named 'job'"));
    CHECK(other.read() == 1234);
    const std::vector ranks{host.rank(0, 2, 2, "127.0.0.1", "another/job"),
                            host.rank(1, 2, 2, "127.0.0.1", "another/job")};
    for (const Met& met : meet_all(ranks)) CHECK(met.text.empty());
}

TEST_CASE("without rank 0 the others say where they looked") {
    const Host host;
    const std::string text = refusal(errc::missing_ranks, host.rank(1, 2, 2), Deadline::after(200ms));
    CHECK_THAT(text, ContainsSubstring("rank 0, which serves the store, did not arrive"));
    CHECK_THAT(text, ContainsSubstring(host.file().string()));
}

TEST_CASE("a folder that others can write is not believed") {
    const Host host;
    fs::create_directory(host.file().parent_path());
    REQUIRE(::chmod(host.file().parent_path().c_str(), 0777) == 0);
    const std::string text = refusal(errc::connection, host.rank(1, 2, 2), Deadline::after(60s));
    CHECK_THAT(text, ContainsSubstring("does not belong to this user alone"));
}

TEST_CASE("a fork that ends leaves its parent's port to be found") {
    const Host host;
    const TcpRendezvous first = host.rank(0, 2, 2);
    std::optional<muster::Meeting> meeting(std::in_place, first.connect(first.launch(), Deadline::after(10s)));
    REQUIRE(fs::exists(host.file()));
    meeting->store.set("@will/gone", "0", Deadline::after(10s)); // for whom rank 0 stays
    CHECK_FALSE(meeting->store.check(std::vector<std::string>{"gone"}, Deadline::after(10s)));
    support::Child child([&](const auto&) {
        const auto start = Deadline::Clock::now();
        meeting->leave(Deadline::after(60s));
        return Deadline::Clock::now() - start < 30s ? "ended" : "waited";
    });
    REQUIRE(child.text() == "ended");
    CHECK(fs::exists(host.file()));
    meeting.reset();
    CHECK_FALSE(fs::exists(host.file()));
}
