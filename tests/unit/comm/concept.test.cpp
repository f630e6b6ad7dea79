// SPDX-License-Identifier: Apache-2.0
#include <muster/comm/concept.hpp>
#include <muster/comm/data_type.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <span>

namespace {

/// All that a communicator must have and nothing else. A type that lacks one thing hides it.
struct Archetype {
    struct Stream {};
    Archetype() = default;
    Archetype(Archetype&&) noexcept = default;
    Archetype& operator=(Archetype&&) noexcept = default;
    int size() const { return 1; }
    int rank() const { return 0; }
    std::span<const int> ranks() const { return {}; }
    void all_reduce(std::span<const float>, std::span<float>, muster::Sum, Stream) {}
    void all_reduce(std::span<float>, muster::Sum, Stream) {}
    void reduce(std::span<const float>, std::span<float>, muster::Sum, int, Stream) {}
    void reduce(std::span<float>, muster::Sum, int, Stream) {}
    void reduce_scatter(std::span<const float>, std::span<float>, muster::Sum, Stream) {}
    void broadcast(std::span<float>, int, Stream) {}
    void all_gather(std::span<const float>, std::span<float>, Stream) {}
    void all_to_all(std::span<const float>, std::span<float>, Stream) {}
    void gather(std::span<const float>, std::span<float>, int, Stream) {}
    void scatter(std::span<const float>, std::span<float>, int, Stream) {}
    void send(std::span<const float>, int, Stream) {}
    void recv(std::span<float>, int, Stream) {}
    void barrier(Stream) {}
    void wait(Stream, muster::Deadline) {}
    void check() {}
    Archetype split(int, int) { return {}; }
    bool is_open() const { return true; }
    void abort() {}
    void close(muster::Deadline) {}
    int native_handle() const { return 0; }
};
static_assert(muster::Communicator<Archetype>);

template <class Self>
struct Splits : Archetype {
    Self split(int, int) { return {}; }
};
struct Whole : Splits<Whole> {};
static_assert(muster::Communicator<Whole>);

// clang-format off
struct NoSize : Splits<NoSize> { void size() const = delete; };
struct SizeIsNoInt : Splits<SizeIsNoInt> { long size() const { return 1; } };
struct NoRank : Splits<NoRank> { void rank() const = delete; };
struct NoRanks : Splits<NoRanks> { void ranks() const = delete; };
struct NoAllReduce : Splits<NoAllReduce> { void all_reduce() = delete; };
struct NoAllReduceInPlace : Splits<NoAllReduceInPlace> { void all_reduce(std::span<const float>, std::span<float>, muster::Sum, Stream) {} };
struct NoReduce : Splits<NoReduce> { void reduce() = delete; };
struct NoReduceInPlace : Splits<NoReduceInPlace> { void reduce(std::span<const float>, std::span<float>, muster::Sum, int, Stream) {} };
struct NoReduceScatter : Splits<NoReduceScatter> { void reduce_scatter() = delete; };
struct NoBroadcast : Splits<NoBroadcast> { void broadcast() = delete; };
struct NoAllGather : Splits<NoAllGather> { void all_gather() = delete; };
struct NoAllToAll : Splits<NoAllToAll> { void all_to_all() = delete; };
struct NoGather : Splits<NoGather> { void gather() = delete; };
struct NoScatter : Splits<NoScatter> { void scatter() = delete; };
struct NoSend : Splits<NoSend> { void send() = delete; };
struct NoRecv : Splits<NoRecv> { void recv() = delete; };
struct NoBarrier : Splits<NoBarrier> { void barrier() = delete; };
struct NoWait : Splits<NoWait> { void wait() = delete; };
struct NoCheck : Splits<NoCheck> { void check() = delete; };
struct NoIsOpen : Splits<NoIsOpen> { void is_open() = delete; };
struct NoAbort : Splits<NoAbort> { void abort() = delete; };
struct NoClose : Splits<NoClose> { void close() = delete; };
struct NoNativeHandle : Splits<NoNativeHandle> { void native_handle() const = delete; };
struct SplitsIntoOthers : Archetype {};
struct Copies : Splits<Copies> { Copies() = default; Copies(const Copies&) {} Copies& operator=(const Copies&) { return *this; } };
struct ThrowsOnMove : Splits<ThrowsOnMove> { ThrowsOnMove() = default; ThrowsOnMove(ThrowsOnMove&&) {} ThrowsOnMove& operator=(ThrowsOnMove&&) noexcept = default; };
struct NoDefault : Splits<NoDefault> { explicit NoDefault(int) {} };
// clang-format on

template <class... Cs>
constexpr bool none = (!muster::Communicator<Cs> && ...);
static_assert(none<NoSize, SizeIsNoInt, NoRank, NoRanks>);
static_assert(none<NoAllReduce, NoAllReduceInPlace, NoReduce, NoReduceInPlace, NoReduceScatter>);
static_assert(
    none<NoBroadcast, NoAllGather, NoAllToAll, NoGather, NoScatter, NoSend, NoRecv, NoBarrier, NoWait, NoCheck>);
static_assert(none<NoIsOpen, NoAbort, NoClose, NoNativeHandle, SplitsIntoOthers>);
static_assert(none<Copies, ThrowsOnMove, NoDefault, int>);

template <class... Ts>
constexpr bool all_elements = (muster::HostElement<Ts> && ...);
template <class... Ts>
constexpr bool no_elements = (!muster::HostElement<Ts> && ...);
static_assert(all_elements<char, signed char, unsigned char, short, unsigned short, int, unsigned, long, unsigned long,
                           long long, unsigned long long, std::int8_t, std::uint64_t, float, double>);
__extension__ using Int128 = __int128; // an integer type where the compiler's extensions are on
static_assert(no_elements<Int128>);
static_assert(no_elements<bool, wchar_t, char8_t, char16_t, char32_t, long double, void*, const int, int&, Archetype>);

} // namespace

TEST_CASE("a full archetype is a communicator, one that lacks something is none") {
    SUCCEED("checked when this file was compiled");
}
