// SPDX-License-Identifier: Apache-2.0
#include <muster/comm/concept.hpp>
#include <muster/gloo/communicator.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "../../support/gloo_ranks.hpp"

using muster::GlooCommunicator;
using namespace std::chrono_literals;

static_assert(muster::Communicator<GlooCommunicator>);
static_assert(!std::is_copy_constructible_v<GlooCommunicator> && !std::is_copy_assignable_v<GlooCommunicator>);
static_assert(std::is_nothrow_move_constructible_v<GlooCommunicator>);
static_assert(std::is_nothrow_move_assignable_v<GlooCommunicator>);
static_assert(std::is_nothrow_destructible_v<GlooCommunicator>);
static_assert(std::is_nothrow_default_constructible_v<GlooCommunicator>);
static_assert(std::same_as<GlooCommunicator::Stream, muster::HostStream>);

namespace {

/// Catch's assertions are not for threads: a failed check is an exception of the rank.
void check(bool ok, const char* what) {
    if (!ok) throw std::runtime_error(what);
}

/// Element i of rank r: small, varied, negative where T can be.
template <class T>
T value(int rank, std::size_t i) {
    const int number = (rank * 7 + static_cast<int>(i % 97) * 3) % 11 + 1;
    if constexpr (std::is_unsigned_v<T>) return static_cast<T>(number);
    return static_cast<T>((static_cast<int>(i) + rank) % 3 == 0 ? -number : number);
}

template <class T>
std::vector<T> values(int rank, std::size_t n) {
    std::vector<T> data(n);
    for (std::size_t i = 0; i < n; ++i) data[i] = value<T>(rank, i);
    return data;
}

/// The reduction of element i over all ranks, the slow and plain way; integers wrap as in two's complement.
template <class T, class Op>
T reduced(int size, std::size_t i, Op op) {
    using Wide = std::conditional_t<std::is_integral_v<T>, std::uint64_t, double>;
    const auto own = [&](int rank) {
        if constexpr (std::same_as<Op, muster::PremulSum<T>>)
            return static_cast<Wide>(value<T>(rank, i)) * static_cast<Wide>(op.factor);
        return static_cast<Wide>(value<T>(rank, i));
    };
    Wide result = own(0);
    for (int rank = 1; rank < size; ++rank) {
        const auto next = own(rank);
        if constexpr (std::same_as<Op, muster::Prod>)
            result *= next;
        else if constexpr (std::same_as<Op, muster::Min>)
            result = static_cast<T>(next) < static_cast<T>(result) ? next : result;
        else if constexpr (std::same_as<Op, muster::Max>)
            result = static_cast<T>(result) < static_cast<T>(next) ? next : result;
        else
            result += next;
    }
    auto joined = static_cast<T>(result);
    if constexpr (std::same_as<Op, muster::Avg>) {
        if constexpr (std::is_integral_v<T>)
            joined = static_cast<T>(static_cast<std::intmax_t>(joined) / size);
        else
            joined /= static_cast<T>(size);
    }
    return joined;
}

template <class T>
bool close_to(T a, T b) {
    if constexpr (std::is_integral_v<T>)
        return a == b;
    else
        return std::abs(a - b) <= std::abs(b) * T(1e-5);
}

template <class T, class Op>
void check_reductions(GlooCommunicator& comm, std::size_t n, Op op) {
    const auto whole = n * static_cast<std::size_t>(comm.size());
    const auto in = values<T>(comm.rank(), n);
    const auto right = [&](std::span<const T> data, std::size_t offset, const char* what) {
        for (std::size_t i = 0; i < data.size(); ++i) {
            check(close_to(data[i], reduced<T>(comm.size(), offset + i, op)), what);
        }
    };

    std::vector<T> out(n);
    comm.all_reduce(in, out, op);
    right(out, 0, "all_reduce");
    auto buffer = in;
    comm.all_reduce(buffer, op);
    right(buffer, 0, "all_reduce in place");
    buffer = in;
    comm.all_reduce(std::span<const T>(buffer), buffer, op);
    right(buffer, 0, "all_reduce onto itself");

    for (int root : {0, comm.size() - 1}) {
        std::vector<T> result(comm.rank() == root ? n : 0);
        comm.reduce(in, result, op, root);
        if (comm.rank() == root) right(result, 0, "reduce");
        buffer = in;
        comm.reduce(buffer, op, root);
        if (comm.rank() == root)
            right(buffer, 0, "reduce in place");
        else
            check(buffer == in, "reduce in place changed the buffer of another rank");
    }

    const auto all = values<T>(comm.rank(), whole);
    const auto before = all;
    comm.reduce_scatter(all, out, op);
    const auto offset = static_cast<std::size_t>(comm.rank()) * n;
    right(out, offset, "reduce_scatter");
    check(all == before, "reduce_scatter changed its input");
    auto shared = all;
    const std::span<T> mine = std::span(shared).subspan(offset, n);
    comm.reduce_scatter(shared, mine, op);
    right(mine, offset, "reduce_scatter in place");
}

template <class T>
void check_moves(GlooCommunicator& comm, std::size_t n) {
    const int size = comm.size();
    const int me = comm.rank();
    const auto part = [&](int rank) { return static_cast<std::size_t>(rank) * n; };
    const auto whole = part(size);
    const auto in = values<T>(me, n);
    std::vector<T> everybody;
    for (int rank = 0; rank < size; ++rank) {
        const auto theirs = values<T>(rank, n);
        everybody.insert(everybody.end(), theirs.begin(), theirs.end());
    }

    std::vector<T> out(whole);
    comm.all_gather(in, out);
    check(out == everybody, "all_gather");
    std::vector<T> shared(whole);
    const std::span<T> mine = std::span(shared).subspan(part(me), n);
    std::copy(in.begin(), in.end(), mine.begin());
    comm.all_gather(mine, shared);
    check(shared == everybody, "all_gather in place");

    const auto mixed = values<T>(me, whole);
    std::vector<T> exchanged(whole);
    comm.all_to_all(mixed, exchanged);
    for (int rank = 0; rank < size; ++rank) {
        const auto theirs = values<T>(rank, whole);
        for (std::size_t i = 0; i < n; ++i) check(exchanged[part(rank) + i] == theirs[part(me) + i], "all_to_all");
    }
    check(mixed == values<T>(me, whole), "all_to_all changed its input");

    for (const int root : {0, size - 1}) {
        auto data = in;
        comm.broadcast(data, root);
        check(data == values<T>(root, n), "broadcast");

        std::vector<T> gathered(me == root ? whole : 0);
        comm.gather(in, gathered, root);
        check(me == root ? gathered == everybody : gathered.empty(), "gather");
        if (me == root) {
            std::vector<T> place(whole);
            const std::span<T> own = std::span(place).subspan(part(me), n);
            std::copy(in.begin(), in.end(), own.begin());
            comm.gather(own, place, root);
            check(place == everybody, "gather in place");
        } else {
            comm.gather(in, std::span<T>(), root);
        }

        std::vector<T> received(n);
        comm.scatter(std::span<const T>(everybody).first(me == root ? whole : 0), received, root);
        check(received == values<T>(me, n), "scatter");
        if (me == root) {
            auto place = everybody;
            comm.scatter(place, std::span(place).subspan(part(me), n), root);
            check(place == everybody, "scatter in place");
        } else {
            comm.scatter(std::span<const T>(), received, root);
        }
    }

    if (size > 1) { // a ring, in both directions; even ranks start
        std::vector<T> incoming(n);
        const int next = (me + 1) % size;
        const int last = (me + size - 1) % size;
        if (me % 2 == 0) comm.send(in, next);
        comm.recv(incoming, last);
        if (me % 2 == 1) comm.send(in, next);
        check(incoming == values<T>(last, n), "ring");
    }
}

} // namespace

/// Every operation in every form, at lengths that Gloo treats apart: none, fewer than ranks, odd.
template <class T>
void check_forms(GlooCommunicator& comm) {
    for (const std::size_t n : {0U, 1U, 13U}) check_moves<T>(comm, n);
    for (const std::size_t n : {0U, 1U, 257U}) check_reductions<T>(comm, n, muster::sum);
    check_reductions<T>(comm, 13, muster::min);
    check_reductions<T>(comm, 13, muster::max);
    check_reductions<T>(comm, 13, muster::avg);
    check_reductions<T>(comm, 13, muster::prod);
    check_reductions<T>(comm, 13, muster::premul_sum(T(3)));
}

/// Every reduction on elements of type T, and every move.
template <class T>
void check_type(GlooCommunicator& comm) {
    constexpr std::size_t n = 13;
    const auto part = n * static_cast<std::size_t>(comm.rank());
    const auto all = values<T>(comm.rank(), n * static_cast<std::size_t>(comm.size()));
    const auto in = std::span(all).first(n);
    std::vector<T> out(n);
    const auto right = [&](std::size_t offset, auto op, const char* what) {
        for (std::size_t i = 0; i < n; ++i) check(close_to(out[i], reduced<T>(comm.size(), offset + i, op)), what);
    };
    const auto reductions = [&](auto op) {
        comm.all_reduce(in, out, op);
        right(0, op, "all_reduce");
        comm.reduce(in, out, op, 1);
        if (comm.rank() == 1) right(0, op, "reduce");
        comm.reduce_scatter(all, out, op);
        right(part, op, "reduce_scatter");
    };
    reductions(muster::sum);
    reductions(muster::min);
    reductions(muster::max);
    reductions(muster::avg);
    reductions(muster::prod);
    reductions(muster::premul_sum(T(3)));

    std::vector<T> whole(all.size());
    std::vector<T> back(all.size());
    comm.all_to_all(all, whole);
    comm.all_to_all(whole, back);
    check(back == all, "all_to_all there and back");
    comm.gather(in, whole, 0);
    comm.broadcast(whole, 0);
    comm.all_gather(in, back);
    check(back == whole, "gather and broadcast are all_gather");
    comm.scatter(whole, out, 0);
    check(std::ranges::equal(out, in), "scatter undoes gather");
    if (comm.rank() == 0) comm.send(in, 1);
    if (comm.rank() == 1) comm.recv(out, 0);
    check(comm.rank() != 1 || out == values<T>(0, n), "send and recv");
}

TEST_CASE("every operation agrees with a reference in groups of every size") {
    for (const int size : {1, 2, 3, 4, 5, 6, 8}) {
        support::with_gloo(size, [](GlooCommunicator& comm) {
            check_forms<int>(comm);
            check_forms<double>(comm);
        });
    }
    SUCCEED();
}

template <class... Ts>
void check_types() {
    for (const int size : {2, 3, 8}) {
        support::with_gloo(size, [](GlooCommunicator& comm) { (check_type<Ts>(comm), ...); });
    }
}

TEST_CASE("every operation agrees with a reference on every type") {
    check_types<char, signed char, unsigned char, short, unsigned short, unsigned, long, unsigned long, long long,
                unsigned long long, float>();
    SUCCEED();
}

TEST_CASE("large buffers take Gloo's segmented paths") {
    support::with_gloo(3, [](GlooCommunicator& comm) {
        constexpr std::size_t n = 3'000'001;
        std::vector<float> data(n, static_cast<float>(comm.rank() + 1));
        comm.all_reduce(data, muster::sum);
        check(std::ranges::all_of(data, [](float x) { return x == 6.0F; }), "all_reduce");
        std::ranges::fill(data, static_cast<float>(comm.rank() + 1));
        comm.reduce(data, muster::sum, 1);
        const float expected = comm.rank() == 1 ? 6.0F : static_cast<float>(comm.rank() + 1);
        check(std::ranges::all_of(data, [&](float x) { return x == expected; }), "reduce");
        std::ranges::fill(data, static_cast<float>(comm.rank()));
        comm.broadcast(data, 2);
        check(std::ranges::all_of(data, [](float x) { return x == 2.0F; }), "broadcast");
        std::vector<float> parts(n * 3, static_cast<float>(comm.rank()));
        comm.reduce_scatter(parts, data, muster::max);
        check(std::ranges::all_of(data, [](float x) { return x == 2.0F; }), "reduce_scatter");
    });
    SUCCEED();
}

TEST_CASE("the group tells who is in it") {
    support::with_gloo(3, [](GlooCommunicator& comm) {
        check(comm.size() == 3 && comm.is_open(), "size");
        check(std::ranges::equal(comm.ranks(), std::array{10, 11, 12}), "ranks");
        check(comm.native_handle()->rank == comm.rank() && comm.native_handle()->size == 3, "native_handle");
    });
    SUCCEED();
}

TEST_CASE("any contiguous buffer does") {
    support::with_gloo(2, [](GlooCommunicator& comm) {
        std::array<int, 2> array{comm.rank(), 1};
        int plain[2] = {5, comm.rank()};
        std::string text = comm.rank() == 0 ? "hello" : ".....";
        comm.all_reduce(array, muster::sum);
        comm.all_reduce(plain, muster::sum, muster::HostStream{});
        comm.broadcast(text, 0);
        comm.all_reduce(std::span(array), plain, muster::max);
        check(array == std::array{1, 2} && plain[0] == 1 && plain[1] == 2 && text == "hello", "buffers");
        const std::array<int, 1> one{comm.rank()};
        comm.all_gather(one, array);
        check(array == std::array{0, 1}, "static extents");
    });
    SUCCEED();
}

TEST_CASE("messages between two ranks arrive in order and apart from collectives") {
    support::with_gloo(3, [](GlooCommunicator& comm) {
        for (int i = 0; i < 50; ++i) {
            std::array<int, 1> value{i};
            if (comm.rank() == 0) {
                comm.send(value, 2);
            } else if (comm.rank() == 2) {
                comm.recv(value, 0);
                check(value[0] == i, "message");
            }
            std::array<int, 1> total{1};
            comm.all_reduce(total, muster::sum);
            check(total[0] == 3, "all_reduce between messages");
        }
    });
    SUCCEED();
}

TEST_CASE("several communicators work side by side") {
    constexpr int n = 4;
    support::with_gloo(n, [](GlooCommunicator& world) {
        auto even_odd = world.split(world.rank() % 2, 0);
        auto halves = world.split(world.rank() / 2, 0);
        auto copy = world.split(0, world.rank());
        for (int i = 0; i < 20; ++i) {
            std::array<int, 1> a{1 << world.rank()}, b = a, c = a, d = a;
            copy.all_reduce(a, muster::sum);
            even_odd.all_reduce(b, muster::sum);
            world.all_reduce(c, muster::sum);
            halves.all_reduce(d, muster::sum);
            check(a[0] == 15 && c[0] == 15, "worlds");
            check(b[0] == (world.rank() % 2 == 0 ? 5 : 10), "even and odd");
            check(d[0] == (world.rank() < 2 ? 3 : 12), "halves");
        }
    });
    SUCCEED();
}
