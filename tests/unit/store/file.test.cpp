// SPDX-License-Identifier: Apache-2.0
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/file.hpp>
#include <muster/store/file_chain.hpp>
#include <muster/store/file_entry.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../../support/child.hpp"
#include "../../support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace std::chrono_literals;
using muster::Deadline;
using muster::errc;
using muster::Error;
using muster::FileStore;
using support::Child;
using support::fast_place;
using support::Folder;
namespace fs = std::filesystem;

namespace {

using Keys = std::vector<std::string>;

Deadline soon() { return Deadline::after(60s); }

std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& bytes) {
    std::ofstream file(path, std::ios::binary);
    file << bytes;
}

template <class Body>
std::string refusal(errc code, const Body& body) {
    try {
        body();
    } catch (const Error& error) {
        CHECK(error.code() == code);
        CHECK(error.stage() == muster::Stage::store);
        return std::string(error.text());
    }
    FAIL("it did not throw");
    return {};
}

std::string text_of(const Error& error) { return std::string(to_string(error.code())) + ": " + error.what(); }

std::set<std::string> names(const fs::path& folder) {
    std::set<std::string> all;
    for (const auto& entry : fs::directory_iterator(folder)) all.insert(entry.path().filename().string());
    return all;
}

} // namespace

TEST_CASE("a person can read the folder") {
    const Folder folder;
    FileStore store(folder.path() / "job");
    store.set("hello/0", "first", soon());
    store.set("hello/0", "second", soon());
    store.append("log", "a", soon());
    CHECK(names(folder.path()) == std::set<std::string>{"job"});
    CHECK(names(folder.path() / "job") == std::set<std::string>{"hello%2F0", "log"});
    CHECK(names(folder.path() / "job/hello%2F0") == std::set<std::string>{"1", "2"});
    const std::string file = read(folder.path() / "job/hello%2F0/2");
    CHECK(file.starts_with("muster-store-1 value 7 6 6 "));
    CHECK(file.ends_with("\nhello/0\nsecond"));
    CHECK(store.path() == folder.path() / "job");
}

TEST_CASE("another process sees it, and a second one goes on") {
    const Folder folder;
    FileStore(folder.path()).set("key", "from before", soon());
    Child child([&](const Child::Say&) {
        FileStore store(folder.path());
        store.set("answer", store.get("key", soon()) + ", seen", soon());
        return store.get("go", soon());
    });
    FileStore store(folder.path());
    CHECK(store.get("answer", soon()) == "from before, seen");
    store.set("go", "on", soon());
    CHECK(child.text() == "on");
}

TEST_CASE("a relative path holds when the program changes its folder") {
    const Folder folder;
    const fs::path before = fs::current_path();
    fs::current_path(folder.path());
    FileStore store("here");
    fs::current_path(before);
    store.set("key", "1", soon());
    CHECK(fs::exists(folder.path() / "here/key/1"));
}

TEST_CASE("eight processes change one store and lose nothing") {
    const Folder folder(fast_place());
    constexpr int processes = 8, rounds = 200;
    std::vector<Child> children;
    for (int id = 0; id < processes; ++id)
        children.emplace_back([&, id](const Child::Say&) {
            FileStore store(folder.path());
            store.set("here/" + std::to_string(id), "1", soon());
            (void)store.get("go", soon());
            std::string seen;
            int won = 0;
            for (int i = 0; i < rounds; ++i) {
                store.add("sum", 1, soon());
                store.append("log", static_cast<char>('a' + id) + std::to_string(1000 + i), soon());
                const std::string mark = std::to_string(id) + "." + std::to_string(i);
                const std::string now = store.compare_set("turn", seen, mark, soon());
                if (now == mark) ++won;
                if (now == mark) store.add("won", 1, soon());
                seen = now;
            }
            return std::to_string(won);
        });
    FileStore store(folder.path());
    for (int id = 0; id < processes; ++id) (void)store.get("here/" + std::to_string(id), soon());
    store.set("go", "1", soon());
    int won = 0;
    for (Child& child : children) {
        const std::string text = child.text();
        REQUIRE(std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }));
        won += std::stoi(text);
    }
    CHECK(store.get("sum", soon()) == std::to_string(processes * rounds));
    CHECK(store.get("won", soon()) == std::to_string(won));
    // Every entry is there once, whole, and those of one process in their order.
    const std::string log = store.get("log", soon());
    REQUIRE(log.size() == std::size_t{5} * processes * rounds);
    std::vector<int> next(processes, 1000);
    for (std::size_t at = 0; at < log.size(); at += 5)
        CHECK(std::stoi(log.substr(at + 1, 4)) == next.at(static_cast<std::size_t>(log[at] - 'a'))++);
    CHECK(next == std::vector<int>(processes, 1000 + rounds));
    CHECK(FileStore(folder.path()).get("log", soon()) == log);
}

TEST_CASE("a process that is killed in the middle of a change holds nobody up and loses nothing") {
    const Folder folder(fast_place());
    FileStore store(folder.path());
    std::int64_t done = 0;
    for (int kill = 0; kill < 40; ++kill) {
        Child child([&](const Child::Say& say) {
            FileStore own(folder.path());
            for (;;) {
                own.add("sum", 1, soon());
                own.append("log", "x", soon());
                say("+");
            }
            return std::string();
        });
        std::this_thread::sleep_for(std::chrono::microseconds(500 + 1700 * (kill % 7)));
        child.kill();
        const auto said = static_cast<std::int64_t>(child.text().size());
        // What it said it had done is done; the last step may be, or half of it.
        const std::int64_t sum = store.add("sum", 0, soon());
        store.append("log", "y", soon());
        const std::string log = store.get("log", soon());
        CHECK(sum >= done + said);
        CHECK(sum <= done + said + 1);
        const auto logged = static_cast<std::int64_t>(std::count(log.begin(), log.end(), 'x'));
        CHECK(logged >= sum - kill - 1);
        CHECK(logged <= sum);
        done = sum;
    }
    CHECK(done > 0);
}

TEST_CASE("what killed writers left does not count, and is tidied away once old") {
    const Folder folder;
    FileStore store(folder.path());
    store.set("key", "1", soon());
    write(folder.path() / "key/.new-0123-1-1", "muster-store-1 va");
    write(folder.path() / ".new-0123-1-2", "");
    CHECK(store.get("key", soon()) == "1");
    CHECK(store.num_keys(soon()) == 1);
    for (int i = 0; i < 40; ++i) store.set("key", "2", soon());
    CHECK(names(folder.path() / "key").contains(".new-0123-1-1")); // its writer may be alive
    CHECK(names(folder.path() / "key").contains("1"));

    int error = 0;
    muster::detail::FileMemory memory;
    muster::detail::FileChain chain(muster::detail::open_folder(AT_FDCWD, (folder.path() / "key").string(), error),
                                    "key", "key", memory);
    chain.tidy(41, 0ns);
    CHECK(names(folder.path() / "key") == std::set<std::string>{"41"});
    CHECK(store.get("key", soon()) == "2");
    store.set("key", "3", soon());
    CHECK(FileStore(folder.path()).get("key", soon()) == "3");
}

TEST_CASE("a store that has not looked for long finds the newest after others tidied up") {
    const Folder folder;
    FileStore sleeper(folder.path()), other(folder.path());
    sleeper.append("key", "a", soon());
    CHECK(sleeper.get("key", soon()) == "a");
    for (int i = 0; i < 10; ++i) other.set("key", "b", soon());
    int error = 0;
    muster::detail::FileMemory memory;
    muster::detail::FileChain(muster::detail::open_folder(AT_FDCWD, (folder.path() / "key").string(), error), "key",
                              "key", memory)
        .tidy(11, 0ns);
    CHECK(sleeper.get("key", soon()) == "b");
    other.append("key", "c", soon());
    CHECK(sleeper.get("key", soon()) == "bc");
    sleeper.append("key", "d", soon());
    CHECK(other.get("key", soon()) == "bcd");
}

TEST_CASE("a long list is written whole now and then") {
    const Folder folder(fast_place());
    FileStore store(folder.path());
    std::string expected;
    for (int i = 0; i < 600; ++i) {
        store.append("log", std::to_string(i) + " ", soon());
        expected += std::to_string(i) + " ";
        if (i == 300) CHECK(store.get("log", soon()) == expected);
    }
    CHECK(store.get("log", soon()) == expected);
    CHECK(FileStore(folder.path()).get("log", soon()) == expected);
    CHECK(read(folder.path() / "log/512").starts_with("muster-store-1 value "));
    CHECK(read(folder.path() / "log/511").starts_with("muster-store-1 suffix "));
    for (int version = 1; version < 512; ++version) fs::remove(folder.path() / "log" / std::to_string(version));
    CHECK(FileStore(folder.path()).get("log", soon()) == expected);
    CHECK(store.remove("log", soon()));
    store.append("log", "anew", soon());
    CHECK(store.get("log", soon()) == "anew");
    CHECK(FileStore(folder.path()).get("log", soon()) == "anew");
}

TEST_CASE("a value never grows without bound") {
    const Folder folder(fast_place());
    FileStore store(folder.path());
    const std::string part(muster::max_value_bytes, 'v');
    for (int i = 0; i < 8; ++i) store.append("key", part, soon());
    CHECK_THAT(refusal(errc::invalid_argument, [&] { store.append("key", "x", soon()); }),
               ContainsSubstring("never has more than 67108864 bytes"));
    CHECK(store.get("key", soon()).size() == muster::max_grown_value_bytes);
}

TEST_CASE("files that are cut off, damaged or foreign are told apart from values") {
    const Folder folder;
    FileStore store(folder.path());
    store.set("key", "the value", soon());
    const fs::path file = folder.path() / "key/1";
    const std::string good = read(file);
    const auto seen = [&](const std::string& bytes) {
        write(file, bytes);
        return refusal(errc::protocol, [&] { (void)FileStore(folder.path()).get("key", soon()); });
    };
    CHECK_THAT(seen(""), ContainsSubstring(file.string() + " is empty"));
    CHECK_THAT(seen(good.substr(0, good.size() - 1)),
               ContainsSubstring(file.string() + " is cut off: it has " + std::to_string(good.size() - 1) + " of " +
                                 std::to_string(good.size()) + " bytes"));
    CHECK_THAT(seen(good.substr(0, 20)), ContainsSubstring("not written by this version of muster"));
    CHECK_THAT(seen(good + "x"), ContainsSubstring("is too long"));
    CHECK_THAT(seen("other program\n"), ContainsSubstring("it begins with 'other program\\x0a'"));
    CHECK_THAT(seen("muster-store-2" + good.substr(14)), ContainsSubstring("not written by this version"));
    CHECK_THAT(seen("muster-store-1 value 3 99999999999999999999 9 0\nkey\n"), ContainsSubstring("not written by"));
    CHECK_THAT(seen("muster-store-1 value 3 -1 9 0\nkey\n"), ContainsSubstring("not written by"));
    std::string damaged = good;
    damaged.back() = 'X';
    CHECK_THAT(seen(damaged), ContainsSubstring("its checksum does not fit"));
    store.set("kex", "the value", soon());
    CHECK_THAT(seen(read(folder.path() / "kex/1")), ContainsSubstring("is of key 'kex', not of 'key'"));
    CHECK_THAT(seen(good.substr(0, good.size() - 1)), ContainsSubstring("do: "));
    // One that looks at the key ends too.
    CHECK_THAT(refusal(errc::protocol, [&] { (void)FileStore(folder.path()).wait(Keys{"key"}, soon()); }),
               ContainsSubstring("is cut off"));
    CHECK_THAT(refusal(errc::protocol, [&] { FileStore(folder.path()).append("key", "x", soon()); }),
               ContainsSubstring("is cut off"));
    write(file, good);
    CHECK(store.get("key", soon()) == "the value");
}

TEST_CASE("what is no file is told") {
    const Folder folder;
    FileStore store(folder.path());
    store.set("key", "1", soon());
    SECTION("a folder in place of a file") {
        fs::create_directory(folder.path() / "key/2");
        CHECK_THAT(refusal(errc::protocol, [&] { (void)store.get("key", soon()); }),
                   ContainsSubstring("is not a file"));
    }
    SECTION("a pipe that nobody writes to") {
        REQUIRE(::mkfifo((folder.path() / "key/2").c_str(), 0600) == 0);
        CHECK_THAT(refusal(errc::protocol, [&] { (void)store.get("key", soon()); }),
                   ContainsSubstring("is not a file"));
    }
    SECTION("a file in place of the key's folder") {
        write(folder.path() / "other", "mine");
        for (const auto& call : {+[](FileStore& s) { s.set("other", "1", soon()); },
                                 +[](FileStore& s) { (void)s.wait(Keys{"other"}, soon()); }}) {
            const std::string text = refusal(errc::connection, [&] { call(store); });
            CHECK_THAT(text, ContainsSubstring((folder.path() / "other").string()));
            CHECK_THAT(text, ContainsSubstring("Not a directory"));
        }
    }
    SECTION("others' files are left alone") {
        write(folder.path() / "notes.txt", "mine");
        fs::create_directory(folder.path() / "sub");
        write(folder.path() / "sub/file", "mine");
        write(folder.path() / "key/readme", "mine");
        CHECK(store.num_keys(soon()) == 1);
        CHECK(store.get("key", soon()) == "1");
        CHECK(read(folder.path() / "notes.txt") == "mine");
    }
}

TEST_CASE("a folder that cannot be is noticed at once") {
    const Folder folder;
    write(folder.path() / "file", "mine");
    std::string text = refusal(errc::connection, [&] { FileStore store(folder.path() / "file"); });
    CHECK_THAT(text, ContainsSubstring("cannot open the folder " + (folder.path() / "file").string()));
    CHECK_THAT(text, ContainsSubstring("Not a directory"));
    text = refusal(errc::connection, [&] { FileStore store(folder.path() / "missing/inner"); });
    CHECK_THAT(text, ContainsSubstring("cannot make the folder " + (folder.path() / "missing/inner").string() +
                                       ": No such file or directory"));
    CHECK_THAT(text, ContainsSubstring("do: "));
}

TEST_CASE("an unwritable folder is noticed at once, one that becomes so later too") {
    const Folder folder;
    fs::create_directory(folder.path() / "store");
    const bool root = ::geteuid() == 0;
    // root may write everywhere; its child is somebody else.
    REQUIRE(::chmod(folder.path().c_str(), 0755) == 0);
    REQUIRE(::chmod((folder.path() / "store").c_str(), 0777) == 0);
    Child child([&](const Child::Say&) -> std::string {
        if (root && ::setuid(65534) != 0) return "cannot become another user";
        FileStore store(folder.path() / "store");
        store.set("key", "1", soon());
        if (::chmod((folder.path() / "store/key").c_str(), 0555) != 0) return "chmod";
        std::string all;
        try {
            store.set("key", "2", soon());
        } catch (const Error& error) {
            all += text_of(error) + "\n";
        }
        if (store.get("key", soon()) != "1") all += "the value changed\n";
        if (::chmod((folder.path() / "store/key").c_str(), 0) != 0) return "chmod";
        try {
            (void)store.wait(Keys{"key"}, soon());
        } catch (const Error& error) {
            all += text_of(error) + "\n";
        }
        try {
            const FileStore unwritable(folder.path()); // another user's, or made so below
            all += "it was made\n";
        } catch (const Error& error) {
            all += text_of(error) + "\n";
        }
        return all;
    });
    if (!root) {
        SUCCEED("the folder of this user is unwritable for it only by mode, which the child's own folders show");
    }
    const std::string text = child.text();
    const std::string key = (folder.path() / "store/key").string();
    CHECK_THAT(text, ContainsSubstring("connection: muster: cannot write into " + key + ": Permission denied"));
    CHECK_THAT(text, ContainsSubstring("cannot open the folder " + key + ": Permission denied"));
    if (root)
        CHECK_THAT(text, ContainsSubstring("cannot write into " + folder.path().string() + ": Permission denied"));
    CHECK_THAT(text, !ContainsSubstring("the value changed"));
    (void)::chmod(key.c_str(), 0777);
}

TEST_CASE("a full disk and a read-only one are named") {
    const Folder folder;
    Child child([&](const Child::Say&) -> std::string {
        if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0)
            return std::string("skip: cannot mount: ") + std::strerror(errno);
        FileStore store(folder.path());
        std::string all;
        store.set("key", "small", soon());
        try {
            store.set("big", std::string(1 << 20, 'x'), soon());
        } catch (const Error& error) {
            all += text_of(error) + "\n";
        }
        for (const auto& name : names(folder.path() / "big")) all += "left: " + name + "\n";
        store.set("key", "still works", soon());
        all += store.get("key", soon()) + "\n";
        if (::mount(nullptr, folder.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0)
            return all + "remount";
        all += store.get("key", soon()) + " too\n";
        for (const auto& call : {+[](FileStore&s, const Folder&) { s.set("key", "2", soon()); },
                                 +[](FileStore&s, const Folder&) { s.set("new", "2", soon()); },
                                 +[](FileStore&, const Folder&f) { FileStore another(f.path()); }})
            try {
                call(store, folder);
            } catch (const Error& error) {
                all += text_of(error) + "\n";
            }
        return all;
    });
    const std::string text = child.text();
    if (text.starts_with("skip: ")) SKIP(text.substr(6));
    const std::string path = folder.path().string();
    CHECK_THAT(text, ContainsSubstring("connection: muster: cannot write into " + path +
                                       "/big: No space left on device\n"
                                       "  do: make room on that file system"));
    CHECK_THAT(text, !ContainsSubstring("left: "));
    CHECK_THAT(text, ContainsSubstring("still works\nstill works too\n"));
    CHECK_THAT(text, ContainsSubstring("cannot write into " + path + "/key: Read-only file system\n"));
    CHECK_THAT(text, ContainsSubstring("cannot make the folder " + path + "/new: Read-only file system\n"));
    CHECK_THAT(text, ContainsSubstring("cannot write into " + path +
                                       ": Read-only file system\n  do: give a folder on a "
                                       "file system that is not mounted read-only"));
}

TEST_CASE("a folder that is removed meanwhile ends every operation, not at its deadline") {
    const Folder folder;
    const fs::path path = folder.path() / "store";
    FileStore store(path), waiting(path);
    store.set("key", "1", soon());
    auto waited = std::async(std::launch::async,
                             [&] { return refusal(errc::connection, [&] { (void)waiting.get("missing", soon()); }); });
    CHECK(waited.wait_for(20ms) == std::future_status::timeout);
    const auto start = Deadline::Clock::now();
    const bool anew = GENERATE(false, true);
    fs::remove_all(path);
    if (anew) {
        fs::create_directory(path);
        FileStore(path).set("missing", "of another run", soon());
    }
    const std::string words = anew ? "was removed and made anew" : "No such file or directory";
    CHECK_THAT(waited.get(), ContainsSubstring(words));
    CHECK_THAT(refusal(errc::connection, [&] { store.set("key", "2", soon()); }), ContainsSubstring(words));
    CHECK_THAT(refusal(errc::connection, [&] { (void)store.check(Keys{"key"}, soon()); }),
               ContainsSubstring(path.string()));
    CHECK_THAT(refusal(errc::connection, [&] { store.add("n", 1, soon()); }), ContainsSubstring(words));
    CHECK_THAT(refusal(errc::connection, [&] { (void)store.num_keys(soon()); }), ContainsSubstring(words));
    CHECK(Deadline::Clock::now() - start < 30s);
}
