// SPDX-License-Identifier: Apache-2.0
// Tests of a program for many GPUs, in one process and without a GPU: ranks are threads, launchers are lists of
// variables.
#include <muster/gloo.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// ---- what the program consists of, in headers of its own

namespace engine {

/// TP=2, and data parallelism with what is left of the world.
template <class Backend>
using Mesh = muster::DeviceMesh<2, muster::dynamic, 1, Backend>;

/// Ranks of one shard of the model go on with the average of their gradients.
template <class Backend, muster::MutableBuffer Buffer>
void average_gradients(Mesh<Backend>& mesh, Buffer&& gradients) {
    mesh.dp().all_reduce(gradients, muster::avg);
    mesh.dp().wait();
}

/// The mesh of the production run: 1024 GPUs, 8 on each node. What does not fit does not compile.
template <class Backend>
using Production = muster::DeviceMesh<4, muster::dynamic, 2, Backend>;
using Fits = Production<muster::Gloo>::require_world<1024>;
using StaysInANode = Production<muster::Gloo>::require_node_local<8, muster::Tp>;
using SharesHeads = Production<muster::Gloo>::require_divisible<muster::Tp, 64>;

} // namespace engine

// ---- the tests

namespace {

using namespace std::chrono_literals;
using muster::Cp;
using muster::Dp;
using muster::Tp;

void require(bool right, const char* what) {
    if (!right) throw std::runtime_error(what);
}

/// Calls test(rendezvous) for each rank of a world, each in its own thread; throws what the lowest failing rank threw.
template <class Test>
void on_ranks(int world_size, Test test, muster::Environment environment = {}) {
    const muster::LocalRendezvous local(world_size, std::move(environment));
    std::vector<std::exception_ptr> errors(static_cast<std::size_t>(world_size));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < world_size; ++rank)
        threads.emplace_back([&, rank] {
            try {
                test(local.rank(rank));
            } catch (...) {
                errors[static_cast<std::size_t>(rank)] = std::current_exception();
            }
        });
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors)
        if (error) std::rethrow_exception(error);
}

/// A test that hangs ends soon, and says nothing of what it provokes.
muster::Options quick() {
    muster::Options options;
    options.timeout = 20s;
    options.log = {};
    return options;
}

template <class Test>
muster::Error error_of(Test test) {
    try {
        test();
    } catch (const muster::Error& error) {
        return error;
    }
    throw std::runtime_error("an error did not come");
}

void gradients_are_averaged_along_dp_only() {
    on_ranks(4, [](const auto& rendezvous) {
        engine::Mesh<muster::Gloo> mesh(rendezvous, quick());
        std::vector<float> gradients(8, static_cast<float>(mesh.rank()));
        engine::average_gradients(mesh, gradients);
        const float expected = mesh.coordinate<Tp>() == 0 ? 1 : 2; // of ranks 0 and 2, of ranks 1 and 3
        require(gradients == std::vector<float>(8, expected), "the average along dp");
    });
}

void a_world_that_does_not_fit_is_refused_on_all_ranks() {
    const muster::Error error = error_of(
        [] { on_ranks(3, [](const auto& rendezvous) { engine::Mesh<muster::Gloo> mesh(rendezvous, quick()); }); });
    require(error.code() == muster::errc::world_mismatch, "the code");
    require(error.shared(), "one text on all ranks");
    require(std::string(error.what()).find("world size 3 is not divisible by TP (2)") != std::string::npos, "the text");
}

void the_end_of_a_rank_ends_the_others() {
    std::vector<muster::errc> codes(4);
    on_ranks(4, [&](const auto& rendezvous) {
        muster::ProcessGroup<muster::Gloo> group(rendezvous, quick());
        if (group.rank() == 2) return group.abort();
        codes[static_cast<std::size_t>(group.rank())] = error_of([&] { group.world().barrier(); }).code();
    });
    for (const int rank : {0, 1, 3})
        require(codes[static_cast<std::size_t>(rank)] == muster::errc::connection, "a lost rank");
}

void launchers_are_read_from_a_list() {
    const muster::Environment of_srun{
        {"SLURM_PROCID", "5"}, {"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_LOCALID", "1"},
        {"SLURM_JOB_ID", "7"}, {"SLURM_STEP_ID", "0"},        {"SLURM_STEP_NODELIST", "gpu[01-02]"},
        {"SLURM_NODEID", "1"}, {"SLURM_STEP_NUM_NODES", "2"}, {"SLURM_STEP_TASKS_PER_NODE", "4(x2)"}};
    const muster::Launch launch = muster::detect_launch(of_srun);
    require(launch.launcher == "Slurm" && launch.rank == 5 && launch.local_rank == 1, "who this is");
    require(launch.endpoint && launch.endpoint->host == "gpu01", "where to meet");

    const auto error = error_of([] { (void)muster::detect_launch({{"RANK", "3x"}, {"WORLD_SIZE", "8"}}); });
    require(error.code() == muster::errc::invalid_launch, "a rank that is no number");
}

void a_mesh_takes_its_sizes_from_a_list() {
    on_ranks(4,
             [](const auto& rendezvous) {
                 const muster::DeviceMesh<muster::dynamic, muster::dynamic, 1, muster::Gloo> mesh(rendezvous, quick());
                 require(mesh.tp().size() == 4 && mesh.dp().size() == 1, "TP from its variable, DP inferred");
             },
             {{"TP_SIZE", "4"}});
}

void the_production_mesh_has_the_groups_that_are_expected() {
    const auto plan = muster::dry_run<engine::Production<muster::Gloo>>(1024, 17, {}, {});
    require(plan.topology.extent<Dp>() == 128, "DP is inferred");
    require(plan.communicators == 4, "the world and three axes");
    require(plan.groups[1].axis == "tp" && plan.groups[1].ranks.front() == 17 && plan.groups[1].ranks.back() == 23,
            "the tensor-parallel group of rank 17");

    int canonical = 0;
    for (int rank = 0; rank < plan.topology.size(); ++rank)
        canonical += plan.topology.coordinate<Dp>(rank) == 0 && plan.topology.coordinate<Cp>(rank) == 0 ? 1 : 0;
    require(canonical == 4, "one writer for each shard");
}

} // namespace

int main() try {
    gradients_are_averaged_along_dp_only();
    a_world_that_does_not_fit_is_refused_on_all_ranks();
    the_end_of_a_rank_ends_the_others();
    launchers_are_read_from_a_list();
    a_mesh_takes_its_sizes_from_a_list();
    the_production_mesh_has_the_groups_that_are_expected();
    std::puts("6 tests passed");
} catch (const std::exception& error) {
    std::fprintf(stderr, "failed: %s\n", error.what());
    return 1;
}
