// SPDX-License-Identifier: Apache-2.0
// One rank that forms, uses and closes mesh after mesh, and counts what each leaves behind.
//
//   many_meshes [--ranks N] [--count N] [--warm-up N] [--seconds N] [--ignore TEXT] [--raw]
//
// Rank 0 ends it after N meshes or N seconds. Files whose name has TEXT in it do not count. --raw, for one rank, makes
// communicators with NCCL's calls alone, to tell what NCCL leaves behind.
#include <muster/muster.hpp>

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support.hpp"

namespace {

using namespace std::chrono_literals;

constexpr auto limit = 30s;

[[nodiscard]] std::size_t threads_now() {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator()));
}

[[nodiscard]] std::size_t files_now(const std::string& ignored) {
    std::size_t count = 0;
    for (const auto& file : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone; // threads of NCCL open and close files meanwhile
        const std::string target = std::filesystem::read_symlink(file, gone).string();
        if (!gone && (ignored.empty() || target.find(ignored) == std::string::npos)) ++count;
    }
    return count;
}

[[nodiscard]] std::size_t resident_bytes() {
    std::ifstream file("/proc/self/status");
    for (std::string word; file >> word;)
        if (word == "VmRSS:") {
            std::size_t kib = 0;
            file >> kib;
            return kib * 1024;
        }
    return 0;
}

struct Use {
    std::size_t files = std::numeric_limits<std::size_t>::max();
    std::size_t threads = std::numeric_limits<std::size_t>::max();
    std::size_t memory = 0;
    std::size_t gpu_free = 0;

    /// The least of three seconds: threads of NCCL end a little after what they worked for.
    [[nodiscard]] static Use measure(const std::string& ignored) {
        Use use;
        for (int i = 0; i < 30; ++i) {
            use.files = std::min(use.files, files_now(ignored));
            use.threads = std::min(use.threads, threads_now());
            std::this_thread::sleep_for(100ms);
        }
        use.memory = resident_bytes();
        std::size_t total = 0;
        gpu::check(cudaMemGetInfo(&use.gpu_free, &total), "cudaMemGetInfo");
        return use;
    }

    [[nodiscard]] std::string json() const {
        gpu::Figures figures;
        figures.add("files", files);
        figures.add("threads", threads);
        figures.add("resident_bytes", memory);
        figures.add("gpu_free_bytes", gpu_free);
        return figures.json();
    }
};

using Word = gpu::Array<std::int32_t>;

/// One mesh's life; true when rank 0 has had enough.
[[nodiscard]] bool one_mesh(int ranks, bool last, cudaStream_t stream, const Word& word) {
    gpu::Mesh mesh(muster::Extents{.tp = 1, .dp = ranks, .cp = 1}, muster::EnvRendezvous{}, gpu::shared_gpu(limit));
    const Word value(std::vector<std::int32_t>{mesh.rank() == 0 && last ? 1 : 0});
    mesh.dp().all_reduce(value, word, muster::max, stream);
    mesh.dp().wait(stream, muster::Deadline::after(limit));
    mesh.close(muster::Deadline::after(limit));
    return word.download()[0] != 0;
}

/// The same with NCCL's calls alone.
[[nodiscard]] bool one_communicator(bool last, cudaStream_t stream, const Word& word) {
    const auto check = [](ncclResult_t result) { gpu::require(result == ncclSuccess, ncclGetErrorString(result)); };
    ncclUniqueId id{};
    check(ncclGetUniqueId(&id));
    ncclComm_t comm = nullptr;
    check(ncclCommInitRank(&comm, 1, id, 0));
    const Word value(std::vector<std::int32_t>{last ? 1 : 0});
    check(ncclAllReduce(value.begin(), word.begin(), 1, ncclInt32, ncclMax, comm, stream));
    gpu::check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    check(ncclCommFinalize(comm));
    check(ncclCommDestroy(comm));
    return word.download()[0] != 0;
}

void run(const gpu::Arguments& arguments) {
    const gpu::Stream stream;
    const Word word(1);
    const int ranks = arguments.number("--ranks", 2);
    const bool raw = arguments.has("--raw");
    const auto one = [&](bool last) {
        return raw ? one_communicator(last, stream, word) : one_mesh(ranks, last, stream, word);
    };
    const std::string ignored = arguments.text("--ignore");
    const Use before = Use::measure(ignored);
    const int warm_up = arguments.number("--warm-up", 10);
    for (int i = 0; i < warm_up; ++i) (void)one(false);
    const Use warm = Use::measure(ignored);
    const double start = gpu::now();
    const double end = start + arguments.number("--seconds", 60);
    int made = 0;
    for (bool last = false; !last;) {
        const bool enough = made + 1 >= arguments.number("--count", 1000) || gpu::now() > end;
        last = one(enough);
        ++made;
    }
    const double seconds = gpu::now() - start;
    const Use after = Use::measure(ignored);

    gpu::Figures figures;
    figures.add("meshes", made);
    figures.add("seconds_per_mesh", seconds / made);
    figures.add_json("before", before.json());
    figures.add_json("warm", warm.json());
    figures.add_json("after", after.json());
    const auto growth = [made](std::size_t from, std::size_t to) {
        return (static_cast<double>(to) - static_cast<double>(from)) / made;
    };
    figures.add("resident_bytes_per_mesh", growth(warm.memory, after.memory));
    figures.add("gpu_bytes_per_mesh", growth(after.gpu_free, warm.gpu_free)); // of both ranks
    figures.print();
    gpu::require(after.files <= warm.files, fmt::format("files grew from {} to {}", warm.files, after.files));
    gpu::require(after.threads <= warm.threads, fmt::format("threads grew from {} to {}", warm.threads, after.threads));
}

} // namespace

int main(int argc, char** argv) {
    return gpu::run([&] { run(gpu::Arguments(argc, argv)); });
}
