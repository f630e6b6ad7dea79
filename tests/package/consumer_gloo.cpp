// SPDX-License-Identifier: Apache-2.0
// What a program of another project does first: has its grid checked as it compiles, and forms the smallest world.
#include <muster/gloo.hpp>

#include <array>
#include <cstdio>
#include <string>

using Grid = muster::Topology3D<2, 4, 1>;
static_assert(Grid::static_size() == 8);
static_assert(Grid::require_world<8>().rank_of({3, 1, 0}) == 7);

int main() try {
    muster::ProcessGroup<muster::Gloo> group;
    std::array<int, 2> sums{group.rank() + 20, 22};
    group.world().all_reduce(sums, muster::sum);
    std::printf("muster %s: rank %d of %d, sums %d %d\n", std::string(muster::version).c_str(), group.rank(),
                group.world_size(), sums[0], sums[1]);
    return 0;
} catch (const muster::Error& error) {
    if (!error.shared()) std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
