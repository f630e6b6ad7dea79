// SPDX-License-Identifier: Apache-2.0
// The same with NCCL. Where there is no GPU, one error says so, and the exit status is 7.
#include <muster/muster.hpp>

#include <nccl.h>

#include <cstdio>
#include <string>

static_assert(muster::DeviceMesh<2, 4, 1>::static_size() == 8);

int main() try {
    int version = 0;
    if (ncclGetVersion(&version) != ncclSuccess) return 1;
    std::printf("NCCL %d\n", version);
    std::fflush(stdout);
    const muster::ProcessGroup<> group;
    std::printf("muster %s: rank %d of %d\n", std::string(muster::version).c_str(), group.rank(), group.world_size());
    return 0;
} catch (const muster::Error& error) {
    if (!error.shared()) std::fprintf(stderr, "%s\n", error.what());
    return 7;
}
