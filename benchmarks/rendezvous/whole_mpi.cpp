// SPDX-License-Identifier: Apache-2.0
// whole-mpi   starts MPI and ends it; rank 0 prints how long the start took.
#include <fmt/format.h>

#include <mpi.h>

#include <chrono>

int main(int argc, char** argv) {
    const auto began = std::chrono::steady_clock::now();
    if (MPI_Init(&argc, &argv) != MPI_SUCCESS) return 1;
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - began;
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0) fmt::print("{{\"init_ms\":{:.3f}}}\n", time.count());
    return MPI_Finalize() == MPI_SUCCESS ? 0 : 1;
}
