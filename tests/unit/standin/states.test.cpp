// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch_test_macros.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <atomic>
#include <cstdlib>
#include <memory>

#include "clique.hpp"

using namespace clique;
using namespace std::chrono_literals;

namespace {

/// The script of a test; the empty one after it.
class Script {
public:
    explicit Script(const char* text) {
        standin_script(text);
        standin_reset();
    }
    ~Script() { standin_script(nullptr); }
    Script(const Script&) = delete;
    Script& operator=(const Script&) = delete;
};

ncclResult_t state_of(ncclComm_t comm) {
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(comm, &state), "ncclCommGetAsyncError");
    return state;
}

std::string last_error() { return ncclGetLastError(nullptr); }

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("the version needs no device") {
    const Script script("no-driver;version=21805");
    int version = 0;
    CHECK(ncclGetVersion(&version) == ncclSuccess);
    CHECK(version == 21805);
    CHECK(std::string(ncclGetErrorString(ncclRemoteError)) == "remote process exited or there was a network error");
    standin_script(nullptr);
    CHECK(ncclGetVersion(&version) == ncclSuccess);
    CHECK(version == NCCL_VERSION_CODE);
}

TEST_CASE("an id is a magic number and an address") {
    const auto id = make_id();
    const auto other = make_id();
    CHECK(std::memcmp(id.internal, other.internal, 8) != 0);
    sockaddr_in address{};
    std::memcpy(&address, id.internal + 8, sizeof(address));
    CHECK(address.sin_family == AF_INET);
    CHECK(ntohl(address.sin_addr.s_addr) == INADDR_LOOPBACK);
    CHECK(address.sin_port != 0);
    for (std::size_t i = 8 + sizeof(address); i < NCCL_UNIQUE_ID_BYTES; ++i) CHECK(id.internal[i] == 0);
}

TEST_CASE("init returns at once and goes on beside the caller") {
    const Script script("ncclCommInitRankConfig@1:progress=200");
    run(2, [](const Rank&) {});
    const auto id = make_id();
    ncclComm_t comm = nullptr;
    auto config = config_of(false);
    CHECK(ncclCommInitRankConfig(&comm, 2, id, 0, &config) == ncclInProgress);
    REQUIRE(comm != nullptr);
    CHECK(state_of(comm) == ncclInProgress);
    CHECK(ncclCommAbort(comm) == ncclSuccess);
    CHECK(standin_calls("ncclCommInitRankConfig") == 3);
    CHECK(standin_broken_rules() == 0);
}

TEST_CASE("a blocking init returns when it is done") {
    run(
        2,
        [](const Rank& rank) {
            int size = 0;
            int device = -1;
            int number = -1;
            check(ncclCommCount(rank.comm, &size) == ncclSuccess && size == 2, "size");
            check(ncclCommUserRank(rank.comm, &number) == ncclSuccess && number == rank.rank, "rank");
            check(ncclCommCuDevice(rank.comm, &device) == ncclSuccess && device == rank.rank, "device");
        },
        true);
}

TEST_CASE("the environment beats the configuration") {
    ::setenv("NCCL_COMM_BLOCKING", "1", 1);
    run(1, [](const Rank& rank) {
        const Buffer<int> data(1);
        check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, rank.comm, rank.stream) == ncclSuccess,
              "blocking");
    });
    ::unsetenv("NCCL_COMM_BLOCKING");
}

TEST_CASE("calls on what is in progress are refused and are a broken rule") {
    const Script script("rules=count;ncclCommInitRankConfig:stay");
    const auto id = make_id();
    ncclComm_t comm = nullptr;
    auto config = config_of(false);
    CHECK(ncclCommInitRankConfig(&comm, 1, id, 0, &config) == ncclInProgress);
    int size = -1;
    CHECK(ncclCommCount(comm, &size) == ncclInvalidArgument);
    CHECK(last_error() == "Attempt to use communicator before the previous operation returned ncclSuccess");
    CHECK(size == -1);
    CHECK(standin_broken_rules() == 1);
    auto* untouched = comm;
    CHECK(ncclCommSplit(comm, 0, 0, &untouched, nullptr) == ncclInvalidArgument);
    CHECK(untouched == comm);
    CHECK(standin_broken_rules() == 2);
    CHECK(ncclCommAbort(comm) == ncclSuccess);
}

TEST_CASE("configurations that NCCL refuses") {
    const Script script("");
    const auto id = make_id();
    ncclComm_t comm = nullptr;
    const auto refused = [&](auto change, const char* text) {
        auto config = config_of(false);
        change(config);
        CHECK(ncclCommInitRankConfig(&comm, 1, id, 0, &config) == ncclInvalidArgument);
        CHECK(comm == nullptr);
        CHECK(contains(last_error(), text));
    };
    refused([](ncclConfig_t& config) { config.minCTAs = 2; }, "min/max channels");
    refused([](ncclConfig_t& config) { config.blocking = 2; }, "blocking");
    refused([](ncclConfig_t& config) { config.magic = 0; }, "not initialized");
    refused([](ncclConfig_t& config) { config.size = 4; }, "not initialized");
    refused([](ncclConfig_t& config) { config.splitShare = 3; }, "splitShare");
    auto config = config_of(false);
    CHECK(ncclCommInitRankConfig(&comm, 1, id, 1, &config) == ncclInvalidArgument);
    CHECK(contains(last_error(), "Invalid rank requested : 1/1"));
    CHECK(standin_broken_rules() == 0);
}

TEST_CASE("without a device init leaves its group open") {
    support::run_ranks(1, [](int) { // a thread of its own: its group stays as it is
        const Script script("no-driver;rules=count");
        const ncclUniqueId id{};
        auto config = config_of(false);
        int count = -1;
        check(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver, "cudaGetDeviceCount");
        ncclComm_t comm = nullptr;
        check(ncclCommInitRankConfig(&comm, 1, id, 0, &config) == ncclUnhandledCudaError, "init");
        check(comm == nullptr, "slot");
        check(last_error() == "Cuda failure 'CUDA driver version is insufficient for CUDA runtime version'",
              last_error());
        check(ncclGroupEnd() == ncclSuccess, "the group that was left open");
        check(ncclGroupEnd() == ncclInvalidUsage, "no other");
        check(standin_broken_rules() == 1, "one without a start");
        standin_script("rules=count;ncclCommInitRankConfig/cudaGetDevice:error=100");
        check(ncclCommInitRankConfig(&comm, 1, id, 0, &config) == ncclUnhandledCudaError, "init");
        check(ncclGroupEnd() == ncclSuccess, "the group that was left open");
    });
}

TEST_CASE("split writes the child at the end and tells of it by the parent") {
    const Script script("ncclCommSplit@1:progress=100");
    run(4, [](const Rank& rank) {
        const auto slot = std::make_unique<ncclComm_t>(nullptr);
        const auto result = ncclCommSplit(rank.comm, rank.rank % 2, -rank.rank, slot.get(), nullptr);
        check(result == ncclSuccess, "split is told by the state");
        check(rank.rank != 1 || state_of(rank.comm) == ncclInProgress, "in progress");
        check(settled(rank.comm), "split");
        check(*slot != nullptr, "child");
        int number = -1;
        int size = -1;
        check(ncclCommUserRank(*slot, &number), "rank");
        check(ncclCommCount(*slot, &size), "size");
        check(size == 2 && number == (rank.rank < 2 ? 1 : 0), "keys order the ranks");
        const Buffer<int> data(std::vector<int>(3, rank.rank));
        check(ncclAllReduce(data.get(), data.get(), 3, ncclInt32, ncclSum, *slot, rank.stream) != ncclInvalidArgument,
              "sum");
        check(settled(*slot), "sum");
        check(cudaStreamSynchronize(rank.stream), "sum");
        check(data.values() == std::vector<int>(3, rank.rank % 2 == 0 ? 2 : 4), "sum");

        ncclComm_t none = nullptr;
        check(ncclCommSplit(rank.comm, rank.rank == 0 ? 7 : NCCL_SPLIT_NOCOLOR, 0, &none, nullptr), "no color");
        check(settled(rank.comm), "no color");
        check((none == nullptr) == (rank.rank != 0), "no color");
        for (auto* comm : {*slot, none}) {
            if (comm == nullptr) continue;
            check(ncclCommFinalize(comm), "ncclCommFinalize");
            check(settled(comm), "ncclCommFinalize");
            check(ncclCommDestroy(comm), "ncclCommDestroy");
        }
    });
}

TEST_CASE("a child of a configuration that says nothing blocks") {
    run(1, [](const Rank& rank) {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        ncclComm_t child = nullptr;
        check(ncclCommSplit(rank.comm, 0, 0, &child, &config), "split");
        check(settled(rank.comm), "split");
        const Buffer<int> data(1);
        check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, child, rank.stream) == ncclSuccess,
              "blocking");
        check(ncclCommDestroy(child), "ncclCommDestroy");
    });
}

TEST_CASE("several splits in one group") {
    support::Meeting meeting(2);
    run(2, [&](const Rank& rank) {
        ncclComm_t children[2] = {};
        check(ncclGroupStart(), "ncclGroupStart");
        check(ncclCommSplit(rank.comm, 0, 0, &children[0], nullptr) == ncclSuccess, "split");
        check(ncclGroupEnd() == ncclInProgress, "ncclGroupEnd");
        check(settled(rank.comm), "split");
        check(ncclCommSplit(children[0], rank.rank, 0, &children[1], nullptr) == ncclSuccess, "split of a split");
        check(settled(children[0]), "split");
        meeting.all(0, rank.rank, "");
        check(ncclGroupStart(), "ncclGroupStart");
        check(ncclCommAbort(children[0]), "ncclCommAbort");
        check(ncclCommAbort(children[1]), "ncclCommAbort");
        check(ncclGroupEnd() == ncclSuccess, "aborts of one group");
    });
}

TEST_CASE("abort ends an init, and a split with its child") {
    const Script script("ncclCommSplit@0:stay");
    run(2, [](Rank& rank) {
        ncclComm_t child = nullptr;
        check(ncclCommSplit(rank.comm, 0, 0, &child, nullptr), "split");
        if (rank.rank == 0) {
            check(settled(rank.comm, 50ms) == ncclInProgress, "stays");
            check(ncclCommAbort(rank.comm), "ncclCommAbort");
        } else {
            check(settled(rank.comm) == ncclRemoteError, "the other is gone");
            check(ncclCommAbort(rank.comm), "ncclCommAbort");
        }
        check(child != nullptr, "dead, and to be aborted");
        check(ncclCommAbort(child), "ncclCommAbort");
        rank.comm = nullptr;
    });
    CHECK(standin_broken_rules() == 0);
}

TEST_CASE("finalize waits for all ranks") {
    const Script script("ncclCommFinalize@0:progress=150");
    run(2, [](Rank& rank) {
        check(ncclCommFinalize(rank.comm) == ncclInProgress, "ncclCommFinalize");
        check(state_of(rank.comm) == ncclInProgress, "in progress");
        check(settled(rank.comm), "ncclCommFinalize");
        check(ncclCommDestroy(rank.comm), "ncclCommDestroy");
        rank.comm = nullptr;
    });
    standin_script("finalize=local");
    run(2, [](Rank& rank) {
        if (rank.rank == 1) std::this_thread::sleep_for(100ms);
        rank.close();
    });
    run(2, [](Rank& rank) { // destroy does it all
        check(ncclCommDestroy(rank.comm), "ncclCommDestroy");
        rank.comm = nullptr;
    });
}

TEST_CASE("collectives are in progress until a thread has launched them") {
    const Script script("ncclAllReduce#1:progress=100");
    run(2, [](const Rank& rank) {
        const Buffer<int> data(std::vector<int>(1, 1));
        check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, rank.comm, rank.stream) == ncclInProgress,
              "first");
        check(settled(rank.comm), "first");
        check(ncclGroupStart(), "ncclGroupStart");
        check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, rank.comm, rank.stream) == ncclSuccess,
              "in a group");
        check(ncclGroupEnd() == ncclInProgress, "ncclGroupEnd");
        check(settled(rank.comm), "second");
        check(cudaStreamSynchronize(rank.stream), "second");
        check(data.values() == std::vector<int>{4}, "sum");
    });
    standin_script("launch=immediate");
    run(2, [](const Rank& rank) {
        const Buffer<int> data(std::vector<int>(1, 1));
        check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, rank.comm, rank.stream) == ncclSuccess,
              "at once");
        check(cudaStreamSynchronize(rank.stream), "sum");
        check(data.values() == std::vector<int>{2}, "sum");
    });
}

TEST_CASE("arguments that NCCL refuses stay an error of the communicator") {
    run(1, [](Rank& rank) {
        const Buffer<int> data(1);
        check(ncclBroadcast(data.get(), data.get(), 1, ncclInt32, 1, rank.comm, rank.stream) == ncclInvalidArgument,
              "root");
        check(contains(last_error(), "invalid root 1"), last_error());
        check(state_of(rank.comm) == ncclInvalidArgument, "state");
        check(ncclCommAbort(rank.comm), "ncclCommAbort");
        rank.comm = nullptr;
    });
}

TEST_CASE("who is left hears of an abort, and keeps its work until it aborts") {
    support::Meeting meeting(2);
    run(2, [&](Rank& rank) {
        const Buffer<int> data(std::vector<int>(1, 1));
        if (rank.rank == 0) {
            meeting.all(0, rank.rank, "");
            check(ncclCommAbort(rank.comm), "ncclCommAbort");
        } else {
            check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, rank.comm, rank.stream),
                  "ncclAllReduce");
            meeting.all(0, rank.rank, "");
            check(comes_true([&] { return state_of(rank.comm) == ncclRemoteError; }), "ncclRemoteError");
            check(cudaStreamQuery(rank.stream) == cudaErrorNotReady, "pending");
            check(ncclCommFinalize(rank.comm) == ncclRemoteError, "ncclCommFinalize");
            check(cudaStreamQuery(rank.stream) == cudaErrorNotReady, "pending");
            check(ncclCommAbort(rank.comm), "ncclCommAbort");
            check(cudaStreamSynchronize(rank.stream), "dropped");
            check(data.values() == std::vector<int>{1}, "untouched");
        }
        rank.comm = nullptr;
    });
}

TEST_CASE("a broken group of several communicators is aborted in one group") {
    support::Meeting meeting(2);
    run(2, [&](Rank& rank) {
        ncclComm_t child = nullptr;
        check(ncclCommSplit(rank.comm, 0, 0, &child, nullptr), "split");
        check(settled(rank.comm), "split");
        const Buffer<int> data(1);
        if (rank.rank == 0)
            check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, child, rank.stream), "alone");
        meeting.all(0, rank.rank, "");
        check(ncclGroupStart(), "ncclGroupStart");
        check(ncclCommAbort(rank.comm), "ncclCommAbort");
        check(ncclCommAbort(child), "ncclCommAbort");
        check(ncclGroupEnd() == ncclSuccess, "ncclGroupEnd");
        check(cudaStreamSynchronize(rank.stream), "dropped");
        rank.comm = nullptr;
    });
}

TEST_CASE("two ranks of one device are refused") {
    const auto id = make_id();
    support::run_ranks(2, [&](int rank) {
        ncclComm_t comm = nullptr;
        auto config = config_of(false);
        check(ncclCommInitRankConfig(&comm, 2, id, rank, &config), "init");
        check(settled(comm) == ncclInvalidUsage, "duplicates");
        check(contains(last_error(), "Duplicate GPU detected"), last_error());
        check(ncclCommAbort(comm), "ncclCommAbort");
    });
    const Script script("duplicates=allowed");
    const auto other = make_id();
    support::run_ranks(2, [&](int rank) {
        ncclComm_t comm = nullptr;
        auto config = config_of(false);
        check(ncclCommInitRankConfig(&comm, 2, other, rank, &config), "init");
        check(settled(comm) == ncclSuccess, "allowed");
        check(ncclCommDestroy(comm), "ncclCommDestroy");
    });
}

TEST_CASE("sizes that differ and ranks that come twice hang in silence") {
    const auto hangs = [](int second_size, int second_rank) {
        const auto id = make_id();
        std::atomic<int> waiting = 0;
        support::run_ranks(2, [&](int number) {
            check(cudaSetDevice(number), "cudaSetDevice");
            ncclComm_t comm = nullptr;
            auto config = config_of(false);
            const int size = number == 0 ? 2 : second_size;
            check(ncclCommInitRankConfig(&comm, size, id, number == 0 ? 0 : second_rank, &config), "init");
            if (settled(comm, 100ms) == ncclInProgress) ++waiting;
            check(ncclCommAbort(comm), "ncclCommAbort");
        });
        return waiting == 2;
    };
    CHECK(hangs(3, 1));
    CHECK(hangs(2, 0));
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 23, 4)
TEST_CASE("several ids make one communicator") {
    ncclUniqueId ids[2] = {make_id(), make_id()};
    support::run_ranks(3, [&](int rank) {
        check(cudaSetDevice(rank), "cudaSetDevice");
        ncclComm_t comm = nullptr;
        auto config = config_of(false);
        check(ncclCommInitRankScalable(&comm, 3, rank, 2, ids, &config), "init");
        check(settled(comm), "init");
        check(ncclCommDestroy(comm), "ncclCommDestroy");
    });
}
#endif

TEST_CASE("one thread makes all ranks") {
    ncclComm_t comms[3] = {};
    CHECK(ncclCommInitAll(comms, 3, nullptr) == ncclSuccess);
    CHECK(ncclGroupStart() == ncclSuccess);
    for (auto* comm : comms) CHECK(ncclCommDestroy(comm) == ncclSuccess);
    CHECK(ncclGroupEnd() == ncclSuccess);
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
TEST_CASE("the others go on without a lost rank") {
    support::Meeting meeting(3);
    run(3, [&](Rank& rank) {
        if (rank.rank == 1) {
            meeting.all(0, rank.rank, "");
            check(ncclCommAbort(rank.comm), "ncclCommAbort");
            rank.comm = nullptr;
            return;
        }
        const Buffer<int> data(std::vector<int>(1, 1));
        check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, rank.comm, rank.stream), "ncclAllReduce");
        meeting.all(0, rank.rank, "");
        check(comes_true([&] { return state_of(rank.comm) == ncclRemoteError; }), "ncclRemoteError");
        int lost[1] = {1};
        ncclComm_t child = nullptr;
        check(ncclCommShrink(rank.comm, lost, 1, &child, nullptr, NCCL_SHRINK_ABORT), "ncclCommShrink");
        check(settled(rank.comm), "ncclCommShrink");
        check(cudaStreamSynchronize(rank.stream), "dropped");
        check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, child, rank.stream), "ncclAllReduce");
        check(settled(child), "ncclAllReduce");
        check(cudaStreamSynchronize(rank.stream), "sum");
        check(data.values() == std::vector<int>{2}, "sum");
        check(ncclCommDestroy(child), "ncclCommDestroy");
        check(ncclCommAbort(rank.comm), "ncclCommAbort");
        rank.comm = nullptr;
    });
}

TEST_CASE("registrations and windows") {
    run(2, [](const Rank& rank) {
        void* memory = nullptr;
        void* handle = nullptr;
        ncclWindow_t window = nullptr;
        check(ncclMemAlloc(&memory, 4096), "ncclMemAlloc");
        check(ncclCommRegister(rank.comm, memory, 4096, &handle), "ncclCommRegister");
        check(ncclCommWindowRegister(rank.comm, memory, 4096, &window, NCCL_WIN_COLL_SYMMETRIC),
              "ncclCommWindowRegister");
        check(settled(rank.comm), "ncclCommWindowRegister");
        check(window != nullptr, "window");
        check(ncclAllReduce(memory, memory, 16, ncclFloat32, ncclSum, rank.comm, rank.stream), "ncclAllReduce");
        check(settled(rank.comm), "ncclAllReduce");
        check(ncclCommWindowDeregister(rank.comm, window), "ncclCommWindowDeregister");
        check(ncclCommDeregister(rank.comm, handle), "ncclCommDeregister");
        check(ncclMemFree(memory), "ncclMemFree");
    });
}
#endif

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 7)
TEST_CASE("a revoked communicator can be split and destroyed") {
    run(2, [](Rank& rank) {
        const Buffer<int> data(std::vector<int>(1, 1));
        if (rank.rank == 0)
            check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, rank.comm, rank.stream), "alone");
        check(settled(rank.comm), "alone");
        check(ncclCommRevoke(rank.comm, NCCL_REVOKE_DEFAULT), "ncclCommRevoke");
        check(settled(rank.comm), "ncclCommRevoke");
        check(cudaStreamSynchronize(rank.stream), "dropped");
        check(ncclAllReduce(data.get(), data.get(), 1, ncclInt32, ncclSum, rank.comm, rank.stream) == ncclInvalidUsage,
              "revoked");
        ncclComm_t child = nullptr;
        check(ncclCommSplit(rank.comm, 0, 0, &child, nullptr), "split");
        check(settled(rank.comm), "split");
        check(ncclCommDestroy(child), "ncclCommDestroy");
        check(ncclCommDestroy(rank.comm), "ncclCommDestroy");
        rank.comm = nullptr;
    });
}
#endif
