// SPDX-License-Identifier: Apache-2.0
#include <muster/comm/concept.hpp>
#include <muster/nccl/communicator.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "../../support/nccl_ranks.hpp"

using muster::NcclCommunicator;
using support::DeviceArray;
using support::with_nccl;
using namespace std::chrono_literals;

static_assert(muster::Communicator<NcclCommunicator>);
static_assert(!std::is_copy_constructible_v<NcclCommunicator> && !std::is_copy_assignable_v<NcclCommunicator>);
static_assert(std::is_nothrow_move_constructible_v<NcclCommunicator>);
static_assert(std::is_nothrow_move_assignable_v<NcclCommunicator>);
static_assert(std::is_nothrow_destructible_v<NcclCommunicator>);
static_assert(std::is_nothrow_default_constructible_v<NcclCommunicator>);
static_assert(std::same_as<NcclCommunicator::Stream, cudaStream_t>);
static_assert(!std::is_constructible_v<NcclCommunicator, ncclComm_t>);

namespace {

/// Catch's assertions are not for threads: a failed check is an exception of the rank.
void check(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(what);
}

template <class T>
T from(double value) {
    if constexpr (std::is_arithmetic_v<T>)
        return static_cast<T>(value);
    else
        return T(static_cast<float>(value));
}

template <class T>
double to_double(T value) {
    if constexpr (std::is_arithmetic_v<T>)
        return static_cast<double>(value);
    else
        return static_cast<double>(static_cast<float>(value));
}

/// Exact in every type, negative where T can be; products of four stay within 8 bits.
template <class T>
double number(int rank, std::size_t i) {
    const int size = 1 + static_cast<int>((i + static_cast<std::size_t>(rank)) % 3);
    return std::is_unsigned_v<T> || i % 5 != 0 ? size : -size;
}

template <class T>
std::vector<T> numbers(int rank, std::size_t n) {
    std::vector<T> data;
    for (std::size_t i = 0; i < n; ++i) data.push_back(from<T>(number<T>(rank, i)));
    return data;
}

template <class T, class Op>
double reduced(int size, std::size_t i, Op) {
    double result = number<T>(0, i);
    for (int rank = 1; rank < size; ++rank) {
        const double next = number<T>(rank, i);
        if constexpr (std::same_as<Op, muster::Prod>)
            result *= next;
        else if constexpr (std::same_as<Op, muster::Min>)
            result = std::min(result, next);
        else if constexpr (std::same_as<Op, muster::Max>)
            result = std::max(result, next);
        else
            result += next;
    }
    if constexpr (std::same_as<Op, muster::PremulSum<T>>) result *= 2;
    if constexpr (std::same_as<Op, muster::Avg>) {
        result /= size;
        if constexpr (std::is_integral_v<T>) result = std::trunc(result);
    }
    return result;
}

template <class T>
double tolerance() {
    if constexpr (std::is_integral_v<T>) return 0;
    if constexpr (sizeof(T) == 1) return 0.26;
    if constexpr (sizeof(T) == 2) return 0.02;
    return 1e-6;
}

template <class T, class Op>
void check_reductions(NcclCommunicator& comm, Op op, std::size_t n = 33) {
    const auto whole = n * static_cast<std::size_t>(comm.size());
    const auto right = [&](const DeviceArray<T>& array, std::size_t offset, const char* what) {
        comm.wait();
        const auto data = array.to_host();
        for (std::size_t i = 0; i < data.size(); ++i) {
            const double expected = reduced<T>(comm.size(), offset + i, op);
            check(std::abs(to_double(data[i]) - expected) <= tolerance<T>() * std::max(1.0, std::abs(expected)),
                  std::string(what) + ": " + std::to_string(to_double(data[i])) + " instead of " +
                      std::to_string(expected));
        }
    };
    const DeviceArray<T> in(numbers<T>(comm.rank(), n));
    DeviceArray<T> out(n);
    comm.all_reduce(in, out, op);
    right(out, 0, "all_reduce");
    DeviceArray<T> buffer(numbers<T>(comm.rank(), n));
    comm.all_reduce(buffer, op);
    right(buffer, 0, "all_reduce in place");

    for (const int root : {0, comm.size() - 1}) {
        DeviceArray<T> result(comm.rank() == root ? n : 0);
        comm.reduce(in, result, op, root);
        if (comm.rank() == root) right(result, 0, "reduce");
        DeviceArray<T> own(numbers<T>(comm.rank(), n));
        comm.reduce(own, op, root);
        if (comm.rank() == root) right(own, 0, "reduce in place");
        comm.wait();
    }

    const DeviceArray<T> parts(numbers<T>(comm.rank(), whole));
    comm.reduce_scatter(parts, out, op);
    right(out, n * static_cast<std::size_t>(comm.rank()), "reduce_scatter");
    comm.wait();
}

template <class T>
void check_moves(NcclCommunicator& comm, std::size_t n = 17) {
    const auto size = static_cast<std::size_t>(comm.size());
    const auto me = static_cast<std::size_t>(comm.rank());
    const auto value = [](std::size_t rank, std::size_t i) { return static_cast<T>(1 + (rank * 37 + i) % 100); };
    const auto filled = [&](std::size_t rank, std::size_t count) {
        std::vector<T> data;
        for (std::size_t i = 0; i < count; ++i) data.push_back(value(rank, i));
        return data;
    };
    const auto same = [&](const DeviceArray<T>& array, const std::vector<T>& expected, const char* what) {
        comm.wait();
        check(array.to_host() == expected, what);
    };
    std::vector<T> everybody;
    for (std::size_t rank = 0; rank < size; ++rank)
        for (std::size_t i = 0; i < n; ++i) everybody.push_back(value(rank, i));
    const auto last = comm.size() - 1;

    DeviceArray<T> buffer(filled(me, n));
    comm.broadcast(buffer, last);
    same(buffer, filled(static_cast<std::size_t>(last), n), "broadcast");

    const DeviceArray<T> mine(filled(me, n));
    DeviceArray<T> all(n * size);
    comm.all_gather(mine, all);
    same(all, everybody, "all_gather");
    DeviceArray<T> place(filled(me, n * size));
    check(cudaMemcpy(place.begin() + me * n, mine.begin(), n * sizeof(T), cudaMemcpyDeviceToDevice) == cudaSuccess,
          "copy");
    comm.all_gather(std::span<const T>(place.begin() + me * n, n), place);
    same(place, everybody, "all_gather in place");

    DeviceArray<T> collected(comm.rank() == last ? n * size : 0);
    comm.gather(mine, collected, last);
    if (comm.rank() == last) same(collected, everybody, "gather");
    const DeviceArray<T> source(comm.rank() == last ? everybody : std::vector<T>());
    DeviceArray<T> part(n);
    comm.scatter(source, part, last);
    same(part, filled(me, n), "scatter");

    std::vector<T> outgoing;
    std::vector<T> incoming;
    for (std::size_t peer = 0; peer < size; ++peer)
        for (std::size_t i = 0; i < n; ++i) {
            outgoing.push_back(value(me * size + peer, i));
            incoming.push_back(value(peer * size + me, i));
        }
    const DeviceArray<T> out(outgoing);
    DeviceArray<T> in(n * size);
    comm.all_to_all(out, in);
    same(in, incoming, "all_to_all");

    if (comm.size() > 1) {
        if (comm.rank() == 0) comm.send(mine, 1);
        if (comm.rank() == 1) {
            comm.recv(part, 0);
            same(part, filled(0, n), "recv");
        }
    }
    comm.wait();
}

template <class T>
void check_type(NcclCommunicator& comm) {
    check_reductions<T>(comm, muster::sum);
    check_reductions<T>(comm, muster::prod);
    check_reductions<T>(comm, muster::min);
    check_reductions<T>(comm, muster::max);
    check_reductions<T>(comm, muster::avg);
    check_reductions<T>(comm, muster::premul_sum(from<T>(2)));
}

} // namespace

TEST_CASE("every operation on every type", "[nccl]") {
    const support::Script script;
    for (const int n : {1, 2, 4}) {
        with_nccl(n, [](NcclCommunicator& comm) {
            check_type<float>(comm);
            check_type<double>(comm);
            check_type<std::int8_t>(comm);
            check_type<std::uint8_t>(comm);
            check_type<std::int32_t>(comm);
            check_type<std::uint32_t>(comm);
            check_type<long>(comm);
            check_type<unsigned long long>(comm);
            check_type<__half>(comm);
            check_type<__nv_bfloat16>(comm);
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 24, 3)
            check_type<__nv_fp8_e4m3>(comm);
            check_type<__nv_fp8_e5m2>(comm);
#endif
            check_moves<float>(comm);
            check_moves<char>(comm);
            check_moves<std::int16_t>(comm);
            check_moves<std::uint16_t>(comm);
            check_moves<std::byte>(comm);
            check_moves<std::uint64_t>(comm);
        });
    }
}

TEST_CASE("buffers of no elements move nothing", "[nccl]") {
    const support::Script script;
    with_nccl(3, [](NcclCommunicator& comm) {
        const DeviceArray<float> none(0U);
        comm.all_reduce(none, none, muster::sum);
        comm.all_gather(none, none);
        comm.broadcast(none, 1);
        comm.barrier();
    });
}

TEST_CASE("what is wrong with the arguments is said before NCCL is called", "[nccl]") {
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& comm) {
        const DeviceArray<float> four(4U);
        const DeviceArray<float> three(3U);
        const DeviceArray<float> other(3U);
        const auto refused = [&](auto call, const std::string& words) {
            const auto error = support::error_of(call);
            check(error.code() == muster::errc::invalid_argument, "code");
            check(std::string(error.what()).find(words) != std::string::npos, error.what());
            check(error.rank() == comm.ranks()[static_cast<std::size_t>(comm.rank())], "rank");
            check(comm.is_open(), "a refused call closed the communicator");
        };
        refused([&] { comm.all_reduce(four, three, muster::sum); }, "out has 3 elements, expected 4");
        refused([&] { comm.all_gather(four, four); }, "out has 4 elements, expected 8: 4 for each of the 2 ranks");
        refused([&] { comm.all_to_all(three, other); }, "3 elements cannot be divided");
        refused([&] { comm.broadcast(four, 2); }, "root 2 is not a rank of the group");
        refused([&] { comm.send(four, comm.rank()); }, "is this rank itself");
        refused([&] { comm.recv(four, -1); }, "peer -1 is not a rank");
        refused([&] { comm.all_reduce(std::span(four.begin(), 3), std::span(four.begin() + 1, 3), muster::sum); },
                "overlap");
        refused([&] { comm.set_timeout(0ms); }, "is not positive");
        comm.barrier();
    });
}

TEST_CASE("a communicator that is empty, closed or released says so", "[nccl]") {
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& comm) {
        const DeviceArray<float> data(4U);
        const auto closed = [&](NcclCommunicator& which, const std::string& words) {
            const auto error = support::error_of([&] { which.all_reduce(data, muster::sum); });
            check(error.code() == muster::errc::closed, "code");
            check(std::string(error.what()).find(words) != std::string::npos, error.what());
        };
        NcclCommunicator empty;
        closed(empty, "that is empty");
        NcclCommunicator child = comm.split(0, 0);
        NcclCommunicator moved(std::move(child));
        closed(child, "that is empty"); // NOLINT(bugprone-use-after-move): that is what is tested
        moved.close(muster::Deadline::after(10s));
        closed(moved, "that was closed");
        moved.close(muster::Deadline::after(10s));
        moved.abort();

        NcclCommunicator given = comm.split(0, 0);
        const ncclComm_t handle = given.release();
        closed(given, "that was closed");
        {
            NcclCommunicator view = NcclCommunicator::from_native_handle(handle, {10, 11});
            check(view.size() == 2 && view.rank() == comm.rank() && view.device() == comm.rank(), "view");
            check(view.native_handle() == handle, "view's handle");
            view.all_reduce(data, muster::sum);
            view.wait();
            view.close(muster::Deadline::after(10s));
        }
        ncclResult_t state = ncclInProgress;
        check(ncclCommFinalize(handle) != ncclInvalidArgument, "finalize");
        while (state == ncclInProgress) check(ncclCommGetAsyncError(handle, &state) == ncclSuccess, "state");
        check(ncclCommDestroy(handle) == ncclSuccess, "destroy");
    });
    CHECK_THROWS_AS(NcclCommunicator::from_native_handle(ncclComm_t(nullptr)), muster::Error);
}

TEST_CASE("split makes groups by color and key", "[nccl]") {
    const support::Script script;
    with_nccl(4, [](NcclCommunicator& comm) {
        // The highest rank comes first in the new group of the odd; rank 2 wants none.
        const int color = comm.rank() == 2 ? muster::no_color : comm.rank() % 2;
        NcclCommunicator child = comm.split(color, -comm.rank());
        if (comm.rank() == 2) return check(!child.is_open(), "no_color");
        const std::vector<int> ranks(child.ranks().begin(), child.ranks().end());
        check(ranks == (color == 0 ? std::vector{10} : std::vector{13, 11}), "ranks");
        check(child.rank() == (comm.rank() == 1 ? 1 : 0), "rank");
        DeviceArray<int> value(std::vector{comm.rank()});
        child.all_reduce(value, muster::sum);
        child.wait();
        check(value.to_host()[0] == (color == 0 ? 0 : 4), "sum");
        NcclCommunicator grandchild = child.split(0, 0);
        check(grandchild.size() == child.size(), "grandchild");
    });
    with_nccl(2, [](NcclCommunicator& comm) {
        // Inside: a rank that unwinds would end the other's exchange.
        const auto wrong = support::error_of([&] { (void)comm.split(comm.rank() == 1 ? -7 : 0, 0); });
        check(std::string(wrong.what()).find("rank 11 gave the color -7") != std::string::npos, "wrong color");
    });
}

TEST_CASE("a split whose ranks are known asks NCCL once", "[nccl]") {
    const support::Script script;
    with_nccl(4, [](NcclCommunicator& comm) {
        const int base = comm.rank() / 2 * 2;
        NcclCommunicator child = comm.split(base, comm.rank(), {10 + base, 11 + base}, "pair");
        check(child.size() == 2 && child.rank() == comm.rank() % 2, "pair");
    });
    CHECK(standin_calls("ncclCommSplit") == 4);
    CHECK(standin_calls("ncclAllGather") == 0);
    std::atomic<int> disagreements = 0; // a rank may see the other's end before it sees its own group
    with_nccl(2, [&](NcclCommunicator& comm) {
        const auto error = support::error_of([&] { (void)comm.split(comm.rank(), 0, {10, 11}, "pair"); });
        if (error.code() == muster::errc::disagreement) ++disagreements;
        comm.abort();
    });
    CHECK(disagreements > 0);
}

TEST_CASE("shrink leaves ranks out", "[nccl]") {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
    const support::Script script;
    with_nccl(3, [](NcclCommunicator& comm) {
        if (comm.rank() == 1) return;
        NcclCommunicator rest = comm.shrink({1});
        check(rest.size() == 2 && rest.ranks()[1] == 12, "ranks");
        DeviceArray<int> value(std::vector{comm.rank()});
        rest.all_reduce(value, muster::sum);
        rest.wait();
        check(value.to_host()[0] == 2, "sum");
    });
    with_nccl(3, [](NcclCommunicator& comm) {
        if (comm.rank() == 1) return;
        check(comm.shrink({1, 1}).size() == 2, "a rank that is named twice");
    });
#endif
}

TEST_CASE("what was aborted cannot be shrunk", "[nccl]") {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
    const support::Script script("ncclAllReduce:error=2");
    with_nccl(2, [](NcclCommunicator& comm) {
        const DeviceArray<float> data(4U);
        (void)support::error_of([&] { comm.all_reduce(data, muster::sum); });
        const auto error = support::error_of([&] { (void)comm.shrink({1 - comm.rank()}, true); });
        check(error.code() == muster::errc::closed, error.what());
        check(std::string(error.what()).find("that failed before:") != std::string::npos, error.what());
        check(!comm.is_open(), "open");
    });
#endif
}

TEST_CASE("revoke keeps the communicator for its end", "[nccl]") {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 7)
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& comm) {
        NcclCommunicator child = comm.split(0, 0);
        child.revoke();
        child.close(muster::Deadline::after(10s));
    });
#endif
}

TEST_CASE("barrier holds everybody", "[nccl]") {
    const support::Script script;
    std::atomic<int> arrived = 0;
    with_nccl(4, [&](NcclCommunicator& comm) {
        if (comm.rank() == 3) std::this_thread::sleep_for(300ms);
        ++arrived;
        comm.barrier();
        check(arrived == 4, "a rank passed the barrier before all had come");
    });
}

TEST_CASE("wait names the operation that does not end", "[nccl]") {
    const support::Script script;
    std::atomic<bool> over = false;
    const auto error = support::error_of([&] {
        with_nccl(2, [&](NcclCommunicator& comm) {
            const DeviceArray<float> data(4U);
            if (comm.rank() == 1) { // never joins
                while (!over) std::this_thread::sleep_for(10ms);
                return comm.abort();
            }
            comm.all_reduce(data, muster::sum);
            try {
                comm.wait(nullptr, muster::Deadline::after(300ms));
            } catch (...) {
                check(!comm.is_open(), "open after a timeout");
                comm.abort();
                check(cudaStreamSynchronize(nullptr) == cudaSuccess, "the stream after the abort");
                over = true;
                throw;
            }
        });
    });
    CHECK(error.code() == muster::errc::timeout);
    CHECK(std::string(error.what()).find("the last operation called was all_reduce, number 1") != std::string::npos);
}

TEST_CASE("abort from another thread ends a wait", "[nccl]") {
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& comm) {
        const DeviceArray<float> data(4U);
        if (comm.rank() == 0) comm.all_reduce(data, muster::sum);
        std::thread other([&] {
            std::this_thread::sleep_for(200ms);
            comm.abort();
        });
        if (comm.rank() == 0) {
            const auto error = support::error_of([&] { comm.wait(nullptr, muster::Deadline::after(20s)); });
            other.join();
            // The other rank's abort may be seen first.
            check(error.code() == muster::errc::closed || error.code() == muster::errc::connection, error.what());
        } else {
            other.join();
        }
        check(!comm.is_open(), "open after abort");
    });
}

TEST_CASE("an error that NCCL finds later is thrown by check and wait, and ends the communicator", "[nccl]") {
    const support::Script script("ncclAllReduce@1:async=2");
    with_nccl(2, [](NcclCommunicator& comm) {
        const DeviceArray<float> data(4U);
        const auto error = support::error_of([&] {
            comm.all_reduce(data, muster::sum);
            for (;;) {
                comm.check();
                std::this_thread::sleep_for(5ms);
            }
        });
        if (comm.rank() == 1)
            check(std::string(error.what()).find("ncclSystemError (2)") != std::string::npos, error.what());
        check(std::string(error.what()).find("all_reduce") != std::string::npos, error.what()); // whoever says it
        const auto again = support::error_of([&] { comm.all_reduce(data, muster::sum); });
        check(again.code() == muster::errc::closed, "code");
        check(std::string(again.what()).find("that failed before:") != std::string::npos, again.what());
        comm.abort();
    });
}

TEST_CASE("two threads in one communicator are told so", "[nccl]") {
    const support::Script script("ncclAllReduce@0:progress=400");
    with_nccl(2, [](NcclCommunicator& comm) {
        const DeviceArray<float> data(4U);
        std::thread slow([&] {
            support::check(cudaSetDevice(comm.rank()));
            comm.all_reduce(data, muster::sum);
        });
        if (comm.rank() == 0) {
            std::this_thread::sleep_for(150ms);
            const auto error = support::error_of([&] { comm.check(); });
            check(std::string(error.what()).find("another thread is using it") != std::string::npos, error.what());
        }
        slow.join();
        comm.wait();
    });
}
