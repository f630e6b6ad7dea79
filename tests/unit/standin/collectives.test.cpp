// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "clique.hpp"

using namespace clique;

namespace {

template <class T>
constexpr ncclDataType_t type_of() {
    if constexpr (std::is_same_v<T, std::int8_t>) return ncclInt8;
    if constexpr (std::is_same_v<T, std::uint8_t>) return ncclUint8;
    if constexpr (std::is_same_v<T, std::int32_t>) return ncclInt32;
    if constexpr (std::is_same_v<T, std::uint32_t>) return ncclUint32;
    if constexpr (std::is_same_v<T, std::int64_t>) return ncclInt64;
    if constexpr (std::is_same_v<T, std::uint64_t>) return ncclUint64;
    if constexpr (std::is_same_v<T, float>) return ncclFloat32;
    return ncclFloat64;
}

/// Element i of a rank: small, varied, negative where T can be.
template <class T>
T value(int rank, std::size_t i) {
    const int number = (rank * 7 + static_cast<int>(i % 97) * 3) % 11 + 1;
    if constexpr (std::is_unsigned_v<T>) return static_cast<T>(number);
    return static_cast<T>((static_cast<int>(i) + rank) % 3 == 0 ? -number : number);
}

template <class T>
std::vector<T> values(int rank, std::size_t n) {
    std::vector<T> all(n);
    for (std::size_t i = 0; i < n; ++i) all[i] = value<T>(rank, i);
    return all;
}

/// All ranks' element i, the plain way; integers wrap.
template <class T>
T reduced(int size, std::size_t i, ncclRedOp_t op) {
    using Wide = std::conditional_t<std::is_integral_v<T>, std::uint64_t, double>;
    auto result = static_cast<Wide>(value<T>(0, i));
    for (int rank = 1; rank < size; ++rank) {
        const auto next = value<T>(rank, i);
        if (op == ncclProd)
            result *= static_cast<Wide>(next);
        else if (op == ncclMax)
            result = static_cast<Wide>(std::max(static_cast<T>(result), next));
        else if (op == ncclMin)
            result = static_cast<Wide>(std::min(static_cast<T>(result), next));
        else
            result += static_cast<Wide>(next);
    }
    const auto joined = static_cast<T>(result);
    return op == ncclAvg ? static_cast<T>(joined / static_cast<T>(size)) : joined;
}

constexpr std::size_t n = 33;

template <class T>
void check_reductions(const Rank& rank) {
    const auto type = type_of<T>();
    const auto size = static_cast<std::size_t>(rank.size);
    for (const auto op : {ncclSum, ncclProd, ncclMax, ncclMin, ncclAvg}) {
        std::vector<T> expected(n * size);
        for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = reduced<T>(rank.size, i, op);
        const std::vector<T> first(expected.begin(), expected.begin() + n);
        const auto mine = values<T>(rank.rank, n * size);
        const auto at = static_cast<std::size_t>(rank.rank) * n;

        const Buffer<T> send(mine);
        const Buffer<T> out(n);
        rank.done(ncclAllReduce(send.get(), out.get(), n, type, op, rank.comm, rank.stream), "ncclAllReduce");
        check(out.values() == first && send.values() == mine, "ncclAllReduce");

        const int root = rank.size - 1;
        const Buffer<T> at_root(std::vector<T>(n, T{}));
        rank.done(ncclReduce(send.get(), at_root.get(), n, type, op, root, rank.comm, rank.stream), "ncclReduce");
        check(at_root.values() == (rank.rank == root ? first : std::vector<T>(n, T{})), "ncclReduce");

        const std::vector<T> block(expected.begin() + static_cast<std::ptrdiff_t>(at),
                                   expected.begin() + static_cast<std::ptrdiff_t>(at + n));
        rank.done(ncclReduceScatter(send.get(), out.get(), n, type, op, rank.comm, rank.stream), "ncclReduceScatter");
        check(out.values() == block, "ncclReduceScatter");

        rank.done(ncclReduceScatter(send.get(), send.get() + at, n, type, op, rank.comm, rank.stream), "in place");
        const auto all = send.values();
        check(std::equal(block.begin(), block.end(), all.begin() + static_cast<std::ptrdiff_t>(at)), "in place");

        const Buffer<T> both(mine);
        rank.done(ncclAllReduce(both.get(), both.get(), n, type, op, rank.comm, rank.stream), "in place");
        const auto reduced_all = both.values();
        check(std::equal(first.begin(), first.end(), reduced_all.begin()), "in place");
        rank.done(ncclReduce(both.get(), both.get(), n, type, ncclMax, 0, rank.comm, rank.stream), "in place");
    }
}

/// fn(size) for each number of ranks that is worth it.
template <class Fn>
void for_sizes(Fn fn) {
    for (int size = 1; size <= 4; ++size) run(size, fn);
}

} // namespace

TEST_CASE("reductions of all operators and plain types") {
    for_sizes([](const Rank& rank) {
        check_reductions<std::int8_t>(rank);
        check_reductions<std::uint8_t>(rank);
        check_reductions<std::int32_t>(rank);
        check_reductions<std::uint32_t>(rank);
        check_reductions<std::int64_t>(rank);
        check_reductions<std::uint64_t>(rank);
        check_reductions<float>(rank);
        check_reductions<double>(rank);
    });
}

TEST_CASE("data goes where it belongs") {
    for_sizes([](const Rank& rank) {
        const auto size = static_cast<std::size_t>(rank.size);
        const auto me = static_cast<std::size_t>(rank.rank);
        const auto mine = values<int>(rank.rank, n * size);
        std::vector<int> gathered;
        std::vector<int> crossed;
        for (int peer = 0; peer < rank.size; ++peer) {
            const auto theirs = values<int>(peer, n * size);
            gathered.insert(gathered.end(), theirs.begin(), theirs.begin() + n);
            const auto from = theirs.begin() + static_cast<std::ptrdiff_t>(me * n);
            crossed.insert(crossed.end(), from, from + n);
        }
        const Buffer<int> send(mine);
        const Buffer<int> all(n * size);
        rank.done(ncclAllGather(send.get(), all.get(), n, ncclInt32, rank.comm, rank.stream), "ncclAllGather");
        check(all.values() == gathered, "ncclAllGather");
        rank.done(ncclAllGather(all.get() + me * n, all.get(), n, ncclInt32, rank.comm, rank.stream), "in place");
        check(all.values() == gathered, "ncclAllGather in place");

        for (int root = 0; root < rank.size; ++root) {
            const auto roots = values<int>(root, n);
            const Buffer<int> out(n);
            const auto* from = rank.rank == root ? send.get() : nullptr;
            rank.done(ncclBroadcast(from, out.get(), n, ncclInt32, root, rank.comm, rank.stream), "ncclBroadcast");
            check(out.values() == roots, "ncclBroadcast");
            const Buffer<int> both(values<int>(rank.rank, n));
            rank.done(ncclBcast(both.get(), n, ncclInt32, root, rank.comm, rank.stream), "ncclBcast");
            check(both.values() == roots, "ncclBcast");
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 3)
            const Buffer<int> at_root(n * size);
            auto* to = rank.rank == root ? at_root.get() : nullptr;
            rank.done(ncclGather(send.get(), to, n, ncclInt32, root, rank.comm, rank.stream), "ncclGather");
            check(rank.rank != root || at_root.values() == gathered, "ncclGather");
            rank.done(ncclScatter(from, out.get(), n, ncclInt32, root, rank.comm, rank.stream), "ncclScatter");
            const auto whole = values<int>(root, n * size);
            const auto part = whole.begin() + static_cast<std::ptrdiff_t>(me * n);
            check(out.values() == std::vector<int>(part, part + n), "ncclScatter");
#endif
        }
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 3)
        rank.done(ncclAlltoAll(send.get(), all.get(), n, ncclInt32, rank.comm, rank.stream), "ncclAlltoAll");
        check(all.values() == crossed, "ncclAlltoAll");
#endif
        rank.done(ncclAllReduce(send.get(), all.get(), 0, ncclInt32, ncclSum, rank.comm, rank.stream), "no elements");
    });
}

TEST_CASE("sends and receives of one group meet") {
    for_sizes([](const Rank& rank) {
        constexpr std::size_t many = 1u << 18u; // more than a socket holds
        const int next = (rank.rank + 1) % rank.size;
        const int last = (rank.rank + rank.size - 1) % rank.size;
        const Buffer<int> send(values<int>(rank.rank, many));
        const Buffer<int> recv(many);
        for (int round = 0; round < 3; ++round) {
            check(ncclGroupStart(), "ncclGroupStart");
            check(ncclSend(send.get(), many, ncclInt32, next, rank.comm, rank.stream) == ncclSuccess, "in a group");
            check(ncclRecv(recv.get(), many, ncclInt32, last, rank.comm, rank.stream) == ncclSuccess, "in a group");
            check(standin_calls("ncclSend") > 0, "calls");
            rank.done(ncclGroupEnd(), "ncclGroupEnd");
            check(recv.values() == values<int>(last, many), "ncclRecv");
        }
    });
}

TEST_CASE("one group of all kinds of operations, on two streams") {
    for_sizes([](const Rank& rank) {
        cudaStream_t other = nullptr;
        check(cudaStreamCreate(&other), "cudaStreamCreate");
        const int peer = rank.rank ^ 1;
        const bool paired = peer < rank.size;
        const Buffer<int> send(values<int>(rank.rank, n));
        const Buffer<int> sum(n);
        const Buffer<int> most(n);
        const Buffer<int> recv(n);
        check(ncclGroupStart(), "ncclGroupStart");
        check(ncclAllReduce(send.get(), sum.get(), n, ncclInt32, ncclSum, rank.comm, rank.stream), "ncclAllReduce");
        if (paired) check(ncclRecv(recv.get(), n, ncclInt32, peer, rank.comm, other), "ncclRecv");
        check(ncclAllReduce(send.get(), most.get(), n, ncclInt32, ncclMax, rank.comm, other), "ncclAllReduce");
        if (paired) check(ncclSend(send.get(), n, ncclInt32, peer, rank.comm, rank.stream), "ncclSend");
        rank.done(ncclGroupEnd(), "ncclGroupEnd");
        check(cudaStreamSynchronize(other), "cudaStreamSynchronize");
        check(!paired || recv.values() == values<int>(peer, n), "ncclRecv");
        check(sum.values()[4] == reduced<int>(rank.size, 4, ncclSum), "sum");
        check(most.values()[4] == reduced<int>(rank.size, 4, ncclMax), "max");
        check(cudaStreamDestroy(other), "cudaStreamDestroy");
    });
}

TEST_CASE("megabytes between eight ranks") {
    run(8, [](const Rank& rank) {
        constexpr std::size_t many = 1u << 18u;
        const Buffer<float> data(std::vector<float>(many, static_cast<float>(rank.rank)));
        rank.done(ncclAllReduce(data.get(), data.get(), many, ncclFloat32, ncclSum, rank.comm, rank.stream),
                  "ncclAllReduce");
        check(data.values() == std::vector<float>(many, 28.0f), "sum");
    });
}

TEST_CASE("operations of one communicator keep their order over streams") {
    run(2, [](const Rank& rank) {
        cudaStream_t other = nullptr;
        check(cudaStreamCreate(&other), "cudaStreamCreate");
        const Buffer<int> data(std::vector<int>(n, 1));
        for (int i = 0; i < 20; ++i) {
            const auto stream = i % 2 == 0 ? rank.stream : other;
            check(ncclAllReduce(data.get(), data.get(), n, ncclInt32, ncclSum, rank.comm, stream), "ncclAllReduce");
            check(settled(rank.comm), "ncclAllReduce");
        }
        check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
        check(data.values() == std::vector<int>(n, 1 << 20), "sum");
        check(cudaStreamDestroy(other), "cudaStreamDestroy");
    });
}

TEST_CASE("blocking communicators do the same") {
    run(
        3,
        [](const Rank& rank) {
            check_reductions<float>(rank);
            const Buffer<int> data(std::vector<int>(n, 1));
            check(ncclAllReduce(data.get(), data.get(), n, ncclInt32, ncclSum, rank.comm, rank.stream) == ncclSuccess,
                  "at once");
            check(cudaStreamSynchronize(rank.stream), "cudaStreamSynchronize");
        },
        true);
}

TEST_CASE("each rank's factor is its own") {
    run(3, [](const Rank& rank) {
        float factor = static_cast<float>(rank.rank + 1);
        const Buffer<float> device_factor(std::vector<float>{factor});
        for (const auto where : {ncclScalarHostImmediate, ncclScalarDevice}) {
            ncclRedOp_t op = ncclSum;
            float scalar = factor;
            void* source = where == ncclScalarDevice ? static_cast<void*>(device_factor.get()) : &scalar;
            check(ncclRedOpCreatePreMulSum(&op, source, ncclFloat32, where, rank.comm), "ncclRedOpCreatePreMulSum");
            scalar = -1;
            const Buffer<float> data(std::vector<float>(n, 2.0f));
            check(ncclAllReduce(data.get(), data.get(), n, ncclFloat32, op, rank.comm, rank.stream), "ncclAllReduce");
            check(settled(rank.comm), "ncclAllReduce");
            check(ncclRedOpDestroy(op, rank.comm), "ncclRedOpDestroy");
            check(cudaStreamSynchronize(rank.stream), "cudaStreamSynchronize");
            check(data.values() == std::vector<float>(n, 12.0f), "sum");
        }
        ncclRedOp_t op = ncclSum;
        check(ncclRedOpCreatePreMulSum(&op, &factor, ncclFloat32, ncclScalarHostImmediate, rank.comm), "another");
        check(ncclRedOpDestroy(op, rank.comm), "ncclRedOpDestroy");
    });
}
