// SPDX-License-Identifier: Apache-2.0
// Two ranks; rank 1 never joins rank 0's all_reduce, which the GPU then waits in. How rank 0 gets out:
//
//   abort killed      rank 1 is killed by the script, once rank 0 has said "waiting"; rank 0's wait has 5 s
//   abort unjoined    rank 1 lives on; rank 0's wait has 5 s
//   abort unwinding   the same, and rank 0 leaves the end of the mesh to its destructor
//   abort thread      rank 0 waits for a minute, and another thread of it aborts the mesh after a second
#include <muster/muster.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support.hpp"

namespace {

using namespace std::chrono_literals;

constexpr auto wait_limit = 5s;

/// How long rank 1 lives, idle: longer than rank 0 needs.
[[nodiscard]] std::chrono::seconds peer_stays(std::string_view mode) {
    if (mode == "killed") return 60s;
    return mode == "thread" ? 4s : wait_limit + 3s;
}

/// Waits for the operation that cannot end; what the error said and when.
void wait_in_vain(gpu::Mesh& mesh, cudaStream_t stream, std::string_view mode, gpu::Figures& figures) {
    std::optional<std::thread> other;
    if (mode == "thread")
        other.emplace([&mesh] {
            std::this_thread::sleep_for(1s);
            mesh.abort();
        });
    const double start = gpu::now();
    try {
        mesh.world().wait(stream, muster::Deadline::after(mode == "thread" ? 60s : wait_limit));
        figures.add("error", std::string());
    } catch (const muster::Error& error) {
        figures.add("wait_seconds", gpu::now() - start);
        figures.add("error", std::string(error.what()));
        figures.add("code", std::string(to_string(error.code())));
        if (mode == "unwinding") {
            figures.print();
            throw;
        }
    }
    if (other) other->join();
}

void rank_0(gpu::Mesh& mesh, const gpu::Array<float>& data, cudaStream_t stream, std::string_view mode) {
    mesh.world().all_reduce(data, muster::sum, stream);
    gpu::say("waiting");
    gpu::Figures figures;
    wait_in_vain(mesh, stream, mode, figures);
    const double start = gpu::now();
    mesh.abort();
    figures.add("abort_seconds", gpu::now() - start);
    try {
        mesh.world().barrier(stream);
        figures.add("after_abort", std::string("no error"));
    } catch (const muster::Error& error) {
        figures.add("after_abort", std::string(to_string(error.code())));
    }
    // The kernel must be gone too: the GPU is free for what comes next.
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (cudaStreamQuery(stream) == cudaErrorNotReady && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(1ms);
    figures.add("stream", std::string(cudaGetErrorName(cudaStreamQuery(stream))));
    figures.print();
}

void run(std::string_view mode) {
    muster::Options options = gpu::shared_gpu(60s);
    gpu::Mesh mesh(muster::Extents{.tp = 1, .dp = 2, .cp = 1}, muster::EnvRendezvous{}, options);
    const gpu::Stream stream;
    const gpu::Array<float> data(std::vector<float>(1 << 16, 1.0F));
    // NCCL connects at the first operation; the one that hangs must hang on the GPU.
    mesh.world().all_reduce(data, muster::sum, stream);
    mesh.world().wait(stream);
    if (mesh.rank() == 0) return rank_0(mesh, data, stream, mode);
    gpu::say("ready");
    std::this_thread::sleep_for(peer_stays(mode));
    mesh.abort();
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    return gpu::run([&] { run(argv[1]); });
}
