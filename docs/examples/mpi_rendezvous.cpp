// SPDX-License-Identifier: Apache-2.0
// A rendezvous policy of one's own: ranks that MPI already connects tell each other through it where to meet.
#include <fmt/format.h>

#include <mpi.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <utility>

#include "backend.hpp"

namespace {

/// Rank 0 serves a store at a port that the system gives, and MPI tells the others.
class MpiRendezvous {
public:
    /// Collective: over `world`.
    explicit MpiRendezvous(MPI_Comm world) {
        MPI_Comm_rank(world, &launch_.rank);
        MPI_Comm_size(world, &launch_.world_size);
        MPI_Comm node{};
        MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
        MPI_Comm_rank(node, &launch_.local_rank.emplace());
        MPI_Comm_size(node, &launch_.local_size.emplace());
        MPI_Comm_free(&node);
        launch_.launcher = launch_.from.endpoint = "MPI";
        launch_.environment = muster::Environment::current(); // TP_SIZE and the like

        std::array<char, MPI_MAX_PROCESSOR_NAME> host{"127.0.0.1"};
        const bool one_host = launch_.local_size == launch_.world_size;
        int length = 0;
        if (!one_host) MPI_Get_processor_name(host.data(), &length);
        std::uint16_t port = 0;
        if (launch_.rank == 0) {
            // All addresses where there are more hosts: to itself, a host's name often means loopback.
            server_ = std::make_unique<muster::TcpStoreServer>(one_host ? "127.0.0.1" : "", 0);
            port = server_->port();
        }
        MPI_Bcast(host.data(), static_cast<int>(host.size()), MPI_CHAR, 0, world);
        MPI_Bcast(&port, 1, MPI_UINT16_T, 0, world);
        launch_.endpoint = muster::Endpoint{host.data(), port};
    }

    [[nodiscard]] muster::Launch launch() const { return launch_; }

    [[nodiscard]] muster::Meeting connect(const muster::Launch& launch, muster::Deadline deadline) {
        muster::TcpStore store(launch.endpoint->host, launch.endpoint->port, deadline);
        return muster::meet_at(std::move(store), std::move(server_));
    }

private:
    muster::Launch launch_;
    std::unique_ptr<muster::TcpStoreServer> server_; ///< on rank 0, until it connects
};

static_assert(muster::Rendezvous<MpiRendezvous>);

} // namespace

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    try {
        muster::DeviceMesh<2, muster::dynamic, 1, example::Backend> mesh(MpiRendezvous(MPI_COMM_WORLD));
        if (mesh.rank() == 0) fmt::print("{}", muster::describe(mesh));
        example::Array<int> sum({mesh.rank()});
        mesh.world().all_reduce(sum, muster::sum);
        mesh.world().wait({});
        const bool right = sum.to_host()[0] == mesh.world_size() * (mesh.world_size() - 1) / 2;
        if (mesh.rank() == 0)
            fmt::print("world {} = {}: {}\n", mesh.world_size(), muster::shape_text(mesh.topology()),
                       right ? "ok" : "wrong");
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        MPI_Abort(MPI_COMM_WORLD, 1); // the others wait in MPI
    }
    return MPI_Finalize();
}
