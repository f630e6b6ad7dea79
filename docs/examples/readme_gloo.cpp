// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo.hpp>

#include <cstdio>
#include <vector>

int main() try {
    muster::DeviceMesh<2, 2, 2, muster::Gloo> mesh; // TP=2, DP=2, CP=2; rank = (dp * TP + tp) * CP + cp

    std::vector<float> gradients(1024, 1.0F);
    mesh.dp().all_reduce(gradients, muster::avg); // the ranks that hold the same shard
    if (mesh.rank() == 0) std::puts(muster::describe(mesh).c_str());
} catch (const muster::Error& error) {
    if (!error.shared()) std::fprintf(stderr, "%s\n", error.what()); // a shared text has been logged once already
    return 1;
}
