// SPDX-License-Identifier: Apache-2.0
// One rank: every operation, for every element type and reduction, against a reference that the host computes.
//
//   operations [--tp N] [--dp N] [--cp N] [--seconds N]   after N seconds the types that are left are skipped
//   operations --alone                                    DeviceMesh<1, 1, 1>
#include <muster/muster.hpp>

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nccl.h>

#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "elements.hpp"
#include "support.hpp"

namespace {

using gpu::Op;
using muster::NcclCommunicator;
using namespace std::chrono_literals;

constexpr auto limit = 60s; // for what should take milliseconds

enum class Kind { all_reduce, reduce, reduce_scatter, broadcast, all_gather, all_to_all, gather, scatter, ring };

constexpr std::string_view kind_names[] = {"all_reduce", "reduce", "reduce_scatter", "broadcast", "all_gather",
                                           "all_to_all", "gather", "scatter",        "ring"};

struct Case {
    Kind kind;
    Op op;
    bool in_place;
    int root;
};

/// What was checked, for the figures.
struct Tally {
    int checks = 0;
    int failures = 0;
    std::map<std::string, double> worst; ///< relative L2 error by type and reduction
    std::vector<std::string> skipped;

    void fail(const std::string& what) {
        ++failures;
        if (failures <= 20) fmt::print(stderr, "wrong: {}\n", what);
    }
    void expect(bool right, const std::string& what) {
        ++checks;
        if (!right) fail(what);
    }
};

/// Part of an array: first element and number.
struct Part {
    std::size_t first, count;
};

/// A case's piece of GPU memory, as it is before and as it must be after. What is no result stays as it was.
template <class T>
struct Slot {
    Case what;
    Part in{}, out{};
    std::vector<T> before;
    std::vector<gpu::Wide<T>> expected; ///< of out; empty where this rank gets no result
    bool in_may_change = false;
};

template <class T>
class Checker {
public:
    /// `part` elements go to or come from each rank.
    Checker(NcclCommunicator& group, std::size_t part) : group_(group), part_(part) {}

    void add(Case what) { slots_.push_back(make(what)); }

    /// Runs all cases on the stream, waits once, and compares.
    void run(std::string_view type, cudaStream_t stream, Tally& tally) {
        std::vector<T> before;
        for (const auto& slot : slots_) before.insert(before.end(), slot.before.begin(), slot.before.end());
        const gpu::Array<T> memory(before);
        std::size_t at = 0;
        for (const auto& slot : slots_) {
            const auto all = memory.span().subspan(at, slot.before.size());
            launch(slot.what, all.subspan(slot.in.first, slot.in.count), all.subspan(slot.out.first, slot.out.count),
                   stream);
            at += slot.before.size();
        }
        group_.wait(stream, muster::Deadline::after(limit));
        const std::vector<T> after = memory.download();
        at = 0;
        for (const auto& slot : slots_) {
            compare(slot, type, std::span(after).subspan(at, slot.before.size()), tally);
            at += slot.before.size();
        }
        slots_.clear();
    }

private:
    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(group_.size()); }
    [[nodiscard]] std::size_t rank() const { return static_cast<std::size_t>(group_.rank()); }

    /// What the group's rank `from` gives: global ranks tell the groups of an axis apart.
    [[nodiscard]] std::vector<T> input(const Case& what, std::size_t from, std::size_t count) const {
        const auto who = static_cast<std::uint64_t>(group_.ranks()[from]);
        const std::uint64_t stream = (static_cast<std::uint64_t>(slots_.size()) + 1) * 64 + who;
        std::vector<T> values(count);
        for (std::size_t i = 0; i < count; ++i)
            values[i] = gpu::random_value<T>(gpu::random_bits(stream, i), what.op, group_.size());
        return values;
    }

    [[nodiscard]] Slot<T> make(Case what) const {
        Slot<T> slot{what, {}, {}, {}, {}, false};
        const bool scatters = what.kind == Kind::reduce_scatter || what.kind == Kind::scatter;
        const bool gathers = what.kind == Kind::all_gather || what.kind == Kind::gather;
        const std::size_t whole = part_ * size();
        const std::size_t in = scatters || what.kind == Kind::all_to_all ? whole : part_;
        const std::size_t out = gathers || what.kind == Kind::all_to_all ? whole : part_;
        // An element before, between and after both: memory that nobody may touch, and addresses that are odd.
        slot.in = {1, in};
        slot.out = {in + 2, out};
        if (what.in_place && scatters) slot.out = {1 + rank() * part_, part_};
        if (what.in_place && gathers) slot.in = {in + 2 + rank() * part_, part_};
        if (what.in_place && !scatters && !gathers) slot.out = slot.in;
        slot.in_may_change = what.in_place && scatters;

        slot.before.resize(in + out + 3);
        std::memset(static_cast<void*>(slot.before.data()), 0xA5, slot.before.size() * sizeof(T));
        const bool gives = (what.kind != Kind::broadcast && what.kind != Kind::scatter) || is_root(what);
        if (gives) {
            const auto mine = input(what, rank(), in);
            std::memcpy(static_cast<void*>(slot.before.data() + slot.in.first), mine.data(), in * sizeof(T));
        }
        const bool gets = (what.kind != Kind::reduce && what.kind != Kind::gather) || is_root(what);
        if (gets) slot.expected = expected(what, out);
        return slot;
    }

    [[nodiscard]] bool is_root(const Case& what) const { return group_.rank() == what.root; }

    [[nodiscard]] std::vector<gpu::Wide<T>> expected(const Case& what, std::size_t count) const {
        std::vector<gpu::Wide<T>> result;
        result.reserve(count);
        const auto append = [&](std::size_t from, std::size_t length, std::size_t first) {
            const auto values = input(what, from, length);
            for (std::size_t i = 0; i < part_; ++i) result.push_back(gpu::widen(values[first + i]));
        };
        const auto root = static_cast<std::size_t>(what.root);
        switch (what.kind) {
            case Kind::all_reduce:
            case Kind::reduce: return reduced(what, part_, 0);
            case Kind::reduce_scatter: return reduced(what, part_ * size(), rank() * part_);
            case Kind::broadcast: append(root, part_, 0); break;
            case Kind::all_gather:
            case Kind::gather:
                for (std::size_t from = 0; from < size(); ++from) append(from, part_, 0);
                break;
            case Kind::all_to_all:
                for (std::size_t from = 0; from < size(); ++from) append(from, part_ * size(), rank() * part_);
                break;
            case Kind::scatter: append(root, part_ * size(), rank() * part_); break;
            case Kind::ring: append((rank() + size() - 1) % size(), part_, 0); break;
        }
        return result;
    }

    /// part_ elements of the joined inputs, which have `length`.
    [[nodiscard]] std::vector<gpu::Wide<T>> reduced(const Case& what, std::size_t length, std::size_t first) const {
        std::vector<gpu::Wide<T>> result(part_);
        for (std::size_t from = 0; from < size(); ++from) {
            const auto values = input(what, from, length);
            for (std::size_t i = 0; i < part_; ++i) {
                auto value = gpu::widen(values[first + i]);
                if constexpr (muster::NcclReducible<T>)
                    if (what.op == Op::premul_sum)
                        value =
                            static_cast<gpu::Wide<T>>(value * gpu::widen(gpu::factor_of<T>(static_cast<int>(from))));
                result[i] = from == 0 ? value : gpu::combine(result[i], value, what.op);
            }
        }
        if (what.op == Op::avg)
            for (auto& value : result) value /= static_cast<gpu::Wide<T>>(group_.size());
        return result;
    }

    void launch(const Case& what, std::span<T> in, std::span<T> out, cudaStream_t stream) {
        const std::span<const T> given = in;
        switch (what.kind) {
            case Kind::broadcast: // works in place alone
                if (is_root(what))
                    gpu::check(
                        cudaMemcpyAsync(out.data(), in.data(), in.size_bytes(), cudaMemcpyDeviceToDevice, stream),
                        "cudaMemcpyAsync");
                return group_.broadcast(out, what.root, stream);
            case Kind::all_gather: return group_.all_gather(given, out, stream);
            case Kind::all_to_all: return group_.all_to_all(given, out, stream);
            case Kind::gather: return group_.gather(given, out, what.root, stream);
            case Kind::scatter: return group_.scatter(given, out, what.root, stream);
            case Kind::ring: {
                muster::Group together;
                group_.send(given, (group_.rank() + 1) % group_.size(), stream);
                group_.recv(out, (group_.rank() + group_.size() - 1) % group_.size(), stream);
                return together.end();
            }
            default: break;
        }
        if constexpr (muster::NcclReducible<T>) switch (what.op) {
                case Op::sum: return reduce(what, in, out, muster::sum, stream);
                case Op::prod: return reduce(what, in, out, muster::prod, stream);
                case Op::min: return reduce(what, in, out, muster::min, stream);
                case Op::max: return reduce(what, in, out, muster::max, stream);
                case Op::avg: return reduce(what, in, out, muster::avg, stream);
                case Op::premul_sum:
                    return reduce(what, in, out, muster::premul_sum(gpu::factor_of<T>(group_.rank())), stream);
                case Op::none: break;
            }
    }

    template <class Reduction>
    void reduce(const Case& what, std::span<T> in, std::span<T> out, Reduction op, cudaStream_t stream) {
        const std::span<const T> given = in;
        if (what.kind == Kind::reduce_scatter) return group_.reduce_scatter(given, out, op, stream);
        if (what.kind == Kind::all_reduce)
            return what.in_place ? group_.all_reduce(out, op, stream) : group_.all_reduce(given, out, op, stream);
        return what.in_place ? group_.reduce(out, op, what.root, stream)
                             : group_.reduce(given, out, op, what.root, stream);
    }

    void compare(const Slot<T>& slot, std::string_view type, std::span<const T> after, Tally& tally) const {
        const Case& what = slot.what;
        const std::string name =
            fmt::format("{} {} {}{}{} along {} (root {})", type, kind_names[static_cast<std::size_t>(what.kind)],
                        gpu::op_names[static_cast<std::size_t>(what.op)], what.op == Op::none ? "" : " ",
                        what.in_place ? "in place" : "out of place", fmt::join(group_.ranks(), " "), what.root);
        const auto inside = [](Part part, std::size_t i) { return i >= part.first && i < part.first + part.count; };
        std::size_t touched = 0;
        for (std::size_t i = 0; i < after.size(); ++i) {
            if (!slot.expected.empty() && inside(slot.out, i)) continue;
            if (slot.in_may_change && inside(slot.in, i)) continue;
            if (std::memcmp(&after[i], &slot.before[i], sizeof(T)) != 0) ++touched;
        }
        tally.expect(touched == 0, fmt::format("{}: {} elements changed that must not", name, touched));
        if (slot.expected.empty()) return;

        const bool exact = std::integral<T> || what.op == Op::none || what.op == Op::min || what.op == Op::max;
        double difference = 0;
        double length = 0;
        std::size_t different = 0;
        for (std::size_t i = 0; i < slot.expected.size(); ++i) {
            const auto found = gpu::widen(after[slot.out.first + i]);
            if (!(found == slot.expected[i])) ++different;
            difference += std::pow(static_cast<double>(found) - static_cast<double>(slot.expected[i]), 2);
            length += std::pow(static_cast<double>(slot.expected[i]), 2);
        }
        if (exact)
            return tally.expect(different == 0,
                                fmt::format("{}: {} of {} elements are wrong", name, different, slot.expected.size()));
        const double error = length > 0 ? std::sqrt(difference / length) : std::sqrt(difference);
        tally.expect(error <= gpu::tolerance<T>(), fmt::format("{}: relative error {}", name, error));
        double& worst = tally.worst[fmt::format("{} {}", type, gpu::op_names[static_cast<std::size_t>(what.op)])];
        if (!(error <= worst)) worst = error;
    }

    NcclCommunicator& group_;
    std::size_t part_;
    std::vector<Slot<T>> slots_;
};

template <class T>
constexpr bool is_fp8 = std::same_as<T, __nv_fp8_e4m3> || std::same_as<T, __nv_fp8_e5m2>;

/// All operations of one type along one group.
template <class T>
void check_type(std::string_view type, NcclCommunicator& group, cudaStream_t stream, Tally& tally,
                std::size_t part = 1027) {
    Checker<T> checker(group, part);
    int root = 0;
    const auto add = [&](Kind kind, Op op, bool in_place) {
        checker.add({kind, op, in_place, root});
        root = (root + 1) % group.size();
    };
    for (const bool in_place : {false, true}) {
        if constexpr (muster::NcclReducible<T>)
            for (const Op op : {Op::sum, Op::prod, Op::min, Op::max, Op::avg, Op::premul_sum}) {
                if (op == Op::premul_sum && is_fp8<T> && group.size() == 1) continue; // see try_fp8_alone
                for (const Kind kind : {Kind::all_reduce, Kind::reduce, Kind::reduce_scatter}) add(kind, op, in_place);
            }
        for (const Kind kind : {Kind::all_gather, Kind::gather, Kind::scatter}) add(kind, Op::none, in_place);
    }
    add(Kind::broadcast, Op::none, false);
    add(Kind::all_to_all, Op::none, false);
    if (group.size() > 1) add(Kind::ring, Op::none, false);
    checker.run(type, stream, tally);
}

class Budget {
public:
    explicit Budget(int seconds) : end_(gpu::now() + seconds) {}

    /// Whether no rank of the group is out of time: all go on or none.
    [[nodiscard]] bool allows(NcclCommunicator& group, cudaStream_t stream) const {
        const gpu::Array<std::int32_t> late(std::vector<std::int32_t>{gpu::now() > end_ ? 1 : 0});
        group.all_reduce(late, muster::max, stream);
        group.wait(stream, muster::Deadline::after(limit));
        return late.download()[0] == 0;
    }

private:
    double end_;
};

[[nodiscard]] bool reduces_fp8() {
    int device = 0;
    int major = 0;
    gpu::check(cudaGetDevice(&device), "cudaGetDevice");
    gpu::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
    return major >= 9; // as NCCL has it
}

void check_types(NcclCommunicator& group, cudaStream_t stream, const Budget& budget, Tally& tally) {
    const auto check = [&]<class T>(std::string_view type, T) {
        if (budget.allows(group, stream))
            check_type<T>(type, group, stream, tally);
        else
            tally.skipped.push_back(fmt::format("{}: no time left", type));
    };
    check("float", float{});
    check("int8", std::int8_t{});
    check("uint8", std::uint8_t{});
    check("int32", std::int32_t{});
    check("uint32", std::uint32_t{});
    check("int64", std::int64_t{});
    check("uint64", std::uint64_t{});
    check("half", __half{});
    check("bfloat16", __nv_bfloat16{});
    check("double", double{});
    check("int16", std::int16_t{});
    check("uint16", std::uint16_t{});
    check("byte", std::byte{});
    if (reduces_fp8() || !muster::NcclReducible<__nv_fp8_e4m3>) {
        check("fp8_e4m3", __nv_fp8_e4m3{});
        check("fp8_e5m2", __nv_fp8_e5m2{});
    } else {
        tally.skipped.emplace_back("fp8: NCCL reduces it from compute capability 9.0 on");
    }
    if (budget.allows(group, stream)) {
        Checker<float> large(group, std::size_t{1} << 18U);
        for (const Kind kind : {Kind::all_reduce, Kind::reduce_scatter}) large.add({kind, Op::sum, false, 0});
        large.add({Kind::all_gather, Op::none, false, 0});
        large.run("large float", stream, tally);
    }
}

/// Groups by parity in reverse order, a group without rank 0, and a view of the communicator.
void check_splits(NcclCommunicator& world, cudaStream_t stream, Tally& tally) {
    std::vector<int> expected;
    for (int rank = world.size() - 1; rank >= 0; --rank)
        if (rank % 2 == world.rank() % 2) expected.push_back(rank);
    NcclCommunicator half = world.split(world.rank() % 2, -world.rank());
    tally.expect(std::vector<int>(half.ranks().begin(), half.ranks().end()) == expected, "split: ranks by key");
    check_type<float>("float after split", half, stream, tally, 33);
    half.close(muster::Deadline::after(limit));
    tally.expect(!half.is_open(), "close: the split is still open");

    NcclCommunicator rest = world.split(world.rank() == 0 ? muster::no_color : 7, world.rank());
    tally.expect(rest.is_open() == (world.rank() != 0), "split with no_color");
    if (rest.is_open()) {
        tally.expect(rest.size() == world.size() - 1, "split with no_color: size");
        check_type<std::int32_t>("int32 without rank 0", rest, stream, tally, 33);
    }
    world.barrier(stream); // an abort fails what other ranks still wait for
    rest.abort();          // another end than close

    if (world.native_handle() == nullptr) return;
    NcclCommunicator view = NcclCommunicator::from_native_handle(world.native_handle());
    tally.expect(view.size() == world.size() && view.rank() == world.rank() && view.device() == world.device(),
                 "from_native_handle: size, rank, device");
    check_type<float>("float through a view", view, stream, tally, 33);
    view.close(muster::Deadline::after(limit));
    tally.expect(world.is_open(), "from_native_handle: the view's end ended the communicator");
}

/// What a feature that NCCL may refuse says: "works", or NCCL's reason.
template <class Body>
[[nodiscard]] std::string try_on_copy(NcclCommunicator& world, Body body) {
    NcclCommunicator copy = world.split(0, world.rank()); // a refusal ends the communicator
    try {
        const std::string result = body(copy);
        copy.close(muster::Deadline::after(limit));
        return result;
    } catch (const muster::Error& error) {
        copy.abort();
        return std::string(error.text());
    }
}

/// A sum in NCCL's own memory.
[[nodiscard]] bool sums_up(NcclCommunicator& group, const muster::NcclMemory<float>& memory, cudaStream_t stream) {
    const std::vector<float> ones(memory.size(), static_cast<float>(group.rank() + 1));
    gpu::check(cudaMemcpy(memory.data(), ones.data(), ones.size() * sizeof(float), cudaMemcpyHostToDevice),
               "cudaMemcpy");
    gpu::check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
    group.all_reduce(memory, muster::sum, stream);
    group.wait(stream, muster::Deadline::after(limit));
    std::vector<float> sums(memory.size());
    gpu::check(cudaMemcpy(sums.data(), memory.data(), sums.size() * sizeof(float), cudaMemcpyDeviceToHost),
               "cudaMemcpy");
    const auto sum = static_cast<float>(group.size() * (group.size() + 1) / 2);
    for (const float value : sums)
        if (value != sum) return false;
    return true;
}

/// Features that several ranks on one GPU may not have: reported, and wrong only when they give wrong numbers.
void try_registration(NcclCommunicator& world, cudaStream_t stream, Tally& tally, gpu::Figures& figures) {
    const auto right = [&](bool sum, const std::string& what) {
        tally.expect(sum, what);
        return sum ? "works" : "wrong numbers";
    };
    figures.add("NcclMemory", try_on_copy(world, [&](NcclCommunicator& group) -> std::string {
                    const muster::NcclMemory<float> memory(4096);
                    return right(sums_up(group, memory, stream), "a sum in NcclMemory");
                }));
    figures.add("register_buffer", try_on_copy(world, [&](NcclCommunicator& group) -> std::string {
                    const muster::NcclMemory<float> memory(4096);
                    const auto registration = muster::register_buffer(group, memory);
                    const bool sum = sums_up(group, memory, stream);
                    return fmt::format("{}{}", right(sum, "a sum in a registered buffer"),
                                       registration.native_handle() ? "" : ", but NCCL gave no handle");
                }));
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
    figures.add("register_window", try_on_copy(world, [&](NcclCommunicator& group) -> std::string {
                    const muster::NcclMemory<float> memory(std::size_t{1} << 20U);
                    const auto window = muster::register_window(group, memory);
                    const bool sum = sums_up(group, memory, stream);
                    return fmt::format("{}{}", right(sum, "a sum in a window"),
                                       window.native_handle() ? "" : ", but NCCL gave no window");
                }));
#else
    figures.add("register_window", std::string("this nccl.h is older than 2.27.3"));
#endif
}

/// NCCL's kernel for groups of one rank had no fp8 in any version up to 2.28: what this one says.
void try_fp8_alone(NcclCommunicator& world, cudaStream_t stream, Tally& tally, gpu::Figures& figures) {
    if constexpr (muster::NcclReducible<__nv_fp8_e4m3>)
        figures.add("fp8_premul_sum_of_one_rank", try_on_copy(world, [&](NcclCommunicator& group) -> std::string {
                        Checker<__nv_fp8_e4m3> checker(group, 1027);
                        checker.add({Kind::all_reduce, Op::premul_sum, false, 0});
                        checker.run("fp8_e4m3", stream, tally);
                        return "works";
                    }));
}

template <class Body>
void expect_error(muster::errc code, std::string_view what, Tally& tally, Body body) {
    try {
        body();
        tally.expect(false, fmt::format("{}: no error", what));
    } catch (const muster::Error& error) {
        tally.expect(error.code() == code, fmt::format("{}: {}", what, error.what()));
    }
}

template <class Mesh>
void run(Mesh mesh, const gpu::Arguments& arguments) {
    const double start = gpu::now();
    const gpu::Stream stream;
    const Budget budget(arguments.number("--seconds", 60));
    Tally tally;
    gpu::Figures figures;
    figures.add("rank", mesh.rank());
    figures.add("formed_in", mesh.times().total().count());
    check_types(mesh.world(), stream, budget, tally);
    figures.add("world_seconds", gpu::now() - start);
    const Budget axes_budget(arguments.number("--seconds", 60) / 2);
    for (NcclCommunicator* axis : {&mesh.tp(), &mesh.dp(), &mesh.cp()}) {
        if (axis == &mesh.world()) continue;
        check_type<float>("float", *axis, stream, tally);
        if (axes_budget.allows(mesh.world(), stream)) {
            check_type<std::int32_t>("int32", *axis, stream, tally);
            check_type<__nv_bfloat16>("bfloat16", *axis, stream, tally);
        } else {
            tally.skipped.emplace_back("int32, bfloat16 along an axis: no time left");
        }
        axis->barrier(stream);
    }
    check_splits(mesh.world(), stream, tally);
    try_registration(mesh.world(), stream, tally, figures);
    if (mesh.world_size() == 1 && reduces_fp8()) try_fp8_alone(mesh.world(), stream, tally, figures);
    mesh.world().check();
    mesh.world().barrier(stream);
    mesh.close(muster::Deadline::after(limit));
    mesh.close(muster::Deadline::after(limit));
    tally.expect(!mesh.is_initialized(), "the mesh is closed");
    expect_error(muster::errc::closed, "an operation after close", tally, [&] { mesh.world().barrier(stream); });

    figures.add("seconds", gpu::now() - start);
    figures.add("checks", tally.checks);
    figures.add("failures", tally.failures);
    gpu::Figures worst;
    for (const auto& [name, error] : tally.worst) worst.add(name, error);
    figures.add_json("worst_relative_l2_error", worst.json());
    figures.add("skipped", fmt::format("{}", fmt::join(tally.skipped, "; ")));
    figures.print();
    gpu::require(tally.failures == 0, fmt::format("{} of {} checks failed", tally.failures, tally.checks));
}

} // namespace

int main(int argc, char** argv) {
    return gpu::run([&] {
        const gpu::Arguments arguments(argc, argv);
        if (arguments.has("--alone"))
            run(muster::DeviceMesh<1, 1, 1>(), arguments);
        else
            run(gpu::Mesh(arguments.extents(), muster::EnvRendezvous{}, gpu::shared_gpu(limit)), arguments);
    });
}
