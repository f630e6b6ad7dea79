// SPDX-License-Identifier: Apache-2.0
// DeviceMesh on the NCCL backend: ranks are threads that meet in a memory store.
#include <muster/muster.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "../../support/nccl_ranks.hpp"

using support::DeviceArray;
using namespace std::chrono_literals;

static_assert(muster::Backend<muster::Nccl>);
static_assert(std::same_as<muster::DeviceMesh<2, 4, 1>, muster::DeviceMesh<2, 4, 1, muster::Nccl>>);
static_assert(std::same_as<muster::ProcessGroup<>, muster::ProcessGroup<muster::Nccl>>);
static_assert(muster::DeviceMesh<2, 4, 1>::static_size() == 8);
static_assert(std::is_nothrow_move_constructible_v<muster::DeviceMesh<1, 1, 1>>);

namespace {

void check(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(what);
}

/// Threads of one process as ranks: each gets its own launch and all get one store.
struct Threads {
    int rank;
    int world_size;
    muster::MemoryStore store;
    muster::Environment environment = {};

    [[nodiscard]] muster::Launch launch() const {
        muster::Launch launch;
        launch.rank = rank;
        launch.world_size = world_size;
        launch.local_rank = rank;
        launch.local_size = world_size;
        launch.environment = environment;
        return launch;
    }
    [[nodiscard]] muster::Meeting connect(const muster::Launch&, muster::Deadline) const {
        return muster::Meeting(muster::AnyStore(store));
    }
};

muster::Options quiet() {
    muster::Options options;
    options.timeout = 20s;
    options.log = {};
    return options;
}

/// fn(rank, rendezvous) on every rank of a world.
template <class Fn>
void world(int n, Fn fn) {
    const muster::MemoryStore store;
    support::run_ranks(n, [&](int rank) {
        standin_rank(rank);
        fn(rank, Threads{rank, n, store});
    });
}

} // namespace

TEST_CASE("one init, one split for each axis that needs one", "[nccl]") {
    const support::Script script;
    world(8, [](int rank, const Threads& threads) {
        muster::DeviceMesh<2, 2, 2> mesh(threads, quiet());
        check(mesh.tp().size() == 2 && mesh.dp().size() == 2 && mesh.cp().size() == 2, "sizes");
        check(mesh.world().size() == 8 && mesh.rank() == rank, "world");
        DeviceArray<int> value(std::vector{rank});
        mesh.dp().all_reduce(value, muster::sum);
        mesh.dp().wait();
        check(value.to_host()[0] == 2 * (rank % 4) + 4, "sum");
        mesh.close(muster::Deadline::after(20s));
        check(!mesh.is_initialized() && mesh.rank() == rank, "after close");
    });
    CHECK(standin_calls("ncclGetUniqueId") == 1);
    CHECK(standin_calls("ncclCommInitRankConfig") == 8);
    CHECK(standin_calls("ncclCommSplit") == 3 * 8);
    CHECK(standin_calls("ncclCommDestroy") == 4 * 8);
    CHECK(standin_calls("ncclCommAbort") == 0);
}

TEST_CASE("an axis that spans the world shares it, one of extent 1 has nothing", "[nccl]") {
    const support::Script script;
    world(4, [](int, const Threads& threads) {
        muster::DeviceMesh<1, 4, 1> mesh(threads, quiet());
        check(&mesh.dp() == &mesh.world(), "dp is the world");
        check(mesh.tp().size() == 1 && mesh.tp().native_handle() == nullptr, "tp has no communicator");
        DeviceArray<float> value(std::vector{2.0F});
        DeviceArray<float> copy(1U);
        mesh.tp().all_reduce(value, copy, muster::avg);
        mesh.tp().wait();
        check(copy.to_host()[0] == 2.0F, "copy");
    });
    CHECK(standin_calls("ncclCommSplit") == 0);
    CHECK(standin_calls("ncclCommDestroy") == 4);
}

TEST_CASE("an axis with settings of its own has a communicator of its own", "[nccl]") {
    const support::Script script;
    world(2, [](int, const Threads& threads) {
        auto options = quiet();
        options.nccl.dp.max_ctas = 4;
        options.nccl.dp.comm_name = "gradients";
        muster::DeviceMesh<1, 2, 1> mesh(threads, options);
        check(&mesh.dp() != &mesh.world() && mesh.dp().size() == 2, "dp");
        mesh.dp().barrier();
    });
    CHECK(standin_calls("ncclCommSplit") == 2);
}

TEST_CASE("a group along several axes has the settings of its name or of its first axis, and ends with the mesh",
          "[nccl]") {
    const support::Script script;
    world(4, [](int, const Threads& threads) {
        auto options = quiet();
        options.nccl.dp.max_ctas = 4;
        options.nccl.axes["tp+cp"].max_ctas = 2;
        muster::DeviceMesh<2, 2, 1> mesh(threads, options);
        using muster::Cp;
        using muster::Dp;
        using muster::Tp;
        check(&mesh.flatten<Dp, Cp>() == &mesh.dp(), "dp+cp has dp's settings");
        auto& tp_cp = mesh.flatten<Tp, Cp>();
        check(&tp_cp != &mesh.tp() && tp_cp.size() == 2, "tp+cp has its own");
        auto& all = mesh.flatten<Dp, Tp>();
        check(&all != &mesh.world() && all.size() == 4, "dp+tp has dp's settings, the world has not");
        const DeviceArray<int> sum(std::vector{mesh.rank() + 1});
        all.all_reduce(sum, muster::sum);
        all.wait();
        check(sum.to_host() == std::vector{10}, "the sum of all");
        mesh.close(muster::Deadline::after(10s));
        check(!all.is_open() && !tp_cp.is_open(), "open after the mesh");
    });
    CHECK(standin_calls("ncclCommSplit") == 16); // dp, tp, tp+cp, dp+tp
}

TEST_CASE("settings that make no sense are said on all ranks before NCCL hangs", "[nccl]") {
    const support::Script script;
    const auto error = support::error_of([] {
        world(2, [](int, const Threads& threads) {
            auto options = quiet();
            options.nccl.tp.min_ctas = -3;
            muster::DeviceMesh<2, 1, 1> mesh(threads, options);
        });
    });
    CHECK(std::string(error.what()).find("min_ctas -3") != std::string::npos);
    CHECK(error.shared());
    CHECK(standin_calls("ncclCommInitRankConfig") == 0);
}

TEST_CASE("settings that differ are named", "[nccl]") {
    const support::Script script;
    const auto error = support::error_of([] {
        world(2, [](int rank, const Threads& threads) {
            auto options = quiet();
            options.nccl.tp.max_ctas = 8 + rank;
            const muster::DeviceMesh<2, 1, 1> mesh(threads, options);
        });
    });
    CHECK(error.code() == muster::errc::disagreement);
    CHECK(std::string(error.what()).find("tp.max_ctas=9: rank 1") != std::string::npos);
}

TEST_CASE("a large world meets at several roots", "[nccl]") {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 23, 4)
    const support::Script script;
    world(7, [](int rank, const Threads& threads) {
        auto options = quiet();
        options.nccl.ranks_per_root = 3;
        muster::DeviceMesh<7, 1, 1> mesh(threads, options);
        DeviceArray<int> value(std::vector{rank});
        mesh.world().all_reduce(value, muster::sum);
        mesh.world().wait();
        check(value.to_host()[0] == 21, "sum");
    });
    CHECK(standin_calls("ncclGetUniqueId") == 3);
    CHECK(standin_calls("ncclCommInitRankScalable") == 7);
    CHECK(standin_calls("ncclCommInitRankConfig") == 0);
#endif
}

TEST_CASE("a process group is one communicator", "[nccl]") {
    const support::Script script;
    world(3, [](int, const Threads& threads) {
        muster::ProcessGroup<> mesh(threads, quiet());
        check(mesh.world().size() == 3, "size");
        mesh.world().barrier();
    });
    CHECK(standin_calls("ncclCommSplit") == 0);
}

TEST_CASE("a mesh aborts all its communicators at once", "[nccl]") {
    const support::Script script;
    world(4, [](int, const Threads& threads) {
        muster::DeviceMesh<2, 2, 1> mesh(threads, quiet());
        mesh.abort();
        check(!mesh.is_initialized() && !mesh.world().is_open() && !mesh.tp().is_open(), "open");
    });
    CHECK(standin_calls("ncclCommAbort") == 3 * 4);
    CHECK(standin_calls("ncclCommDestroy") == 0);
    // Nothing else here opens a group; before 2.22 an abort is not allowed in one.
    const bool together = muster::detail::nccl_library_version() >= muster::detail::nccl_version(2, 22, 3);
    CHECK(standin_calls("ncclGroupStart") == (together ? 4 : 0));
}

TEST_CASE("a mesh that an exception destroys is aborted", "[nccl]") {
    const support::Script script;
    world(2, [](int, const Threads& threads) {
        try {
            const muster::DeviceMesh<2, 1, 1> mesh(threads, quiet());
            throw std::runtime_error("the program failed");
        } catch (const std::runtime_error&) {
            return;
        }
    });
    CHECK(standin_calls("ncclCommAbort") == 2);
}

TEST_CASE("a GPU is pinned and told by its names", "[nccl]") {
    const support::Script script;
    std::mutex mutex;
    std::set<std::string> uuids;
    world(4, [&](int rank, const Threads& threads) {
        muster::DeviceMesh<2, 2, 1> mesh(threads, quiet());
        int current = -1;
        check(cudaGetDevice(&current) == cudaSuccess && current == rank, "current device");
        check(mesh.world().device() == rank, "device");
        check(mesh.device().starts_with("cuda:" + std::to_string(rank) + ","), mesh.device());
        const std::lock_guard lock(mutex);
        uuids.insert(mesh.record().exclusive);
    });
    CHECK(uuids.size() == 4);
    CHECK(uuids.begin()->starts_with("GPU-"));
}

TEST_CASE("a slice of a GPU goes by its own name", "[nccl]") {
    const support::Script script("mig");
    world(1, [](int, const Threads& threads) {
        muster::DeviceMesh<1, 1, 1> mesh(threads, quiet());
        check(mesh.record().exclusive.starts_with("MIG-"), mesh.record().exclusive);
    });
}

TEST_CASE("the same GPU on all ranks is refused", "[nccl]") {
    const support::Script script("same-uuid");
    const auto error = support::error_of(
        [] { world(3, [](int, const Threads& threads) { muster::DeviceMesh<3, 1, 1> mesh(threads, quiet()); }); });
    CHECK(error.code() == muster::errc::device);
    CHECK(error.ranks() == std::vector{0, 1, 2});
    CHECK(std::string(error.what()).find("ranks 0-2 all use GPU GPU-") != std::string::npos);
}

TEST_CASE("a world of one needs no network and no NCCL", "[nccl]") {
    const support::Script script;
    world(1, [](int, const Threads& threads) {
        muster::DeviceMesh<1, 1, 1> mesh(threads, quiet());
        DeviceArray<float> value(std::vector{3.0F});
        mesh.world().all_reduce(value, muster::sum);
        mesh.world().barrier();
        check(value.to_host()[0] == 3.0F, "copy");
        mesh.world().all_reduce(value, muster::premul_sum(2.0F));
        mesh.world().wait();
        check(value.to_host()[0] == 6.0F, "factor");
    });
    CHECK(standin_calls("ncclCommInitRankConfig") == 1); // for the factor
}

TEST_CASE("times and warnings are told", "[nccl]") {
    const support::Script script("ncclCommSplit@0:progress=50");
    world(4, [](int rank, const Threads& threads) {
        muster::DeviceMesh<2, 2, 1> mesh(threads, quiet());
        const muster::InitTimes& times = mesh.times();
        if (rank == 0) check(times.axes >= 100ms, "two splits of 50 ms");
        check(times.total() >= times.axes + times.world, "total");
    });
}
