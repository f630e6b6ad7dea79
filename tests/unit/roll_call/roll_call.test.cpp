// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/launch.hpp>
#include <muster/roll_call/answer.hpp>
#include <muster/roll_call/caller.hpp>
#include <muster/roll_call/commit.hpp>
#include <muster/roll_call/responder.hpp>
#include <muster/roll_call/roll_call.hpp>
#include <muster/roll_call/watch.hpp>
#include <muster/store/memory.hpp>
#include <muster/store/tcp.hpp>
#include <muster/store/tcp_server.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using namespace std::chrono_literals;
using muster::AnyStore;
using muster::call_roll;
using muster::Deadline;
using muster::errc;
using muster::Error;
using muster::MemoryStore;
using muster::Record;
using muster::Session;

namespace {

Record record(int rank, int world_size) {
    muster::Launch launch;
    launch.rank = rank;
    launch.world_size = world_size;
    Record result = make_record(launch);
    result.mesh = "dp=2";
    return result;
}

muster::RollCallOptions options(std::chrono::milliseconds timeout, muster::LogSink log = {}, bool fresh = false) {
    return {.deadline = Deadline::after(timeout), .timeout = timeout, .log = std::move(log), .fresh = fresh};
}

/// What became of one rank: a session, or the text of its error.
struct End {
    int rank = 0;
    Session session;
    std::string text;
    std::vector<int> about;
    errc code{};
    bool failed = false;
    bool shared = false;
};

End failed(int rank, const Error& error) {
    return {rank, {}, std::string(error.text()), error.ranks(), error.code(), true, error.shared()};
}

// Threads give back what they saw: only the test's own thread may check it.
template <class S>
End meet(S store, Record self, std::chrono::milliseconds timeout, muster::LogSink log = {}, bool fresh = false) {
    End end{self.rank, {}, {}, {}, {}, false, false};
    AnyStore any(std::move(store));
    try {
        end.session =
            call_roll(any, self, "payload of " + std::to_string(self.rank), options(timeout, std::move(log), fresh));
        const auto payloads = muster::detail::payloads(end.session);
        for (int rank = 0; rank < end.session.world_size(); ++rank)
            if (payloads[static_cast<std::size_t>(rank)] != "payload of " + std::to_string(rank))
                throw std::runtime_error("wrong payload");
        end.session.records = muster::detail::fetch_records(any, end.session, Deadline::after(timeout));
        commit(any, end.session, Deadline::after(timeout));
    } catch (const Error& error) {
        return failed(self.rank, error);
    }
    return end;
}

std::vector<End> meet_all(const MemoryStore& store, std::vector<Record> records,
                          std::chrono::milliseconds timeout = 10s, bool fresh = false) {
    std::vector<std::future<End>> threads;
    for (const Record& each : records)
        threads.push_back(std::async(std::launch::async, [=] { return meet(store, each, timeout, {}, fresh); }));
    std::vector<End> ends;
    for (auto& thread : threads) ends.push_back(thread.get());
    return ends;
}

std::vector<Record> world(int size) {
    std::vector<Record> records;
    for (int rank = 0; rank < size; ++rank) records.push_back(record(rank, size));
    return records;
}

void check_formed(const std::vector<End>& ends) {
    std::set<std::string> ids;
    for (const End& end : ends) {
        CHECK(end.text.empty());
        CHECK(end.session.rank == end.rank);
        CHECK(end.session.world_size() == static_cast<int>(ends.size()));
        for (int rank = 0; rank < end.session.world_size(); ++rank)
            CHECK(end.session.records[static_cast<std::size_t>(rank)].rank == rank);
        ids.insert(end.session.id);
    }
    CHECK(ids.size() == 1);
}

void check_refused(const std::vector<End>& ends, errc code, const std::vector<int>& about, const std::string& words) {
    for (const End& end : ends) {
        CHECK(end.failed);
        CHECK(end.code == code);
        CHECK(end.about == about);
        CHECK(end.shared);
        CHECK(end.text == ends.front().text);
        CHECK_THAT(end.text, ContainsSubstring(words));
    }
}

/// What a process that died after its hello leaves behind.
void leave_hello(const MemoryStore& store, const Record& dead) {
    AnyStore any{MemoryStore(store)};
    const auto hello = muster::detail::hello_notes(dead, "payload", false);
    any.append(hello.append_keys[0], hello.append_values[0], Deadline::after(1s));
    any.multi_set(hello.set_keys, hello.set_values, Deadline::after(1s));
}

/// How many records stand in the roll.
std::size_t hellos(MemoryStore& store) {
    const std::vector<std::string> roll{"roll"};
    if (!store.check(roll, Deadline::after(1s))) return 0;
    const std::string list = store.get("roll", Deadline::after(1s));
    std::size_t count = 0;
    for (std::string_view rest = list; !rest.empty(); ++count) {
        (void)muster::detail::Fields::take_text(rest); // the record
        (void)muster::detail::Fields::take_text(rest); // the payload
    }
    return count;
}

/// Counts the operations that wait for other ranks.
class CountingStore : public MemoryStore {
public:
    CountingStore(MemoryStore store, std::atomic<int>& waits) : MemoryStore(std::move(store)), waits_(&waits) {}

    bool wait(std::span<const std::string> keys, Deadline deadline) {
        if (check(keys, deadline)) return true;
        ++*waits_;
        return MemoryStore::wait(keys, deadline);
    }

private:
    std::atomic<int>* waits_;
};

} // namespace

TEST_CASE("a world meets on a clean store") {
    const int size = GENERATE(1, 2, 3, 4, 8, 32);
    const bool fresh = GENERATE(false, true);
    check_formed(meet_all(MemoryStore(), world(size), 10s, fresh));
}

TEST_CASE("a rank waits for others at most three times in all of init") {
    const MemoryStore store;
    std::vector<std::atomic<int>> waits(4);
    std::vector<std::future<End>> threads;
    for (int rank = 0; rank < 4; ++rank)
        threads.push_back(std::async(std::launch::async, [&, rank] {
            return meet(CountingStore(store, waits[static_cast<std::size_t>(rank)]), record(rank, 4), 10s);
        }));
    for (auto& thread : threads) CHECK(thread.get().text.empty());
    // Rank 0 looks again while others are late; every other rank waits for the answer, the verdict and the commit.
    for (int rank = 1; rank < 4; ++rank) CHECK(waits[static_cast<std::size_t>(rank)] <= 3);
}

TEST_CASE("missing ranks are named on every rank") {
    auto records = world(5);
    records.erase(records.begin() + 4);
    records.erase(records.begin() + 2);
    const auto ends = meet_all(MemoryStore(), records, 300ms, GENERATE(false, true));
    check_refused(ends, errc::missing_ranks, {2, 4}, "2 of 5 ranks did not arrive within 0.3 s: 2, 4");
}

TEST_CASE("without rank 0 the others say so") {
    auto records = world(3);
    records.erase(records.begin());
    for (const End& end : meet_all(MemoryStore(), records, 200ms)) {
        CHECK(end.code == errc::missing_ranks);
        CHECK(end.about == std::vector{0});
        CHECK_FALSE(end.shared);
    }
}

TEST_CASE("a doubled rank is named on every rank") {
    // The doubled ones say hello before the world can be complete; the last rank completes it.
    const int doubled = GENERATE(0, 1, 2);
    const MemoryStore store;
    std::vector<std::future<End>> threads;
    const auto start = [&](int rank) {
        threads.push_back(std::async(std::launch::async, [=] { return meet(store, record(rank, 4), 10s); }));
    };
    start(doubled);
    start(doubled);
    MemoryStore handle = store;
    while (hellos(handle) < 2) std::this_thread::yield();
    for (int rank = 0; rank < 4; ++rank)
        if (rank != doubled) start(rank);
    std::vector<End> ends;
    for (auto& thread : threads) ends.push_back(thread.get());
    check_refused(ends, errc::duplicate_rank, {doubled}, "claimed by more than one process");
}

TEST_CASE("one process too many hears of it, and the world does not") {
    const MemoryStore store;
    check_formed(meet_all(store, world(2), 10s, true));
    Record another = record(1, 2);
    ++another.pid;
    const End late = meet(store, another, 10s, {}, true);
    CHECK(late.code == errc::duplicate_rank);
    CHECK_THAT(late.text, ContainsSubstring("one process too many: rank 0 ("));
    CHECK_FALSE(late.shared);
}

TEST_CASE("a process that finds its own last world waits for the next one elsewhere") {
    const MemoryStore store;
    check_formed(meet_all(store, world(2), 10s, true));
    CHECK_THROWS_AS(meet(store, record(1, 2), 10s, {}, true), muster::detail::StoreOfOldWorld);
}

TEST_CASE("a doubled rank in place of another") {
    auto records = world(3);
    records[1] = record(2, 3);
    check_refused(meet_all(MemoryStore(), records, 10s, GENERATE(false, true)), errc::duplicate_rank, {2},
                  "claimed by more than one process");
}

TEST_CASE("a rank of another world is named on every rank") {
    auto records = world(4);
    records[2].world_size = GENERATE(3, 8);
    check_refused(meet_all(MemoryStore(), records, 10s, GENERATE(false, true)), errc::disagreement, {2},
                  "ranks disagree on the world size");
}

TEST_CASE("a rank outside the world is named on every rank") {
    // It says hello before the world can be complete.
    const MemoryStore store;
    auto outside = std::async(std::launch::async, [&] { return meet(store, record(6, 8), 10s); });
    MemoryStore handle = store;
    while (hellos(handle) < 1) std::this_thread::yield();
    auto ends = meet_all(store, world(3));
    ends.push_back(outside.get());
    check_refused(ends, errc::disagreement, {6}, "ranks disagree on the world size");
}

TEST_CASE("an answer that names a rank outside the world is refused") {
    const auto read = [](const std::string& rank) {
        Session session{.size = 2};
        muster::detail::Fields::put_text(session.answer, rank);
        muster::detail::Fields::put_text(session.answer, "payload");
        return muster::detail::payloads(session);
    };
    CHECK(read("1") == std::vector<std::string>{"", "payload"});
    const std::string outside = GENERATE("2", "-1", "2147483647", "99999999999", "1x", "");
    CAPTURE(outside);
    try {
        (void)read(outside);
        FAIL("no error");
    } catch (const Error& error) {
        CHECK(error.code() == errc::protocol);
        CHECK_THAT(std::string(error.text()), ContainsSubstring("the roll call's answer names rank "));
    }
}

TEST_CASE("a verdict on a world of another size is refused") {
    const std::string size = GENERATE("-1", "0", "", "many", "1", "3", "2147483647");
    const Record self = record(1, 2);
    muster::detail::Fields verdict;
    verdict.set("size", size);
    muster::detail::Fields answer;
    answer.set("session", "forged");
    answer.set("verdict", verdict.encode());
    MemoryStore memory;
    AnyStore store{memory};
    store.set(muster::detail::answer_key(self.nonce), answer.encode(), Deadline::after(10s));
    CAPTURE(size);
    try {
        (void)call_roll(store, self, "", options(10s));
        FAIL("it is believed");
    } catch (const Error& error) {
        CHECK(error.code() == errc::protocol);
        CHECK_THAT(error.what(), ContainsSubstring("same store and keys"));
    }
}

TEST_CASE("an error of rank 0's own is everybody's, and is logged once") {
    const bool fresh = GENERATE(false, true);
    const MemoryStore store;
    std::mutex mutex;
    std::vector<std::string> logged;
    const auto all = world(3);
    std::vector<std::future<End>> threads;
    for (const Record& each : all)
        threads.push_back(std::async(std::launch::async, [&, each] {
            AnyStore any{MemoryStore(store)};
            auto mine = options(
                10s,
                [&](std::string_view line) {
                    const std::lock_guard lock(mutex);
                    logged.emplace_back(line);
                },
                fresh);
            mine.combine = [](const std::vector<std::string>&) -> std::string {
                throw Error(errc::backend, muster::Stage::communicator, "no answer can be made of this");
            };
            try {
                return End{each.rank, call_roll(any, each, "payload", mine), {}, {}, {}, false, false};
            } catch (const Error& error) {
                return failed(each.rank, error);
            }
        }));
    std::vector<End> ends;
    for (auto& thread : threads) ends.push_back(thread.get());
    check_refused(ends, errc::backend, {}, "no answer can be made of this");
    CHECK(logged == std::vector<std::string>{"muster: no answer can be made of this"});
}

TEST_CASE("a rank with another mesh is named on every rank") {
    auto records = world(4);
    records[3].mesh = "dp=4";
    check_refused(meet_all(MemoryStore(), records, 10s, GENERATE(false, true)), errc::disagreement, {3},
                  "ranks disagree on the mesh");
}

TEST_CASE("a rank that failed before is quoted on every rank") {
    auto records = world(4);
    records[1].failure = {errc::device, muster::Stage::device, "no device here"};
    check_refused(meet_all(MemoryStore(), records, 10s, GENERATE(false, true)), errc::remote, {1}, "no device here");
}

TEST_CASE("what an earlier run left behind does not count") {
    const MemoryStore store;
    SECTION("hellos of all ranks") {
        for (const Record& dead : world(4)) leave_hello(store, dead);
    }
    SECTION("hellos of some ranks, several times") {
        for (int i = 0; i < 5; ++i) leave_hello(store, record(1, 4));
        leave_hello(store, record(3, 4));
    }
    SECTION("hellos of a larger world") {
        for (const Record& dead : world(16)) leave_hello(store, dead);
    }
    SECTION("a rank 0 that nobody answered") { leave_hello(store, record(0, 4)); }
    SECTION("a hello without its entry in the roll") {
        MemoryStore handle = store;
        handle.set("hello/2", "stale", Deadline::after(1s));
    }
    SECTION("whole runs") {
        for (int run = 0; run < 3; ++run) check_formed(meet_all(store, world(4)));
    }
    check_formed(meet_all(store, world(4)));
}

TEST_CASE("the hellos of a rank that waits for rank 0 become ever fewer") {
    auto last = 0ms;
    int early = 0;
    int all = 0;
    for (auto waited = 5s; waited < 24h; waited += 5s) {
        if (!muster::detail::hello_is_due(last, waited - last)) continue;
        last = waited;
        ++all;
        if (waited <= 40s) ++early;
    }
    CHECK(early == 8);
    CHECK(all <= 70);
}

TEST_CASE("on a dirty store a missing rank is still missing") {
    const MemoryStore store;
    for (const Record& dead : world(4)) leave_hello(store, dead);
    auto records = world(4);
    records.erase(records.begin() + 3);
    check_refused(meet_all(store, records, 500ms), errc::missing_ranks, {3}, "1 of 4 ranks did not arrive");
}

TEST_CASE("a rank that gave up ends the roll call for all") {
    const MemoryStore store;
    auto impatient = std::async(std::launch::async, [&] { return meet(store, record(1, 3), 300ms); });
    const auto start = Deadline::Clock::now();
    const End patient = meet(store, record(0, 3), 30s);
    CHECK(Deadline::Clock::now() - start < 10s);
    CHECK(patient.code == errc::missing_ranks);
    CHECK(impatient.get().text == patient.text);
}

TEST_CASE("rank 0 says who is missing while it waits") {
    const MemoryStore store;
    std::mutex mutex;
    std::vector<std::string> lines;
    const muster::LogSink log = [&](std::string_view line) {
        const std::lock_guard lock(mutex);
        lines.emplace_back(line);
    };
    auto present = std::async(std::launch::async, [&] { return meet(store, record(1, 3), 4s); });
    CHECK(meet(store, record(0, 3), 4s, log).failed);
    CHECK(present.get().failed);
    REQUIRE_FALSE(lines.empty());
    CHECK_THAT(lines.front(), ContainsSubstring("muster: waiting for 1 of 3 ranks: 2"));
}

namespace {

/// Calls the roll with threads 0 to size - 1 and then does `step`; gives back how each thread ended.
template <class Step>
std::vector<End> after_the_roll_call(int size, const Step& step, std::chrono::milliseconds timeout = 10s,
                                     muster::LogSink log = {}) {
    const MemoryStore store;
    std::vector<std::future<End>> threads;
    for (int rank = 0; rank < size; ++rank)
        threads.push_back(std::async(std::launch::async, [&, rank] {
            AnyStore any{MemoryStore(store)};
            try {
                Session session = call_roll(any, record(rank, size), "", options(10s, log));
                session.timeout = timeout; // for texts
                step(any, session);
            } catch (const Error& error) {
                return failed(rank, error);
            }
            return End{rank, {}, {}, {}, {}, false, false};
        }));
    std::vector<End> ends;
    for (auto& thread : threads) ends.push_back(thread.get());
    return ends;
}

/// What a backend throws when its own time is up.
Error timed_out(int rank) {
    return {errc::timeout, muster::Stage::communicator,
            "no connection of " + std::to_string(rank) + " in time\n  last seen: nothing"};
}

} // namespace

TEST_CASE("a rank that fails after the roll call is quoted by all") {
    const int failing = GENERATE(0, 2);
    const auto ends = after_the_roll_call(3, [&](AnyStore& store, const Session& session) {
        if (session.rank == failing)
            report_failure(store, session, Error(errc::backend, muster::Stage::communicator, "cable cut"));
        commit(store, session, Deadline::after(10s));
    });
    check_refused(ends, errc::remote, {failing}, "cable cut");
}

TEST_CASE("of two failures all ranks quote one, and it is logged once") {
    std::mutex mutex;
    std::vector<std::string> lines;
    const muster::LogSink log = [&](std::string_view line) {
        const std::lock_guard lock(mutex);
        lines.emplace_back(line);
    };
    const auto ends = after_the_roll_call(
        4,
        [&](AnyStore& store, const Session& session) {
            if (session.rank % 2 == 1)
                report_failure(
                    store, session,
                    Error(errc::backend, muster::Stage::communicator, "cable " + std::to_string(session.rank)));
            commit(store, session, Deadline::after(10s));
        },
        10s, log);
    check_refused(ends, errc::remote, ends[0].about, "cable ");
    REQUIRE(lines.size() == 1);
    CHECK(lines[0] == "muster: " + ends[0].text);
}

TEST_CASE("a rank that never commits is named") {
    const auto ends = after_the_roll_call(
        3,
        [&](AnyStore& store, const Session& session) {
            if (session.rank != 2) commit(store, session, Deadline::after(300ms));
        },
        300ms);
    CHECK_FALSE(ends[2].failed);
    check_refused({ends[0], ends[1]}, errc::missing_ranks, {2}, "did not finish connecting within 0.3 s: 2 (");
}

TEST_CASE("rank 0 names all that are late when the time is up, itself too, and all take its word") {
    std::mutex mutex;
    std::vector<std::string> lines;
    const muster::LogSink log = [&](std::string_view line) {
        const std::lock_guard lock(mutex);
        lines.emplace_back(line);
    };
    const auto ends = after_the_roll_call(
        4,
        [&](AnyStore& store, const Session& session) {
            if (session.rank == 2) return commit(store, session, Deadline::after(10s));
            const std::vector<std::string> done{muster::detail::done_key(session, 2)};
            if (session.rank == 0) (void)store.wait(done, Deadline::after(10s));
            report_failure(store, session, timed_out(session.rank));
        },
        300ms, log);
    check_refused(ends, errc::missing_ranks, {0, 1, 3}, "did not finish connecting within 0.3 s: 0 (");
    CHECK_THAT(ends[0].text, ContainsSubstring("3 of 4 ranks came to the roll call but"));
    CHECK_THAT(ends[0].text, ContainsSubstring("\n  rank 0: no connection of 0 in time\n    last seen: nothing"));
    REQUIRE(lines.size() == 1);
    CHECK(lines[0] == "muster: " + ends[0].text);
}

TEST_CASE("a rank whose time is up leaves the word to a rank 0 that has connected") {
    const auto ends = after_the_roll_call(3, [&](AnyStore& store, const Session& session) {
        if (session.rank == 1) {
            std::this_thread::sleep_for(300ms);
            report_failure(store, session, timed_out(1));
        }
        commit(store, session, Deadline::after(300ms));
    });
    check_refused(ends, errc::missing_ranks, {1}, "1 of 3 ranks came to the roll call but did not finish");
    CHECK(ends[0].text.find("rank 1: no connection of 1") != std::string::npos);
}

TEST_CASE("a rank whose time is up speaks for itself when rank 0 says nothing") {
    const auto ends = after_the_roll_call(3, [&](AnyStore& store, const Session& session) {
        if (session.rank == 1) report_failure(store, session, timed_out(1));
        if (session.rank == 2) commit(store, session, Deadline::after(10s));
    });
    CHECK_FALSE(ends[0].failed); // it was gone
    check_refused({ends[1], ends[2]}, errc::remote, {1}, ") failed (communicator): no connection of 1 in time");
}

TEST_CASE("a failure that was told before the time was up stays the word") {
    const auto ends = after_the_roll_call(3, [&](AnyStore& store, const Session& session) {
        if (session.rank == 2)
            report_failure(store, session, Error(errc::backend, muster::Stage::communicator, "cable cut"));
        const std::vector<std::string> outcome{session.key("outcome")};
        (void)store.wait(outcome, Deadline::after(10s));
        report_failure(store, session, timed_out(session.rank));
    });
    check_refused(ends, errc::remote, {2}, "cable cut");
}

TEST_CASE("a watch calls when another rank fails, and only then") {
    const MemoryStore store;
    const Session session{.id = "session", .size = 2, .records = {record(0, 2), record(1, 2)}};
    AnyStore watched{MemoryStore(store)};
    std::promise<void> called;
    auto interrupted = called.get_future();
    {
        std::atomic<int> calls = 0;
        {
            const muster::detail::FailureWatch quiet(watched, session, Deadline::after(20s), [&] { ++calls; });
        }
        CHECK(calls == 0);
    }
    const muster::detail::FailureWatch watch(watched, session, Deadline::after(20s), [&] { called.set_value(); });
    AnyStore other{MemoryStore(store)};
    other.set(session.key("outcome"), "failure", Deadline::after(1s));
    CHECK(interrupted.wait_for(10s) == std::future_status::ready);
}

namespace {

/// A rank's connection to the store of a server, as EnvRendezvous makes it.
AnyStore connect(const muster::TcpStoreServer& server, int rank, std::chrono::milliseconds timeout = 30s) {
    return AnyStore(muster::TcpStore("127.0.0.1", server.port(), Deadline::after(timeout),
                                     rank == 0 ? muster::StoreServer::any : muster::StoreServer::muster));
}

} // namespace

TEST_CASE("a rank that ends after its hello is noticed by its closed connection") {
    const muster::TcpStoreServer server("127.0.0.1", 0);
    const Record dead = record(1, 4);
    {
        AnyStore store = connect(server, 1);
        const auto hello = muster::detail::hello_notes(dead, "payload", true);
        CHECK_FALSE(store.exchange(hello, "never", Deadline::after(100ms)));
    }
    std::vector<std::future<End>> threads;
    const auto start = Deadline::Clock::now();
    for (const int rank : {0, 2})
        threads.push_back(std::async(std::launch::async, [&, rank] {
            return meet(AnyStore(connect(server, rank)), record(rank, 4), 30s, {}, true);
        }));
    std::vector<End> ends;
    for (auto& thread : threads) ends.push_back(thread.get());
    CHECK(Deadline::Clock::now() - start < 15s);
    check_refused(ends, errc::missing_ranks, {1}, "1 of 4 ranks ended without a word after their hello");
    CHECK_THAT(ends[0].text, ContainsSubstring(process_name(dead)));
}

TEST_CASE("a rank that ends while the ranks connect is noticed by its closed connection") {
    const muster::TcpStoreServer server("127.0.0.1", 0);
    std::vector<std::future<End>> threads;
    const auto start = Deadline::Clock::now();
    for (int rank = 0; rank < 3; ++rank)
        threads.push_back(std::async(std::launch::async, [&, rank] {
            AnyStore store = connect(server, rank);
            try {
                const Session session = call_roll(store, record(rank, 3), "", options(30s, {}, true));
                if (rank == 2) {
                    muster::detail::tell_place(store, session, "at a test's edge", Deadline::after(10s));
                    store = AnyStore();
                    return End{rank, {}, {}, {}, {}, false, false};
                }
                commit(store, session, Deadline::after(30s));
            } catch (const Error& error) {
                return failed(rank, error);
            }
            return End{rank, {}, {}, {}, {}, false, false};
        }));
    std::vector<End> ends;
    for (auto& thread : threads) ends.push_back(thread.get());
    CHECK(Deadline::Clock::now() - start < 15s);
    check_refused({ends[0], ends[1]}, errc::missing_ranks, {2}, "1 of 3 ranks ended without a word while");
    CHECK_THAT(ends[0].text, ContainsSubstring("last seen at a test's edge: rank 2"));
}

TEST_CASE("a rank that connects anew is not taken for dead") {
    const muster::TcpStoreServer server("127.0.0.1", 0);
    const Record twice = record(1, 2);
    auto store = std::make_unique<AnyStore>(connect(server, 1));
    const auto hello = muster::detail::hello_notes(twice, "payload of 1", true);
    CHECK_FALSE(store->exchange(hello, "never", Deadline::after(100ms)));
    store.reset();
    auto other =
        std::async(std::launch::async, [&] { return meet(AnyStore(connect(server, 1)), twice, 30s, {}, true); });
    const End end = meet(AnyStore(connect(server, 0)), record(0, 2), 30s, {}, true);
    CHECK_FALSE(end.failed);
    CHECK_FALSE(other.get().failed);
}

namespace {

/// Runs the next step of a script, if any is left, before each wait of the one rank that uses it.
struct ScriptedStore : MemoryStore {
    explicit ScriptedStore(const MemoryStore& store, std::vector<std::function<void(Deadline)>> steps)
        : MemoryStore(store),
          steps_(std::move(steps)) {}

    [[nodiscard]] bool wait(std::span<const std::string> keys, Deadline deadline) {
        if (next_ < steps_.size()) steps_[next_++](deadline);
        return MemoryStore::wait(keys, deadline);
    }

private:
    std::vector<std::function<void(Deadline)>> steps_;
    std::size_t next_ = 0;
};

} // namespace

TEST_CASE("a gap that closed again is forgotten: rank 0 waits as before, and the next one has its time too") {
    MemoryStore store;
    const Record first = record(1, 3);
    bool pauses = false;
    const auto lose = [&](Deadline) { store.append("gone", first.nonce, Deadline::after(5s)); };
    const auto come = [&](Deadline) { leave_hello(store, first); };
    const auto settled = [](Deadline) { std::this_thread::sleep_for(muster::detail::settling_time); };
    const auto look = [&](Deadline until) {
        pauses = !until.expired();
        lose(until);
    };
    const auto last = [&](Deadline) { leave_hello(store, record(2, 3)); };
    AnyStore any(ScriptedStore(store, {come, lose, come, settled, look, come, last}));
    const Session session = call_roll(any, record(0, 3), "payload", options(20s, {}, true));
    CHECK(session.world_size() == 3);
    CHECK(pauses);
}

TEST_CASE("a world of 100,000 ranks forms within a store's limits") {
    constexpr int size = 100'000;
    MemoryStore store;
    const auto member = [template_record = record(0, size)](int rank) {
        Record each = template_record;
        each.rank = rank;
        each.pid = rank + 1;
        const std::string digits = std::to_string(rank);
        each.nonce = std::string(32 - digits.size(), '0') + digits;
        each.device_source = std::string(600, 'd'); // as long as those of a large machine
        return each;
    };
    for (int rank = 1; rank < size; ++rank) leave_hello(store, member(rank));
    AnyStore any{MemoryStore(store)};
    auto agreed = options(300s, {}, true);
    agreed.combine = [](const std::vector<std::string>&) { return std::string("one"); };
    const Record first = member(0);
    const Session session = muster::detail::RollCaller(any, first, "", agreed).call();
    REQUIRE(session.world_size() == size);
    const Session other{.id = session.id, .rank = 1, .size = size};
    const auto records = muster::detail::fetch_records(any, other, Deadline::after(300s));
    REQUIRE(records.size() == session.records.size());
    CHECK(records.back() == session.records.back());
    CHECK(records.back().rank == size - 1);
}

TEST_CASE("the records of a small world are one piece") {
    CHECK(muster::detail::encode_records(world(64)).size() == 1);
}

namespace {

/// Counts its questions.
struct AskedStore : MemoryStore {
    AskedStore(const MemoryStore& store, int& questions) : MemoryStore(store), questions_(&questions) {}

    [[nodiscard]] bool check(std::span<const std::string> keys, Deadline deadline) {
        ++*questions_;
        return MemoryStore::check(keys, deadline);
    }

private:
    int* questions_;
};

} // namespace

TEST_CASE("rank 0 asks few questions to learn who of a thousand ranks is late") {
    constexpr int size = 1000;
    const bool all_late = GENERATE(false, true);
    Session session{.id = "session", .size = size, .records = world(size)};
    MemoryStore store;
    for (int rank = 1; rank < size; ++rank) {
        const bool late = all_late || rank == 700;
        store.set("session/at/" + std::to_string(rank), "connecting", Deadline::after(5s));
        store.set((late ? "session/late/" : "session/done/") + std::to_string(rank), late ? "no peer" : "+",
                  Deadline::after(5s));
    }
    int questions = 0;
    AnyStore any(AskedStore(store, questions));
    const auto found = muster::detail::find_late(any, session, {}, Deadline::after(60s));
    REQUIRE(found);
    CHECK(found->ranks.size() == (all_late ? 999 : 1));
    CHECK_THAT(found->text, ContainsSubstring("last seen connecting: ") && ContainsSubstring(": no peer"));
    CHECK(questions < 60);
}
