// SPDX-License-Identifier: Apache-2.0
// Ranks as processes: this program again, with one hidden test and a script.
#include <catch2/catch_test_macros.hpp>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "clique.hpp"

extern char** environ;

using namespace clique;
using namespace std::chrono_literals;

namespace {

std::string hex_of(const ncclUniqueId& id) {
    std::string text;
    for (const char c : id.internal) {
        constexpr const char* digits = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(c);
        text += digits[byte / 16];
        text += digits[byte % 16];
    }
    return text;
}

ncclUniqueId id_of(const std::string& hex) {
    ncclUniqueId id{};
    for (std::size_t i = 0; i < sizeof(id.internal); ++i) {
        id.internal[i] = static_cast<char>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
    }
    return id;
}

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

/// Starts the hidden test as the rank with the script.
pid_t start(const char* test, int rank, const std::string& script, const std::string& id) {
    std::vector<std::string> variables = {"MUSTER_STANDIN=" + script, "RANK=" + std::to_string(rank),
                                          "STANDIN_ID=" + id};
    std::vector<char*> environment;
    for (char** one = environ; *one != nullptr; ++one) environment.push_back(*one);
    for (auto& one : variables) environment.push_back(one.data());
    environment.push_back(nullptr);
    std::string program = "/proc/self/exe";
    std::string name = test;
    std::string quiet = "--out=/dev/null";
    char* arguments[] = {program.data(), name.data(), quiet.data(), nullptr};
    posix_spawn_file_actions_t actions;
    check(::posix_spawn_file_actions_init(&actions) == 0, "posix_spawn_file_actions_init");
    check(::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0) == 0, "stderr");
    pid_t pid = 0;
    check(::posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments, environment.data()) == 0, "posix_spawn");
    (void)::posix_spawn_file_actions_destroy(&actions);
    return pid;
}

int status_of(pid_t pid) {
    int status = 0;
    check(::waitpid(pid, &status, 0) == pid, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int status(const char* test, const std::string& script) { return status_of(start(test, 0, script, "")); }

} // namespace

TEST_CASE("a rank of two that adds up until the end", "[.rank]") {
    const int number = std::atoi(variable("RANK").c_str());
    Rank rank{nullptr, nullptr, number, 2};
    check(cudaSetDevice(number), "cudaSetDevice");
    check(cudaStreamCreate(&rank.stream), "cudaStreamCreate");
    auto config = config_of(false);
    check(ncclCommInitRankConfig(&rank.comm, 2, id_of(variable("STANDIN_ID")), number, &config), "init");
    REQUIRE(settled(rank.comm) == ncclSuccess);
    const Buffer<int> data(std::vector<int>(1, 1));
    ncclResult_t state = ncclSuccess;
    for (int round = 0; round < 3 && state == ncclSuccess; ++round) {
        if (number == 1) std::this_thread::sleep_for(50ms); // the other is in it first
        check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, rank.comm, rank.stream), "ncclAllReduce");
        const bool ended = comes_true([&] {
            check(ncclCommGetAsyncError(rank.comm, &state), "ncclCommGetAsyncError");
            return state == ncclRemoteError || (state == ncclSuccess && cudaStreamQuery(rank.stream) == cudaSuccess);
        });
        if (!ended) std::_Exit(1);
    }
    if (state == ncclRemoteError) {
        const bool pending = cudaStreamQuery(rank.stream) == cudaErrorNotReady;
        check(ncclCommAbort(rank.comm), "ncclCommAbort");
        check(cudaStreamSynchronize(rank.stream), "dropped");
        std::_Exit(pending ? 7 : 8);
    }
    CHECK(data.values() == std::vector<int>{8});
    rank.close();
    check(cudaStreamDestroy(rank.stream), "cudaStreamDestroy");
}

TEST_CASE("ends with a communicator", "[.rank]") {
    ncclComm_t comm = nullptr;
    auto config = config_of(false);
    check(ncclCommInitRankConfig(&comm, 1, make_id(), 0, &config), "init");
    check(settled(comm), "init");
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
TEST_CASE("ends with memory", "[.rank]") {
    void* memory = nullptr;
    check(ncclMemAlloc(&memory, 1), "ncclMemAlloc");
}

TEST_CASE("a process must give memory back") { CHECK(status("ends with memory", "") == 86); }
#endif

TEST_CASE("ends with a group", "[.rank]") { check(ncclGroupStart(), "ncclGroupStart"); }

TEST_CASE("ends with threads that wait", "[.rank]") {
    ncclComm_t comm = nullptr;
    auto config = config_of(false);
    check(ncclCommInitRankConfig(&comm, 2, make_id(), 0, &config), "init");
    std::thread([comm] { (void)ncclCommAbort(comm); }).detach();
    std::this_thread::sleep_for(20ms);
}

TEST_CASE("two processes add up") {
    const auto id = hex_of(make_id());
    const pid_t ranks[] = {start("a rank of two that adds up until the end", 0, "", id),
                           start("a rank of two that adds up until the end", 1, "", id)};
    for (const auto pid : ranks) CHECK(status_of(pid) == 0);
}

TEST_CASE("a process that dies is a remote error for the other") {
    for (const char* script : {"ncclAllReduce#2@1:die", "ncclAllReduce#3@1:dies=20;ncclAllReduce#3@1:stay"}) {
        const auto id = hex_of(make_id());
        const pid_t ranks[] = {start("a rank of two that adds up until the end", 0, script, id),
                               start("a rank of two that adds up until the end", 1, script, id)};
        CHECK(status_of(ranks[0]) == 7); // with work that would stay for ever
        CHECK(status_of(ranks[1]) == 13);
    }
}

TEST_CASE("a process must end in order") {
    CHECK(status("ends with a communicator", "") == 86);
    CHECK(status("ends with a group", "") == 86);
    CHECK(status("ends with a communicator", "rules=count") == 0);
    CHECK(status("ends with threads that wait", "ncclCommAbort:hang;rules=count") == 0);
}

TEST_CASE("scripts that nobody can read") {
    for (const char* script : {"devices", "devices=x", "bogus=1", "ncclAllReduce:sleep", "ncclAllReduce#x:stay",
                               "ncclAllReduce:error", ":stay", "ncclAllReduce@-1:stay", "launch=later", "mig=1"}) {
        CHECK(status("ends with a group", script) == 86);
    }
}
