// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>
#include <muster/rendezvous/file.hpp>
#include <muster/rendezvous/process.hpp>
#include <muster/store/file.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../../support/child.hpp"
#include "../../support/folder.hpp"
#include "meet.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace std::chrono_literals;
using muster::Deadline;
using muster::errc;
using muster::Error;
using muster::FileRendezvous;
using support::Child;
using support::Folder;
namespace fs = std::filesystem;

namespace {

FileRendezvous rank_in(const fs::path& path, int rank, int world_size, std::optional<std::string> job = {}) {
    return {.path = path, .rank = rank, .world_size = world_size, .job = std::move(job), .environment = {}};
}

std::vector<FileRendezvous> world_in(const fs::path& path, int size, const std::optional<std::string>& job = {}) {
    std::vector<FileRendezvous> ranks;
    for (int rank = 0; rank < size; ++rank) ranks.push_back(rank_in(path, rank, size, job));
    return ranks;
}

void check_formed(const std::vector<Met>& all) {
    std::set<std::string> sessions;
    for (const Met& met : all) {
        CHECK(met.text.empty());
        CHECK(met.session.world_size() == static_cast<int>(all.size()));
        sessions.insert(met.session.id);
    }
    CHECK(sessions.size() == 1);
}

std::vector<std::string> names(const fs::path& folder) {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(folder)) all.push_back(entry.path().filename().string());
    return all;
}

std::vector<std::string> presences(const fs::path& folder) {
    auto all = names(folder);
    std::erase_if(all, [](const std::string& name) { return !name.starts_with(".here-"); });
    return all;
}

std::string refusal(errc code, const FileRendezvous& policy, Deadline deadline) {
    try {
        (void)policy.connect(policy.launch(), deadline);
    } catch (const Error& error) {
        CHECK(error.code() == code);
        return std::string(error.text());
    }
    FAIL("it did not throw");
    return {};
}

/// A file as a process of another host would have left it.
void leave_presence(const fs::path& folder, const std::string& name) {
    auto other = muster::detail::this_process();
    other.boot_id = "another host's";
    muster::detail::Fields fields;
    other.put(fields);
    std::ofstream(folder / name, std::ios::binary) << fields.encode();
}

} // namespace

TEST_CASE("ranks meet in a folder, which is empty again afterwards") {
    const Folder folder;
    const int size = GENERATE(2, 3, 8);
    for (int round = 0; round < 2; ++round) {
        check_formed(meet_all(world_in(folder.path() / "meet", size)));
        CHECK(names(folder.path()) == std::vector<std::string>{"meet"});
        CHECK(fs::is_empty(folder.path() / "meet"));
    }
}

TEST_CASE("64 ranks meet in a moment") {
    const Folder folder;
    const auto start = Deadline::Clock::now();
    check_formed(meet_all(world_in(folder.path(), 64)));
    const std::chrono::duration<double> took = Deadline::Clock::now() - start;
    WARN("64 ranks on FileStore: " << took.count() << " s");
    CHECK(took < 30s);
}

TEST_CASE("a world of one writes nothing") {
    const fs::path nowhere = "/nonexistent/folder";
    check_formed(meet_all(world_in(nowhere, 1)));
}

TEST_CASE("rank and world size come from the launcher, which need not say where to meet") {
    const FileRendezvous policy{.path = "/x", .environment = {{"RANK", "1"}, {"WORLD_SIZE", "2"}}};
    CHECK(policy.launch().rank == 1);
    CHECK(policy.launch().world_size == 2);
    CHECK_FALSE(policy.launch().endpoint);
    CHECK(policy.launch().job == "default");
    const FileRendezvous run{.path = "/x",
                             .environment = {{"RANK", "1"},
                                             {"WORLD_SIZE", "2"},
                                             {"MASTER_ADDR", "node1"},
                                             {"MASTER_PORT", "29500"},
                                             {"TORCHELASTIC_RUN_ID", "run/7"},
                                             {"TORCHELASTIC_USE_AGENT_STORE", "True"}}};
    CHECK(run.launch().job == "run/7");
    CHECK_FALSE(run.launch().endpoint_is_served);
    CHECK(rank_in("/x", 0, 2, "mine").launch().job == "mine");
}

TEST_CASE("a folder that cannot be used is an error at once") {
    const Folder folder;
    std::ofstream(folder.path() / "file") << "mine";
    const auto start = Deadline::Clock::now();
    CHECK_THAT(refusal(errc::connection, rank_in(folder.path() / "file", 1, 2), Deadline::after(60s)),
               ContainsSubstring((folder.path() / "file/muster-default").string() + ": Not a directory"));
    CHECK_THAT(refusal(errc::connection, rank_in(folder.path() / "no/where", 1, 2), Deadline::after(60s)),
               ContainsSubstring("cannot make the folder " + (folder.path() / "no/where").string()));
    CHECK(Deadline::Clock::now() - start < 20s);
}

TEST_CASE("a rank that does not come is named, and the folder is clean afterwards") {
    const Folder folder;
    auto ranks = world_in(folder.path(), 3);
    ranks.erase(ranks.begin() + 1);
    for (const Met& met : meet_all(ranks, 500ms)) {
        CHECK(met.code == errc::missing_ranks);
        CHECK(met.about == std::vector{1});
    }
    CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("what a crashed run left does no harm and goes") {
    const Folder folder;
    {
        // Killed at different places: with the world formed, waiting for the others, and just come.
        const auto until = [](const auto& seen) {
            for (const auto end = Deadline::after(60s); !seen() && !end.expired();) std::this_thread::sleep_for(5ms);
            REQUIRE(seen());
        };
        const fs::path place = folder.path() / "muster-default";
        std::vector<Child> crashed;
        for (int rank = 0; rank < 2; ++rank)
            crashed.emplace_back([&, rank](const Child::Say&) {
                const auto policy = rank_in(folder.path(), rank, 2);
                const auto launch = policy.launch();
                auto meeting = policy.connect(launch, Deadline::after(60s));
                (void)call_roll(meeting.store, make_record(launch), "p",
                                {.deadline = Deadline::after(60s), .timeout = 60s});
                meeting.store.set("test/" + std::to_string(rank), "formed", Deadline::after(60s));
                ::pause();
                return std::string();
            });
        until([&] { return fs::exists(place / "test%2F0/1") && fs::exists(place / "test%2F1/1"); });
        crashed.emplace_back([&](const Child::Say&) { return meet(rank_in(folder.path(), 3, 4)).text; });
        until([&] { return fs::exists(place / "hello%2F3/1"); });
        crashed.emplace_back([&](const Child::Say&) {
            const auto policy = rank_in(folder.path(), 2, 4);
            const auto meeting = policy.connect(policy.launch(), Deadline::after(60s));
            ::pause();
            return std::string();
        });
        until([&] { return presences(place).size() == 4; });
        for (Child& child : crashed) child.kill();
        // What writers leave that are killed in the middle.
        std::ofstream(place / "roll/.new-1234-1-1") << "muster-store-1 suff";
        std::ofstream(place / ".new-1234-1-2") << "";
        fs::create_directory(place / "answer%2Fhalf-made");
        fs::create_directory(folder.path() / ".muster-gone-0123");
        std::ofstream(folder.path() / ".muster-gone-0123/key") << "half removed";
    }
    const fs::path place = folder.path() / "muster-default";
    SECTION("the next run begins with an empty folder") {
        check_formed(meet_all(world_in(folder.path(), 3)));
        CHECK(fs::is_empty(folder.path()));
    }
    SECTION("where a process of another host may still be there, the run goes on beside what is left") {
        leave_presence(place, ".here-1-other-99-0");
        check_formed(meet_all(world_in(folder.path(), 3)));
        CHECK(presences(place) == std::vector<std::string>{".here-1-other-99-0"});
        CHECK(fs::exists(place / "hello%2F3/1"));
        // Long after, it is not there any more.
        fs::last_write_time(place / ".here-1-other-99-0", fs::file_time_type::clock::now() - 48h);
        check_formed(meet_all(world_in(folder.path(), 3)));
        CHECK(fs::is_empty(folder.path()));
    }
}

TEST_CASE("two jobs in one folder keep apart") {
    const Folder folder;
    auto one = std::async(std::launch::async, [&] { return meet_all(world_in(folder.path(), 3, "one")); });
    check_formed(meet_all(world_in(folder.path(), 4, "an/other")));
    check_formed(one.get());
    CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("a second process of a rank is refused as long as the first one lives") {
    const Folder folder;
    const auto policy = rank_in(folder.path(), 1, 2);
    {
        const auto meeting = policy.connect(policy.launch(), Deadline::after(60s));
        const std::string text = refusal(errc::duplicate_rank, policy, Deadline::after(60s));
        CHECK_THAT(text, ContainsSubstring("rank 1 is already at the meeting in " +
                                           (folder.path() / "muster-default").string()));
        CHECK_THAT(text, ContainsSubstring("-" + std::to_string(::getpid()) + "-"));
        CHECK(presences(folder.path() / "muster-default").size() == 1);
        // Another job of the same name does not get in by half.
        const auto other_0 = rank_in(folder.path(), 0, 2);
        const auto met = meet(other_0, 300ms);
        CHECK(met.code == errc::missing_ranks);
        CHECK(fs::exists(folder.path() / "muster-default")); // the first one is still there
    }
    CHECK(fs::is_empty(folder.path()));
    CHECK_NOTHROW(policy.connect(policy.launch(), Deadline::after(60s)));
}

TEST_CASE("ranks come to the next meeting while others still leave the last one") {
    const Folder folder(support::fast_place());
    constexpr int size = 4, rounds = 40;
    std::vector<std::future<std::string>> threads;
    for (int rank = 0; rank < size; ++rank)
        threads.push_back(std::async(std::launch::async, [&, rank] {
            std::string all;
            for (int round = 0; round < rounds; ++round) all += meet(rank_in(folder.path(), rank, size)).text;
            return all;
        }));
    for (auto& thread : threads) CHECK(thread.get().empty());
    CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("the mark of one who was killed while removing the folder is forgotten") {
    const Folder folder;
    fs::create_directories(folder.path() / "muster-default");
    std::ofstream(folder.path() / "muster-default/.closing") << "";
    check_formed(meet_all(world_in(folder.path(), 2)));
    CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("a fork that ends leaves its parent's file in the folder") {
    const Folder folder;
    const FileRendezvous first = rank_in(folder.path(), 0, 2);
    std::optional<muster::Meeting> meeting(std::in_place, first.connect(first.launch(), Deadline::after(10s)));
    const auto present = [&] {
        int files = 0;
        for (const auto& entry : fs::recursive_directory_iterator(folder.path()))
            files += entry.path().filename().string().starts_with(".here-0-") ? 1 : 0;
        return files;
    };
    REQUIRE(present() == 1);
    support::Child child([&](const auto&) {
        meeting.reset();
        return "ended";
    });
    REQUIRE(child.text() == "ended");
    CHECK(present() == 1);
    meeting.reset();
    CHECK(fs::is_empty(folder.path()));
}
