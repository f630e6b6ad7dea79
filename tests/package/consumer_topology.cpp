// SPDX-License-Identifier: Apache-2.0
// The compile-time part alone, which needs no library.
#include <muster/topology.hpp>

#include <cstdio>
#include <string>

using Grid = muster::Topology3D<2, 4, 1>;
static_assert(Grid::static_size() == 8);
static_assert(Grid::require_world<8>().rank_of({3, 1, 0}) == 7);

int main() { std::printf("muster %s: %s\n", std::string(muster::version).c_str(), Grid().signature().c_str()); }
