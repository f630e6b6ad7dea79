// SPDX-License-Identifier: Apache-2.0
// What stands here for the calls of torch.distributed and DeviceMesh that have no name of their own: eight ranks, and
// every number that they move is checked.
#include <muster/muster.hpp>

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <initializer_list>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "gpu.hpp"

namespace {

using namespace example;                  // Array, Values, Stream, Event, filled, expect
using Mesh = muster::DeviceMesh<2, 2, 2>; // TP, DP, CP; rank = (dp * TP + tp) * CP + cp

void groups(Mesh& mesh) {
    auto& tp_group = mesh.tp();
    auto& dp_cp_group = mesh.flatten<muster::Dp, muster::Cp>();
    const auto dp_cp = mesh.submesh<muster::Dp, muster::Cp>();
    const int tp_rank = mesh.coordinate<muster::Tp>();
    const int tp_size = mesh.topology().extent<muster::Tp>();

    expect(tp_group.rank() == tp_rank && tp_group.size() == tp_size, "a group's own numbers");
    expect(dp_cp.size() == 4 && &dp_cp.group() == &dp_cp_group, "a sub-mesh");
}

/// Every collective once, along tp. Their names are torch's.
void collectives(Mesh& mesh, cudaStream_t stream) {
    auto& group = mesh.tp();
    const auto size = static_cast<std::size_t>(group.size());
    const auto rank = static_cast<float>(group.rank());
    Values one = filled(8, rank);        // this rank's numbers
    Values all = filled(8 * size, rank); // as many for each rank of the group
    const Values parts = filled(8 * size, 1.0F);
    Values part = filled(8, 0.0F);
    Values exchanged = filled(8 * size, 0.0F);

    group.all_reduce(one, muster::sum, stream);               // all_reduce(one)
    group.all_gather(one, all, stream);                       // all_gather_single(all, one)
    group.reduce_scatter(parts, part, muster::avg, stream);   // reduce_scatter_single(part, parts, op=ReduceOp.AVG)
    group.broadcast(one, 0, stream);                          // broadcast(one, group_src=0)
    group.reduce(one, muster::max, 0, stream);                // reduce(one, group_dst=0, op=ReduceOp.MAX)
    group.all_to_all(all, exchanged, stream);                 // all_to_all_single(exchanged, all)
    group.gather(one, all, 0, stream);                        // gather_single(one, all, group_dst=0)
    group.scatter(all, part, 0, stream);                      // scatter(part, [...], group_src=0)
    group.all_reduce(part, muster::premul_sum(0.5F), stream); // all_reduce(part, op=PREMUL_SUM with 0.5)
    group.barrier(stream);                                    // barrier()

    expect(one.to_host()[0] == 1 && exchanged.to_host()[8] == 1 && part.to_host()[7] == 1, "collectives");
}

/// async_op=True: the operation has a stream, and what needs its result waits for an event.
void overlap(Mesh& mesh, Values& gradients, cudaStream_t computation, cudaStream_t communication) {
    const Event ready;
    const Event done;
    check(cudaEventRecord(ready, computation));
    check(cudaStreamWaitEvent(communication, ready, 0)); // torch does that for the current stream
    mesh.dp().all_reduce(gradients, muster::avg, communication);
    check(cudaEventRecord(done, communication));
    // ... kernels on `computation` that do not need them ...
    check(cudaStreamWaitEvent(computation, done, 0)); // Work.wait()

    mesh.dp().wait(computation); // the host waits, too: here for the check below
    expect(gradients.to_host()[0] == 0.5F, "overlap");
}

/// batch_isend_irecv: both directions at once.
void shift(Mesh& mesh, const Values& mine, Values& theirs, cudaStream_t stream) {
    muster::Group batch;
    mesh.cp().send(mine, mesh.next<muster::Cp>(), stream);
    mesh.cp().recv(theirs, mesh.previous<muster::Cp>(), stream);
    batch.end();
}

/// all_to_all_single with split sizes: `to[r]` elements of `in` go to rank r, `from[r]` of `out` come from it.
void all_to_all_uneven(muster::NcclCommunicator& group, std::span<const float> in, std::span<const std::size_t> to,
                       std::span<float> out, std::span<const std::size_t> from, cudaStream_t stream) {
    const auto self = static_cast<std::size_t>(group.rank());
    const auto start = [](std::span<const std::size_t> sizes, std::size_t rank) {
        return std::accumulate(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(rank), std::size_t{0});
    };
    check(cudaMemcpyAsync(out.data() + start(from, self), in.data() + start(to, self), to[self] * sizeof(float),
                          cudaMemcpyDeviceToDevice, stream)); // no rank sends to itself
    muster::Group batch;
    for (std::size_t peer = 0; peer < to.size(); ++peer) {
        if (peer == self) continue;
        group.send(in.subspan(start(to, peer), to[peer]), static_cast<int>(peer), stream);
        group.recv(out.subspan(start(from, peer), from[peer]), static_cast<int>(peer), stream);
    }
    batch.end();
}

/// all_gather_object: texts of different lengths. What they mean is the program's to know.
std::vector<std::string> all_gather_text(muster::NcclCommunicator& group, const std::string& text) {
    const std::vector<std::size_t> sizes = muster::exchange_values(group, text.size());
    const std::size_t most = *std::max_element(sizes.begin(), sizes.end());
    std::vector<char> padded(text.begin(), text.end());
    padded.resize(most);
    const Array<char> own(padded);
    auto all = Array<char>::zeros(most * sizes.size());
    group.all_gather(own, all);
    group.wait();
    const std::vector<char> bytes = all.to_host();
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < sizes.size(); ++i) texts.emplace_back(bytes.data() + i * most, sizes[i]);
    return texts;
}

/// new_group(ranks=[0, 3, 5]), which all ranks of the world call.
muster::NcclCommunicator new_group(Mesh& mesh, std::initializer_list<int> ranks) {
    const bool member = std::find(ranks.begin(), ranks.end(), mesh.rank()) != ranks.end();
    return mesh.world().split(member ? 0 : muster::no_color, mesh.rank()); // closed where this rank is no member
}

/// get_group_rank(group, global_rank); its inverse get_global_rank is group.ranks()[rank].
int group_rank(const muster::NcclCommunicator& group, int global_rank) {
    const auto found = std::find(group.ranks().begin(), group.ranks().end(), global_rank);
    if (found == group.ranks().end()) throw std::out_of_range("no rank of this group");
    return static_cast<int>(found - group.ranks().begin());
}

void run() {
    Mesh mesh;
    const Stream computation;
    const Stream communication;
    groups(mesh);
    collectives(mesh, computation);
    Values gradients = filled(1024, static_cast<float>(mesh.coordinate<muster::Dp>()));
    overlap(mesh, gradients, computation, communication);

    const Values mine = filled(4, static_cast<float>(mesh.coordinate<muster::Cp>()));
    Values theirs = filled(4, -1.0F);
    shift(mesh, mine, theirs, computation);
    mesh.cp().wait(computation);
    expect(theirs.to_host()[0] == static_cast<float>(mesh.previous<muster::Cp>()), "shift");

    // Rank 0 of a tp group sends one number to itself and two to rank 1, which sends three to rank 0 and four to
    // itself.
    const bool first = mesh.coordinate<muster::Tp>() == 0;
    const std::array<std::size_t, 2> to = first ? std::array<std::size_t, 2>{1, 2} : std::array<std::size_t, 2>{3, 4};
    const std::array<std::size_t, 2> from = first ? std::array<std::size_t, 2>{1, 3} : std::array<std::size_t, 2>{2, 4};
    const Values in = filled(to[0] + to[1], first ? 0.0F : 1.0F);
    Values out = filled(from[0] + from[1], -1.0F);
    all_to_all_uneven(mesh.tp(), in, to, out, from, computation);
    mesh.tp().wait(computation);
    const std::vector<float> got = out.to_host();
    for (std::size_t i = 0; i < got.size(); ++i) expect(got[i] == (i < from[0] ? 0.0F : 1.0F), "all_to_all_uneven");

    const auto texts = all_gather_text(mesh.tp(), std::string(static_cast<std::size_t>(mesh.rank()), 'x'));
    for (std::size_t i = 0; i < texts.size(); ++i)
        expect(texts[i] == std::string(static_cast<std::size_t>(mesh.tp().ranks()[i]), 'x'), "all_gather_text");

    auto some = new_group(mesh, {0, 3, 5});
    if (some.is_open()) expect(some.size() == 3 && group_rank(some, mesh.rank()) == some.rank(), "new_group");
    some.close(muster::Deadline::after(std::chrono::seconds(30))); // a split is the program's; before the world

    mesh.close(muster::Deadline::after(std::chrono::seconds(30)));
    if (mesh.rank() == 0) std::puts("every call: ok"); // the rank is still there; torch's get_rank would throw
}

} // namespace

int main() {
    try {
        run();
        return 0;
    } catch (const muster::Error& error) {
        if (!error.shared()) std::fprintf(stderr, "%s\n", error.what()); // a shared text has been logged once already
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
    }
    return 1;
}
