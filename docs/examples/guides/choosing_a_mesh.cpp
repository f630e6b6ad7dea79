// SPDX-License-Identifier: Apache-2.0
// Axes, orders and groups as the compiler knows them, and a mesh of eight ranks for each kind of parallelism: every
// number that they move is checked.
#include <muster/gloo.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace {

using muster::Axis;
using muster::Cp;
using muster::Dp;
using muster::dynamic;
using muster::Ep;
using muster::Gloo;
using muster::Pp;
using muster::Topology;
using muster::Tp;

// The order of the axes: the last one varies fastest, so rank = (dp * 2 + tp) * 2 + cp.
using Grid = Topology<Axis<Dp, 2>, Axis<Tp, 2>, Axis<Cp, 2>>;
static_assert(std::is_same_v<Grid, muster::Topology3D<2, 2, 2>>); // <TP, DP, CP>: the grid of DeviceMesh<2, 2, 2>

constexpr Grid grid;
static_assert(grid.coordinate(5) == std::array{1, 0, 1}); // dp 1, tp 0, cp 1
static_assert(grid.rank_of({1, 0, 1}) == 5);
static_assert(grid.group<Tp>(5) == std::vector{5, 7}); // those that differ from rank 5 in tp alone
static_assert(grid.group<Dp, Cp>(5) == std::vector{0, 1, 4, 5});
static_assert(grid.groups<Dp>().size() == 4 && grid.groups<Dp>()[1] == std::vector{1, 5}); // all that there are
static_assert(grid.next<Cp>(5) == 4 && grid.is_last<Cp>(5)); // in a ring the first comes after the last
static_assert(grid.shard<Tp>(4096) == 2048);                 // a remainder would not compile

// Any type with a name is an axis.
struct Replica {
    static constexpr std::string_view name = "replica";
};
using Hybrid = Topology<Axis<Replica>, Axis<Dp, 4>, Axis<Tp, 2>>; // replicas of groups that share out the optimizer

static_assert(Hybrid::for_world(32).extent<Replica>() == 4); // the one extent that is not given follows from the world
static_assert(Topology<Axis<Dp>, Axis<Tp>>::for_world(32, dynamic, 8).extent<Dp>() == 4); // in axis order

// Megatron-LM writes the fastest axis first.
using Megatron = muster::OrderedTopology<muster::megatron_order("tp-cp-ep-dp-pp"), Axis<Tp, 2>, Axis<Pp, 2>, Axis<Dp>>;
static_assert(Megatron::for_world(8).group<Tp>(0) == std::vector{0, 1});
static_assert(Megatron::for_world(8).group<Pp>(0) == std::vector{0, 4});
static_assert(Megatron::for_world(8).extent<Ep>() == 1); // named in the order and given no extent

// Nothing of a program that asks for one of these compiles where it does not hold; each is the topology itself.
using InWorld = muster::Topology3D<2, 4, 1>::require_world<8>; // 2 * 4 * 1
using InNodes = InWorld::require_node_local<8, Tp>;            // no tensor-parallel group crosses nodes of 8 ranks
using Checked = InNodes::require_divisible<Tp, 4096>;          // the hidden size
using CheckedMesh = muster::BasicDeviceMesh<Checked, Gloo>;
static_assert(CheckedMesh::static_size() == 8);

// DeviceMesh<8, dynamic, 2> spreads a tp group over 8 * 2 ranks, on two nodes of 8. With tp last it has one to itself.
using TpLast = Topology<Axis<Dp>, Axis<Cp, 2>, Axis<Tp, 8>>;
using TpInNodes = TpLast::require_node_local<8, Tp>;

constexpr std::size_t size = 32;

void expect(bool right, std::string_view what) {
    if (!right) throw std::runtime_error(std::string(what) + ": a wrong number");
}

/// What the ranks say of a group: the sum of their numbers.
int sum_of(muster::GlooCommunicator& group, int number) {
    std::array sum{number};
    group.all_reduce(sum, muster::sum);
    return sum[0];
}

void end(auto& mesh) { mesh.close(muster::Deadline::after(std::chrono::seconds(30))); }

/// Tensor parallel within a node, data parallel across nodes.
void tensor_and_data() {
    muster::DeviceMesh<4, dynamic, 1, Gloo> mesh; // nodes of 4 or of 8: the ranks of a tp group are consecutive

    std::vector<float> partial(size, 1);
    mesh.tp().all_reduce(partial, muster::sum); // in every layer
    std::vector<float> gradients(size, static_cast<float>(mesh.coordinate<Dp>()));
    mesh.dp().all_reduce(gradients, muster::avg); // once a step

    expect(partial[0] == 4 && gradients[0] == static_cast<float>(mesh.dp().size() - 1) / 2, "tensor and data parallel");
    end(mesh);
}

/// Stages that hand activations on, each with replicas and shards of its own.
using Pipeline = muster::BasicDeviceMesh<Topology<Axis<Pp, 2>, Axis<Dp>, Axis<Tp, 2>>, Gloo>;

void forward(Pipeline& mesh, std::vector<float>& activations) {
    const int layers = mesh.shard<Pp>(24, "number of layers");
    if (!mesh.is_first<Pp>()) mesh.pp().recv(activations, mesh.previous<Pp>());
    for (float& value : activations) value += static_cast<float>(layers); // this stage's layers
    if (!mesh.is_last<Pp>()) mesh.pp().send(activations, mesh.next<Pp>());
}

void pipeline() {
    Pipeline mesh;
    std::vector<float> activations(size, 0);
    forward(mesh, activations);
    expect(!mesh.is_last<Pp>() || activations[0] == 24, "pipeline");
    end(mesh);
}

/// Experts are shared out over the ranks of a tp x cp group; the other layers use these as before.
void experts() {
    using Experts = Topology<Axis<Dp>, Axis<Ep, 4>>;
    muster::DeviceMesh<2, dynamic, 2, Gloo> mesh;
    const auto view = mesh.view<Experts>(); // the same ranks as another grid: collective, at the start

    const std::vector<int> tokens(4, mesh.rank());
    std::vector<int> received(4);
    view.ep().all_to_all(tokens, received);
    std::vector<float> expert_gradients(size, static_cast<float>(mesh.rank()));
    view.dp().all_reduce(expert_gradients, muster::avg);

    expect(std::vector<int>(view.ep().ranks().begin(), view.ep().ranks().end()) == received, "all_to_all");
    expect(expert_gradients[0] == static_cast<float>(sum_of(mesh.dp(), mesh.rank())) / 2, "experts");
    expect(&view.dp() == &mesh.dp(), "groups of the same ranks share a communicator");
    end(mesh);
}

/// The part of the sequence that a rank has goes around, one step for each rank.
void ring_of_parts() {
    muster::DeviceMesh<1, dynamic, 4, Gloo> mesh;
    std::vector<int> part(size, mesh.coordinate<Cp>());
    std::vector<int> next(size);
    int seen = part[0];
    for (int step = 1; step < mesh.cp().size(); ++step) {
        if (mesh.coordinate<Cp>() % 2 == 0) { // with NCCL both in one muster::Group
            mesh.cp().send(part, mesh.next<Cp>());
            mesh.cp().recv(next, mesh.previous<Cp>());
        } else {
            mesh.cp().recv(next, mesh.previous<Cp>());
            mesh.cp().send(part, mesh.next<Cp>());
        }
        part.swap(next);
        seen += part[0];
    }
    expect(seen == 0 + 1 + 2 + 3, "context parallel");

    // All ranks with the same parameters, which work on other samples or on other parts of them.
    auto& replicas = mesh.flatten<Dp, Cp>();
    expect(sum_of(replicas, 1) == 8, "dp x cp");
    end(mesh);
}

/// One group of all ranks.
void one_axis() {
    muster::ProcessGroup<Gloo> group;
    expect(sum_of(group.world(), 1) == group.world_size(), "the world");
    end(group);
}

/// Groups along several axes, parts of a mesh, communicators that are not shared.
void groups() {
    muster::DeviceMesh<2, 2, 2, Gloo> mesh;

    auto& replicas = mesh.flatten<Dp, Cp>(); // made the first time, then the same one; the axes need not be adjacent
    expect(&replicas == &mesh.flatten<Dp, Cp>(), "flatten");

    const auto part = mesh.submesh<Dp, Cp>(); // this rank's dp x cp plane, as a grid
    expect(part.size() == 4 && part.rank() == replicas.rank() && &part.along<Dp>() == &mesh.dp(), "submesh");

    auto& own = mesh.flatten<Tp>(muster::Sharing::none); // beside mesh.tp(), so that operations of both can overlap
    expect(&own != &mesh.tp() && sum_of(own, 1) == 2, "a communicator of its own");
    end(mesh);
}

/// Worlds that nobody has started.
void plan(bool print) {
    const auto plan = muster::dry_run<muster::DeviceMesh<8, dynamic, 2, Gloo>>(64, 17); // rank 17 of 64
    if (print) std::fputs(describe(plan).c_str(), stdout);

    const auto crossing = muster::crossing_groups<Tp>(plan.topology, muster::Nodes::of_size(8));
    expect(crossing.size() == 8 && plan.communicators == 4, "dry run");
}

/// How many communicators a rank has.
void count() {
    const auto made = []<class Mesh>(std::type_identity<Mesh>, int world) {
        return muster::dry_run<Mesh>(world, 0).communicators;
    };
    expect(made(std::type_identity<muster::DeviceMesh<2, dynamic, 2, Gloo>>{}, 8) == 4, "world, dp, tp, cp");
    expect(made(std::type_identity<muster::DeviceMesh<2, dynamic, 1, Gloo>>{}, 8) == 3, "world, dp, tp");
    expect(made(std::type_identity<muster::DeviceMesh<8, dynamic, 1, Gloo>>{}, 8) == 1, "world, which is tp, too");
    expect(made(std::type_identity<muster::ProcessGroup<Gloo>>{}, 8) == 1, "world");
}

} // namespace

int main() {
    try {
        tensor_and_data();
        pipeline();
        experts();
        ring_of_parts();
        one_axis();
        groups();
        const int rank = muster::EnvRendezvous{}.launch().rank;
        plan(rank == 0);
        count();
        return 0;
    } catch (const muster::Error& error) {
        if (!error.shared()) std::fprintf(stderr, "%s\n", error.what()); // a shared text has been logged once already
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
    }
    return 1;
}
