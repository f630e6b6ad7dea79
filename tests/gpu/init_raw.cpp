// SPDX-License-Identifier: Apache-2.0
// The same steps by hand: the calls of NCCL that a mesh needs and a store for the id, without any check of what the
// ranks agree on. init_raw --tp N --dp N --cp N
#include <muster/launch/detect.hpp>
#include <muster/muster.hpp>
#include <muster/store/tcp.hpp>
#include <muster/store/tcp_server.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "init.hpp"
#include "support.hpp"

namespace {

void check(ncclResult_t result, const char* call) {
    if (result != ncclSuccess && result != ncclInProgress)
        throw std::runtime_error(fmt::format("{}: {}", call, ncclGetErrorString(result)));
}

void poll(ncclComm_t comm, muster::Deadline deadline) {
    for (;;) {
        ncclResult_t state = ncclSuccess;
        check(ncclCommGetAsyncError(comm, &state), "ncclCommGetAsyncError");
        check(state, "NCCL");
        if (state == ncclSuccess) return;
        gpu::require(!deadline.expired(), "NCCL is still in progress");
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
}

[[nodiscard]] ncclConfig_t non_blocking() {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return config;
}

void use(ncclComm_t comm, const gpu::Array<float>& data, muster::Deadline deadline) {
    check(ncclAllReduce(data.begin(), data.begin(), 1, ncclFloat32, ncclSum, comm, nullptr), "ncclAllReduce");
    poll(comm, deadline);
    gpu::check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
}

void end(ncclComm_t comm, muster::Deadline deadline) {
    check(ncclCommFinalize(comm), "ncclCommFinalize");
    poll(comm, deadline);
    check(ncclCommDestroy(comm), "ncclCommDestroy");
}

void run(gpu::Stamps& stamps, const gpu::Arguments& arguments) {
    const auto deadline = muster::Deadline::after(std::chrono::seconds(60));
    gpu::make_context();
    stamps.context = gpu::now();

    muster::InitTimes times;
    muster::detail::Stopwatch watch;
    const muster::Launch launch = muster::detect_launch(muster::Environment::current());
    gpu::check(cudaSetDevice(0), "cudaSetDevice");
    ncclUniqueId id{};
    if (launch.rank == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    times.device = watch.lap();

    std::optional<muster::TcpStoreServer> server;
    if (launch.rank == 0) server.emplace(launch.endpoint->host, launch.endpoint->port);
    std::optional<muster::TcpStore> store(std::in_place, launch.endpoint->host, launch.endpoint->port, deadline);
    times.rendezvous = watch.lap();

    if (launch.rank == 0) {
        store->set("id", std::string(id.internal, sizeof id.internal), deadline);
    } else {
        const std::string bytes = store->get("id", deadline);
        std::memcpy(id.internal, bytes.data(), sizeof id.internal);
    }
    times.roll_call = watch.lap();

    ncclComm_t world = nullptr;
    ncclConfig_t config = non_blocking();
    check(ncclCommInitRankConfig(&world, launch.world_size, id, launch.rank, &config), "ncclCommInitRankConfig");
    poll(world, deadline);
    times.world = watch.lap();

    // rank = (dp * TP + tp) * CP + cp; an axis of one rank or of all needs no split.
    std::vector<ncclComm_t> comms{world};
    const int sizes[] = {arguments.number("--dp", 1), arguments.number("--tp", 1), arguments.number("--cp", 1)};
    const int strides[] = {sizes[1] * sizes[2], sizes[2], 1};
    std::vector<ncclComm_t> axes(3, nullptr); // NCCL writes them until the world is ready
    for (std::size_t axis = 0; axis < 3; ++axis) {
        if (sizes[axis] == 1 || sizes[axis] == launch.world_size) continue;
        const int coordinate = launch.rank / strides[axis] % sizes[axis];
        ncclConfig_t own = non_blocking();
        check(ncclCommSplit(world, launch.rank - coordinate * strides[axis], coordinate, &axes[axis], &own),
              "ncclCommSplit");
        poll(world, deadline);
        poll(axes[axis], deadline);
        comms.push_back(axes[axis]);
    }
    times.axes = watch.lap();

    if (store->add("done", 1, deadline) == launch.world_size) store->set("go", "1", deadline);
    (void)store->get("go", deadline);
    times.commit = watch.lap();
    stamps.formed = gpu::now();

    const gpu::Array<float> data(std::vector<float>(1, 1.0F));
    for (const ncclComm_t comm : comms) use(comm, data, deadline);
    stamps.used = gpu::now();

    for (auto comm = comms.rbegin(); comm != comms.rend(); ++comm) end(*comm, deadline);
    store.reset();
    if (server) (void)server->drain(deadline.at_most(std::chrono::seconds(2)));
    stamps.print(launch.rank, times);
}

} // namespace

int main(int argc, char** argv) {
    gpu::Stamps stamps;
    return gpu::run([&] { run(stamps, gpu::Arguments(argc, argv)); });
}
