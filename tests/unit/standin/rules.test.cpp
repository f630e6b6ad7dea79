// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <memory>

#include "clique.hpp"

using namespace clique;
using namespace std::chrono_literals;

namespace {

/// Broken rules are counted from here to the end.
class Counting {
public:
    explicit Counting(const std::string& more = "") {
        standin_script(("rules=count;" + more).c_str());
        standin_reset();
    }
    ~Counting() { standin_script(nullptr); }
    Counting(const Counting&) = delete;
    Counting& operator=(const Counting&) = delete;
};

/// There is a complaint that has the text.
bool complained(const std::string& text) {
    for (int i = 0; i < standin_broken_rules(); ++i) {
        if (std::string(standin_broken_rule(i)).find(text) != std::string::npos) return true;
    }
    return false;
}

ncclResult_t all_reduce(const Rank& rank, float* data, std::size_t n, ncclRedOp_t op = ncclSum) {
    return ncclAllReduce(data, data, n, ncclFloat32, op, rank.comm, rank.stream);
}

void abort(Rank& rank) {
    check(ncclCommAbort(rank.comm), "ncclCommAbort");
    rank.comm = nullptr;
}

} // namespace

TEST_CASE("destroying what is in progress leaves the group open") {
    const Counting counting("ncclCommInitRankConfig:stay");
    support::run_ranks(1, [](int) {
        const auto id = make_id();
        ncclComm_t comm = nullptr;
        auto config = config_of(false);
        check(ncclCommInitRankConfig(&comm, 1, id, 0, &config), "init");
        check(ncclCommDestroy(comm) == ncclInvalidArgument, "refused");
        check(complained("ncclCommDestroy by rank 0 was called on a communicator that is in progress"), "complaint");
        check(ncclCommAbort(comm) == ncclSuccess, "queued in the group that is open");
        check(ncclGroupEnd() == ncclSuccess, "repaired");
        check(ncclCommAbort(comm) == ncclInvalidArgument, "gone");
        check(complained("destroyed or aborted"), "complaint");
    });
    CHECK(standin_broken_rules() == 2);
}

TEST_CASE("destroying what failed") {
    const Counting counting("ncclCommInitRankConfig:async=3");
    support::run_ranks(1, [](int) {
        const auto id = make_id();
        ncclComm_t comm = nullptr;
        auto config = config_of(false);
        check(ncclCommInitRankConfig(&comm, 1, id, 0, &config), "init");
        check(settled(comm) == ncclInternalError, "scripted");
        check(ncclCommDestroy(comm) == ncclInternalError, "refused");
        check(standin_broken_rules() == 1, "complaint");
        check(ncclGroupEnd() == ncclSuccess, "repaired");
        check(ncclCommAbort(comm), "ncclCommAbort");
    });
}

TEST_CASE("a slot that moves") {
    const Counting counting("ncclCommSplit:progress=50");
    run(1, [](const Rank& rank) {
        ncclComm_t slot = nullptr;
        check(ncclCommSplit(rank.comm, 0, 0, &slot, nullptr), "split");
        std::atomic_ref<ncclComm_t>(slot).store(rank.comm); // as memory that was given to something else
        check(settled(rank.comm), "split");
        check(complained("place of the new communicator"), "complaint");
        check(ncclCommDestroy(slot), "ncclCommDestroy");
    });
}

TEST_CASE("groups that do not balance") {
    const Counting counting;
    CHECK(ncclGroupEnd() == ncclInvalidUsage);
    CHECK(complained("ncclGroupEnd without ncclGroupStart"));
    std::thread([] { (void)ncclGroupStart(); }).join();
    CHECK(complained("group still open"));
}

TEST_CASE("ranks that disagree on arguments or order") {
    const auto disagree = [](const std::string& one, const std::string& other, auto call) {
        const Counting counting;
        support::Meeting meeting(2);
        run(2, [&](Rank& rank) {
            const Buffer<float> data(16);
            check(call(rank, data.get()), "call");
            check(comes_true([&] { return complained(one) && complained(other); }),
                  standin_broken_rules() > 0 ? standin_broken_rule(0) : "no complaint");
            check(cudaStreamQuery(rank.stream) == cudaErrorNotReady, "stays on the stream");
            meeting.all(0, rank.rank, "");
            abort(rank);
        });
    };
    disagree("rank 0 called ncclAllReduce(count 3", "rank 1 called ncclAllReduce(count 4",
             [](const Rank& rank, float* data) { return all_reduce(rank, data, rank.rank == 0 ? 3 : 4); });
    disagree("op 2", "op 0", [](const Rank& rank, float* data) {
        return all_reduce(rank, data, 3, rank.rank == 0 ? ncclSum : ncclMax);
    });
    disagree("rank 0 called ncclBroadcast", "rank 1 called ncclAllReduce", [](const Rank& rank, float* data) {
        return rank.rank == 1 ? all_reduce(rank, data, 3)
                              : ncclBroadcast(data, data, 3, ncclFloat32, 0, rank.comm, rank.stream);
    });
    disagree("ncclBroadcast(count 3, type 7, op 0, root or peer 1",
             "ncclBroadcast(count 3, type 7, op 0, root or peer 0", [](const Rank& rank, float* data) {
                 return ncclBroadcast(data, data, 3, ncclFloat32, rank.rank, rank.comm, rank.stream);
             });
    disagree("rank 1 called ncclRecv(count 5", "rank 0 called ncclSend(count 4", [](const Rank& rank, float* data) {
        return rank.rank == 0 ? ncclSend(data, 4, ncclFloat32, 1, rank.comm, rank.stream)
                              : ncclRecv(data, 5, ncclFloat32, 0, rank.comm, rank.stream);
    });
    disagree("rank 0 called ncclSend", "rank 1 called ncclAllReduce", [](const Rank& rank, float* data) {
        return rank.rank == 0 ? ncclSend(data, 4, ncclFloat32, 1, rank.comm, rank.stream) : all_reduce(rank, data, 4);
    });
}

TEST_CASE("a communicator in two threads") {
    const Counting counting("ncclAllReduce@0:hang");
    const auto rank = std::make_shared<Rank>();
    auto* data = new Buffer<float>(1);
    const auto id = make_id();
    auto config = config_of(false);
    check(cudaStreamCreate(&rank->stream), "cudaStreamCreate");
    check(ncclCommInitRankConfig(&rank->comm, 1, id, 0, &config), "init");
    check(settled(rank->comm), "init");
    std::thread([rank, data] { (void)all_reduce(*rank, data->get(), 1); }).detach(); // for ever
    REQUIRE(comes_true([] { return standin_calls("ncclAllReduce") == 1; }));
    CHECK(ncclCommAbort(rank->comm) == ncclSuccess);
    CHECK(complained("ncclCommAbort by rank 0 was called while another thread"));
    static auto* const kept = data; // the thread that hangs has it
    CHECK(kept != nullptr);
}

TEST_CASE("blocking and non-blocking communicators in one group") {
    const Counting counting;
    run(1, [](Rank& rank) {
        ncclComm_t other = nullptr;
        auto config = config_of(true);
        check(ncclCommSplit(rank.comm, 0, 0, &other, &config), "split");
        check(settled(rank.comm), "split");
        ncclComm_t child = nullptr;
        ncclComm_t another = nullptr;
        check(ncclGroupStart(), "ncclGroupStart");
        check(ncclCommSplit(rank.comm, 0, 0, &child, nullptr), "split");
        check(ncclCommSplit(other, 0, 0, &another, nullptr) == ncclInvalidArgument, "refused");
        check(complained("Blocking and nonblocking"), "complaint");
        check(ncclGroupEnd() == ncclInvalidArgument, "ncclGroupEnd");
        if (child != nullptr) check(ncclCommAbort(child), "ncclCommAbort");
        check(ncclCommAbort(other), "ncclCommAbort");
        abort(rank);
    });
}

TEST_CASE("making and using communicators in one group") {
    const Counting counting("duplicates=allowed");
    run(1, [](Rank& rank) {
        const Buffer<float> data(1);
        ncclComm_t other = nullptr;
        const auto id = make_id();
        auto config = config_of(false);
        check(ncclGroupStart(), "ncclGroupStart");
        check(ncclCommInitRankConfig(&other, 1, id, 0, &config), "init");
        check(all_reduce(rank, data.get(), 1), "ncclAllReduce");
        check(ncclGroupEnd(), "ncclGroupEnd");
        check(complained("made and used in one group"), "complaint");
        check(settled(rank.comm), "ncclAllReduce");
        check(settled(other), "init");
        check(cudaStreamSynchronize(rank.stream), "cudaStreamSynchronize");
        check(ncclCommDestroy(other), "ncclCommDestroy");
    });
}

TEST_CASE("memory that is none of a device, or too short") {
    const Counting counting;
    support::Meeting meeting(2);
    run(1, [](Rank& rank) {
        std::vector<float> host(4);
        check(all_reduce(rank, host.data(), 4) == ncclInvalidArgument, "refused");
        check(complained("ncclAllReduce by rank 0 : sendbuff is not memory of a device"), "complaint");
        abort(rank);
    });
    run(2, [&](Rank& rank) {
        const Buffer<float> data(4);
        const Buffer<float> all(7);
        check(ncclAllGather(data.get(), all.get(), 4, ncclFloat32, rank.comm, rank.stream) == ncclInvalidArgument,
              "refused");
        check(complained("recvbuff has 28 bytes left of the 32 it needs"), "complaint");
        meeting.all(0, rank.rank, "");
        abort(rank);
    });
    run(2, [&](Rank& rank) {
        check(cudaSetDevice(5), "cudaSetDevice");
        const Buffer<float> data(4);
        check(cudaSetDevice(rank.rank), "cudaSetDevice");
        check(all_reduce(rank, data.get(), 4) == ncclInvalidArgument, "refused");
        check(complained("is memory of device 5"), "complaint");
        meeting.all(1, rank.rank, "");
        abort(rank);
    });
    run(1, [](const Rank& rank) {
        const Buffer<float> data(8);
        check(ncclAllReduce(data.get(), data.get() + 1, 4, ncclFloat32, ncclSum, rank.comm, rank.stream),
              "done all the same");
        check(complained("overlap"), "complaint");
        check(settled(rank.comm), "ncclAllReduce");
        check(cudaStreamSynchronize(rank.stream), "cudaStreamSynchronize");
    });
}

TEST_CASE("another device or another device's stream") {
    const Counting counting;
    run(1, [](const Rank& rank) {
        const Buffer<float> data(4);
        check(cudaSetDevice(3), "cudaSetDevice");
        check(all_reduce(rank, data.get(), 4), "ncclAllReduce");
        check(complained("with device 3 current, and the communicator is on device 0"), "complaint");
        check(settled(rank.comm), "ncclAllReduce");
        cudaStream_t stream = nullptr;
        check(cudaStreamCreate(&stream), "cudaStreamCreate");
        check(cudaSetDevice(0), "cudaSetDevice");
        check(ncclAllReduce(data.get(), data.get(), 4, ncclFloat32, ncclSum, rank.comm, stream), "ncclAllReduce");
        check(complained("a stream of another device"), "complaint");
        check(settled(rank.comm), "ncclAllReduce");
        check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
        check(cudaStreamSynchronize(rank.stream), "cudaStreamSynchronize");
        check(cudaStreamDestroy(stream), "cudaStreamDestroy");
    });
}

TEST_CASE("a split while operations are outstanding") {
    const Counting counting;
    support::Meeting meeting(2);
    run(2, [&](Rank& rank) {
        const Buffer<float> data(4);
        if (rank.rank == 0) check(all_reduce(rank, data.get(), 4), "alone");
        check(settled(rank.comm), "alone");
        ncclComm_t child = nullptr;
        check(ncclCommSplit(rank.comm, 0, 0, &child, nullptr), "split");
        check(settled(rank.comm), "split");
        check(rank.rank != 0 || complained("operations of the parent were outstanding"), "complaint");
        meeting.all(0, rank.rank, "");
        check(ncclCommAbort(child), "ncclCommAbort");
        abort(rank);
    });
}

TEST_CASE("what a communicator leaves when it is destroyed") {
    const Counting counting;
    run(1, [](Rank& rank) {
        float factor = 2;
        ncclRedOp_t op = ncclSum;
        check(ncclRedOpCreatePreMulSum(&op, &factor, ncclFloat32, ncclScalarHostImmediate, rank.comm), "operator");
        check(ncclRedOpDestroy(ncclSum, rank.comm) == ncclInvalidArgument, "built in");
        check(ncclCommDestroy(rank.comm), "ncclCommDestroy");
        check(complained("leaked 1 reduction operators"), "complaint");
        rank.comm = nullptr;
    });
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
TEST_CASE("functions of later versions, and names that did not live") {
    const Counting counting("version=21903;duplicates=allowed");
    run(1, [](const Rank& rank) {
        ncclComm_t child = nullptr;
        int none[1] = {1};
        (void)ncclCommShrink(rank.comm, none, 1, &child, nullptr, NCCL_SHRINK_DEFAULT);
        check(complained("ncclCommShrink was called, which NCCL 21903 does not have"), "complaint");
        check(settled(rank.comm), "ncclCommShrink");
        check(ncclCommDestroy(child), "ncclCommDestroy");
    });
    std::string name = "first";
    auto config = config_of(false);
    config.commName = name.c_str();
    ncclComm_t comm = nullptr;
    CHECK(ncclCommInitRankConfig(&comm, 1, make_id(), 0, &config) == ncclInProgress);
    CHECK(settled(comm) == ncclSuccess);
    name[0] = 'w';
    CHECK(ncclCommDestroy(comm) == ncclSuccess);
    CHECK(complained("commName"));
}
#endif

TEST_CASE("a rank that is done while another goes on") {
    const Counting counting("finalize=local");
    run(2, [](Rank& rank) {
        if (rank.rank == 0) return;
        const Buffer<float> data(1);
        check(all_reduce(rank, data.get(), 1), "alone");
        check(comes_true([] { return complained("rank 0 called nothing more"); }), "complaint");
        abort(rank);
    });
}
