// SPDX-License-Identifier: Apache-2.0
// What the programs that time init share: they stamp the same moments, of the one clock that all processes have.
#pragma once

#include <muster/muster.hpp>

#include <cuda_runtime_api.h>

#include "support.hpp"

namespace gpu {

struct Stamps {
    double start = now(); ///< main() begins
    double context = 0;   ///< the GPU's context exists
    double formed = 0;    ///< all communicators are there, and every rank knows it
    double used = 0;      ///< each has done its first operation, at which NCCL may still connect

    void print(int rank, const muster::InitTimes& times) const {
        Figures phases;
        phases.add("device", times.device.count());
        phases.add("rendezvous", times.rendezvous.count());
        phases.add("roll_call", times.roll_call.count());
        phases.add("world", times.world.count());
        phases.add("axes", times.axes.count());
        phases.add("commit", times.commit.count());
        Figures figures;
        figures.add("rank", rank);
        figures.add("start", start);
        figures.add("context", context);
        figures.add("formed", formed);
        figures.add("used", used);
        figures.add_json("phases", phases.json());
        figures.print();
    }
};

/// Makes the context of the first GPU, which costs the same whoever needs it.
inline void make_context() {
    check(cudaSetDevice(0), "cudaSetDevice");
    check(cudaFree(nullptr), "cudaFree");
}

} // namespace gpu
