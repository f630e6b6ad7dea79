// SPDX-License-Identifier: Apache-2.0
// whole-muster   forms a mesh of 8 ranks on Gloo and closes it; rank 0 prints how long forming it took, and its phases.
#include <muster/gloo.hpp>

#include <fmt/format.h>

#include <chrono>
#include <cstdio>

int main() try {
    using Milliseconds = std::chrono::duration<double, std::milli>;
    const auto began = std::chrono::steady_clock::now();
    muster::DeviceMesh<2, 2, 2, muster::Gloo> mesh;
    const Milliseconds time = std::chrono::steady_clock::now() - began;
    const auto ms = [](muster::InitTimes::Duration phase) { return Milliseconds(phase).count(); };
    const muster::InitTimes& phases = mesh.times();
    if (mesh.rank() == 0)
        fmt::print(R"({{"init_ms":{:.3f},"rendezvous":{:.3f},"roll_call":{:.3f},"world":{:.3f},"axes":{:.3f},)"
                   R"("commit":{:.3f}}})"
                   "\n",
                   time.count(), ms(phases.rendezvous), ms(phases.roll_call), ms(phases.world), ms(phases.axes),
                   ms(phases.commit));
    mesh.close(muster::Deadline::after(std::chrono::seconds(30)));
} catch (const muster::Error& error) {
    if (!error.shared()) std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
