// SPDX-License-Identifier: Apache-2.0
// The smallest program: all GPUs that were started, along one axis.
#include <muster/muster.hpp>

#include <cstdio>

int main() try {
    muster::DeviceMesh<1, muster::dynamic, 1> mesh; // TP=1, DP=as many as were started, CP=1
    if (mesh.rank() == 0) std::fputs(muster::describe(mesh).c_str(), stdout);
    mesh.world().barrier();
    return 0;
} catch (const muster::Error& error) {
    if (!error.shared()) std::fprintf(stderr, "%s\n", error.what()); // a shared text has been logged once already
    return 1;
}
